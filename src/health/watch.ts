/** Checks something again and again, and tells when what is held of it changes. */
import type { Rhythm } from "../control/config-health.ts";
import { type Finding, inDoubt, type Standing, UNKNOWN, weigh } from "./finding.ts";

/** While findings contradict what is held they come so much faster: a change is known soon, and a blip as well. */
const DOUBT = 4;

/** Milliseconds to the next check. `chance` is from 0 to 1. */
export function pause(standing: Standing, { interval, jitter }: Rhythm, chance: number): number {
  const usual = interval * 1000 * (1 + jitter * (2 * chance - 1));
  return inDoubt(standing) ? usual / DOUBT : usual;
}

export class Watch {
  readonly #rhythm: Rhythm;
  readonly #check: (over: AbortSignal) => Promise<Finding>;
  readonly #changed: (standing: Standing) => void;
  #standing = UNKNOWN;
  #timer: NodeJS.Timeout | undefined;
  readonly #over = new AbortController();

  /**
   * `check` resolves in time, at once when it is `over`, and never rejects; `changed` is told of every change of health or reason, first when it is known. `first`
   * says after how many ms the first check is made.
   */
  constructor(
    rhythm: Rhythm,
    first: number,
    check: (over: AbortSignal) => Promise<Finding>,
    changed: (standing: Standing) => void,
  ) {
    this.#rhythm = rhythm;
    this.#check = check;
    this.#changed = changed;
    this.#next(first);
  }

  get standing(): Standing {
    return this.#standing;
  }

  stop(): void {
    this.#over.abort();
    clearTimeout(this.#timer);
  }

  #next(ms: number): void {
    this.#timer = setTimeout(() => void this.#once(), ms);
    this.#timer.unref();
  }

  async #once(): Promise<void> {
    const began = performance.now();
    const finding = await this.#check(this.#over.signal);
    if (this.#over.signal.aborted) return;
    const before = this.#standing;
    this.#standing = weigh(before, finding, this.#rhythm);
    if (before.healthy !== this.#standing.healthy || before.finding.reason !== this.#standing.finding.reason)
      this.#changed(this.#standing);
    const ms = pause(this.#standing, this.#rhythm, Math.random());
    this.#next(Math.max(0, ms - (performance.now() - began)));
  }
}
