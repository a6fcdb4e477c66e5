/** Measuring: rounds of everything in turn, so that what disturbs the machine disturbs all alike; medians. */

export interface Measurement {
  readonly median: number;
  readonly unit: string;
  readonly rounds: readonly number[];
}

export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >>> 1]!;

export interface Subject {
  /** Does its work once and says how many units (packets, builds) that were. */
  run(): number;
  /** What has to be done before each time, and does not count. */
  prepare?(): void;
}

/**
 * Times subjects in interleaved rounds, after `warmUp` rounds that do not count. Returns nanoseconds per unit by name.
 * `onRound` is told after each round.
 */
export function measure(
  subjects: Readonly<Record<string, Subject>>,
  rounds: number,
  warmUp: number,
  onRound: (round: number) => void = () => {},
): Record<string, Measurement> {
  const times: Record<string, number[]> = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
  for (let round = -warmUp; round < rounds; round++) {
    for (const [name, subject] of Object.entries(subjects)) {
      subject.prepare?.();
      const start = process.hrtime.bigint();
      const units = subject.run();
      const ns = Number(process.hrtime.bigint() - start) / units;
      if (round >= 0) times[name]!.push(Math.round(ns * 10) / 10);
    }
    if (round >= 0) onRound(round + 1);
  }
  return Object.fromEntries(
    Object.entries(times).map(([name, list]) => [name, { median: median(list), unit: "ns", rounds: list }]),
  );
}
