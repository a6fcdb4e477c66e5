/** Whether drop rules can be compiled here. */
import { native } from "../../src/io/native.ts";

function probe(): string | false {
  try {
    native().compileFilter("ip", 12);
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Why filters cannot be compiled, for the `skip` of a test; false when they can. */
export const libpcapObstacle: string | false = probe();
