/** The end of a process, in steps of which none keeps the others from being done. */
import type { Logger } from "pino";

export interface EndStep {
  /** What it does, for the log: `stop the agent`. */
  readonly what: string;
  readonly work: () => unknown;
}

/** How long one step may take, ms; more than any of them waits for by itself. */
const STEP_MS = 15_000;
/** After a step has failed the process ends within this time, ms, whatever it has left open. */
const EXIT_MS = 5_000;

/**
 * Does all steps one after the other, whatever becomes of each. Returns whether all were done. When one was not, that is logged, and the
 * process is ended with code 1 a few seconds later should it still be there: a supervisor has to see its end. Never rejects.
 */
export async function endInOrder(
  steps: readonly EndStep[],
  log: Logger,
  exit: (code: number) => void = process.exit,
  { stepMs = STEP_MS, exitMs = EXIT_MS } = {},
): Promise<boolean> {
  let good = true;
  for (const { what, work } of steps) {
    try {
      await within(work, stepMs);
    } catch (error) {
      good = false;
      log.error({ err: error }, `could not ${what}: ${(error as Error).message}`);
    }
  }
  // It does not keep the process alive, only from living on.
  if (!good) setTimeout(() => exit(1), exitMs).unref();
  return good;
}

async function within(work: () => unknown, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${ms / 1000} s`)), ms);
  });
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
