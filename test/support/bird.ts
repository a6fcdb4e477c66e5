/** BIRD for tests. */
import { birdProgram } from "../../src/lab/node-processes.ts";

function obstacle(): string | false {
  try {
    birdProgram();
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Why there is no BIRD, for the `skip` of a test; false when there is. */
export const birdObstacle: string | false = obstacle();
