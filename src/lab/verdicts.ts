/** What a scripted run of a lab found, step by step, said as it goes. */
import type { Progress } from "./lab.ts";

export interface Verdict {
  readonly what: string;
  readonly ok: boolean;
  /** Figures, or what was wrong. */
  readonly detail: string;
}

/** Verdicts in order. A step that fails is one of them: the run goes on. */
export class Verdicts {
  readonly list: Verdict[] = [];
  readonly #progress: Progress;

  constructor(progress: Progress) {
    this.#progress = progress;
  }

  add(what: string, ok: boolean, detail: string): void {
    this.list.push({ what, ok, detail });
    this.#progress(`${ok ? "  ok  " : "FAILED"}  ${what}: ${detail}`);
  }

  /** Takes a step, which gives its figures, or throws what was wrong. */
  async step(what: string, take: () => Promise<string> | string): Promise<void> {
    try {
      this.add(what, true, await take());
    } catch (error) {
      this.add(what, false, (error as Error).message);
    }
  }
}

/** Throws unless it is so. */
export function expect(so: boolean, otherwise: string): void {
  if (!so) throw new Error(otherwise);
}

/** For a terminal. */
export const renderVerdicts = (list: readonly Verdict[]): string =>
  `${list.filter(({ ok }) => ok).length} of ${list.length} as they should be\n`;
