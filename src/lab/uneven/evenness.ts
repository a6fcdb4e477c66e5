/** How evenly hosts were used over the steps of a run, and whether their weights came to rest. Pure. */

import { spreadOf } from "../../conductor/load-control.ts";

/** What happened within one step. */
export interface UnevenStep {
  /** By host: share of the CPU time it has that was used, and its weight in the newest generation at the end of the step. */
  readonly uses: readonly number[];
  readonly weights: readonly number[];
  /** Requests that came to an end. */
  readonly answered: number;
  readonly failed: number;
}

export interface Evenness {
  /** Largest use over the mean: in the first step, and of the means over the last ones. */
  readonly startSpread: number;
  readonly endSpread: number;
  /** Over the last steps: use of each host, and of all. */
  readonly uses: readonly number[];
  readonly meanUse: number;
  /** The largest over the smallest share of the weights that one host had within the last steps; 1: none moved. */
  readonly swing: number;
  /** Steps in which weights changed, and those of them among the last steps. */
  readonly moves: number;
  readonly lateMoves: number;
  /** Requests that failed: in all, and in the last steps. */
  readonly failed: number;
  readonly lateFailed: number;
}

const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** Sums a run up. There must be at least one step; `last`: how many are the last ones. */
export function evenness(steps: readonly UnevenStep[], last: number): Evenness {
  const end = steps.slice(-last);
  const hosts = [...steps[0]!.uses.keys()];
  const uses = hosts.map((host) => mean(end.map((step) => step.uses[host]!)));
  const shares = end.map(({ weights }) => weights.map((weight) => weight / sum(weights)));
  const swings = hosts.map((host) => {
    const own = shares.map((share) => share[host]!);
    return Math.max(...own) / Math.min(...own);
  });
  const moved = steps.map((step, i) => i > 0 && step.weights.join() !== steps[i - 1]!.weights.join());
  return {
    startSpread: spreadOf(steps[0]!.uses),
    endSpread: spreadOf(uses),
    uses,
    meanUse: mean(uses),
    swing: Math.max(...swings),
    moves: moved.filter(Boolean).length,
    lateMoves: moved.slice(-last).filter(Boolean).length,
    failed: sum(steps.map(({ failed }) => failed)),
    lateFailed: sum(end.map(({ failed }) => failed)),
  };
}
