/**
 * The clock by which generations age and hosts are held. It goes on from where the conductor before left it, and only by time in which
 * the conductor ran: neither a jump of a host's clock, nor another conductor with another one, nor a process that was stopped for a minute
 * makes anything older at once. While nobody conducts it stands still. It shows about the time of day, because it once began with that.
 */

/** How far one step goes at most, ms. */
const STEP_MS = 1000;

export class ClusterClock {
  #now: number;
  #last: number;
  readonly #monotonic: () => number;

  /** Goes on from `start`, ms. `monotonic`: ms that never go back. */
  constructor(start: number, monotonic: () => number = () => performance.now()) {
    this.#now = start;
    this.#monotonic = monotonic;
    this.#last = monotonic();
  }

  /** The time at the last step, whole ms. */
  get now(): number {
    return Math.floor(this.#now);
  }

  /** Steps on to the present, as far as that goes. */
  step(): number {
    const present = this.#monotonic();
    this.#now += Math.min(Math.max(present - this.#last, 0), STEP_MS);
    this.#last = present;
    return this.now;
  }
}
