/** The time of a turn. */

/** The clock is milliseconds in 30 bits, so that it stays a small integer; it comes round in 12 days. */
export const CLOCK_MASK = 0x3fffffff;

/** Milliseconds on the clock from `then` to `now`. */
export const elapsed = (now: number, then: number): number => (now - then) & CLOCK_MASK;
