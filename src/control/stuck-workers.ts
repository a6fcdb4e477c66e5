/** Finds workers that live and take no packets, as one in an endless loop. */

/** A worker turns at least once a second. One that stands still for so many looks, a second apart, is lost. */
export const STUCK_LOOKS = 15;

export class StuckWorkers {
  #turns: readonly number[] = [];
  #still: readonly number[] = [];

  /**
   * Looks once more: `turns` has how often each worker that is to run has turned, null for others. Returns the first that is stuck, or -1.
   * Looks count, not seconds: of a machine that slept no worker is stuck.
   */
  look(turns: readonly (number | null)[]): number {
    this.#still = turns.map((now, i) => (now !== null && now === this.#turns[i] ? this.#still[i]! + 1 : 0));
    this.#turns = turns.map((now) => now ?? -1);
    return this.#still.findIndex((looks) => looks >= STUCK_LOOKS);
  }
}
