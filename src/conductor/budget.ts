/** How many changes of a pool may be made: a few at once, then so many a minute. Pure; times by the cluster's clock, ms. */
export interface Budget {
  readonly at: number;
  /** Changes that may be made at once at that time. */
  readonly left: number;
}

/** Changes at once, at most. */
export const BURST = 5;
/** What is kept for hosts that have to be taken out. */
export const RESERVE = 2;

export const fullBudget = (now: number): Budget => ({ at: now, left: BURST });

/** What is left at `now`. */
export const budgetAt = ({ at, left }: Budget, now: number, perMinute: number): number =>
  Math.min(BURST, left + (Math.max(0, now - at) * perMinute) / 60_000);

/** One change less. */
export const spend = (budget: Budget, now: number, perMinute: number): Budget => ({
  at: now,
  left: Math.max(0, budgetAt(budget, now, perMinute) - 1),
});
