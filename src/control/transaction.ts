/** Changes that are made together or not at all. */

export interface TransactionStep {
  /** What it does, for the log: `kernel filter`, `addresses of new VIPs`. */
  readonly what: string;
  readonly apply: () => void;
  /** Brings back what was before; also after an `apply` that stopped half way. Returns what could not be undone, a line each. */
  readonly undo: () => readonly string[] | undefined;
}

/** A step failed. All steps before it and itself were undone, but for `remains`. */
export class TransactionFailed extends Error {
  /** What could not be undone, a line each. */
  readonly remains: readonly string[];

  constructor(cause: unknown, remains: readonly string[]) {
    super((cause as Error).message, { cause });
    this.remains = remains;
  }
}

/**
 * Applies all steps in their order. When one throws, it and those before it are undone, the last first, each whatever becomes of the
 * others; then a TransactionFailed with the message of what was thrown.
 */
export function transact(steps: readonly TransactionStep[]): void {
  const begun: TransactionStep[] = [];
  try {
    for (const step of steps) {
      begun.push(step);
      step.apply();
    }
  } catch (error) {
    throw new TransactionFailed(error, begun.toReversed().flatMap(undone));
  }
}

function undone({ what, undo }: TransactionStep): readonly string[] {
  try {
    return (undo() ?? []).map((line) => `${what}: ${line}`);
  } catch (error) {
    return [`${what}: ${(error as Error).message}`];
  }
}

/** What an error of transact() has left behind, for a log. */
export function remainder(error: unknown): string {
  const remains = error instanceof TransactionFailed ? error.remains : [];
  return remains.length === 0 ? "nothing changed" : `not all of it could be undone (${remains.join("; ")}; restart the agent)`;
}

/**
 * What is left to do when the new state holds already: all of it, whatever throws. Works may return what they could not do. Returns that
 * and what was thrown, a line each.
 */
export const tidy = (works: readonly (() => unknown)[]): string[] =>
  works.flatMap((work) => {
    try {
      const lines = work();
      return Array.isArray(lines) ? (lines as string[]) : [];
    } catch (error) {
      return [(error as Error).message];
    }
  });
