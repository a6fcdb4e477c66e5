/** Times of many events of one kind. */
import type { Measurement } from "./measure.ts";

/** How long something took; a share of 0.99 took no longer than `p99`. */
export interface Latencies extends Measurement {
  readonly p99: number;
  readonly most: number;
}

/** The value that a share of the sorted values is not above. */
const quantile = (sorted: readonly number[], share: number): number => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]!;

/** Of times in ms, which are at least one. */
export function latencies(times: readonly number[]): Latencies {
  const sorted = [...times].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), most: sorted.at(-1)!, unit: "ms", rounds: times };
}
