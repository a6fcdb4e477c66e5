import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../src/simulate/random.ts";

/** Mean and variance of many draws. */
function moments(draw: () => number, count = 40_000): { mean: number; variance: number } {
  const values = Array.from({ length: count }, draw);
  const mean = values.reduce((a, b) => a + b, 0) / count;
  return { mean, variance: values.reduce((a, b) => a + (b - mean) ** 2, 0) / count };
}

/** Five standard errors: of 40,000 draws next to never more, and the seeds are fixed. */
function near(what: string, { mean, variance }: { mean: number; variance: number }, expected: number, spread: number): void {
  const error = Math.sqrt(spread / 40_000);
  assert.ok(Math.abs(mean - expected) <= 5 * error + 1e-9, `${what}: mean ${mean}, expected ${expected}`);
  assert.ok(Math.abs(variance - spread) <= 0.05 * spread + 5 * error + 1e-9, `${what}: variance ${variance}, expected ${spread}`);
}

test("binomial and Poisson counts have the mean and variance they must, small and large", () => {
  for (const [n, p] of [
    [1, 0.5],
    [20, 0.1],
    [20, 0.95],
    [150, 0.37],
    [150, 0.9],
    [5000, 0.003],
    [100_000, 0.5],
  ] as const) {
    const random = new Random(n);
    const draw = (): number => {
      const k = random.binomial(n, p);
      assert.ok(Number.isInteger(k) && k >= 0 && k <= n);
      return k;
    };
    near(`binomial ${n} ${p}`, moments(draw), n * p, n * p * (1 - p));
  }
  for (const mean of [0.01, 0.9, 9, 11, 150, 20_000]) {
    const random = new Random(7);
    near(
      `Poisson ${mean}`,
      moments(() => random.poisson(mean)),
      mean,
      mean,
    );
  }
  const random = new Random(3);
  near(
    "normal",
    moments(() => random.normal()),
    0,
    1,
  );
});

test("counts are distributed as they must be: against the exact probabilities", () => {
  const [n, p, draws] = [60, 0.4, 200_000];
  const random = new Random(11);
  const seen = new Float64Array(n + 1);
  for (let i = 0; i < draws; i++) seen[random.binomial(n, p)]! += 1;
  let probability = (1 - p) ** n;
  let chi = 0;
  let cells = 0;
  for (let k = 0; k <= n; k++) {
    const expected = probability * draws;
    if (expected >= 5) {
      chi += (seen[k]! - expected) ** 2 / expected;
      cells++;
    }
    probability *= ((p / (1 - p)) * (n - k)) / (k + 1);
  }
  assert.ok(chi < cells + 5 * Math.sqrt(2 * cells), `chi squared ${chi} in ${cells} cells`);
});

test("extremes, and the same seed again", () => {
  const random = new Random(1);
  assert.deepEqual([random.binomial(0, 0.5), random.binomial(9, 0), random.binomial(9, 1), random.poisson(0)], [0, 0, 9, 0]);
  const row = (): number[] => {
    const again = new Random(5);
    return Array.from({ length: 5 }, () => again.binomial(1000, 0.3));
  };
  assert.deepEqual(row(), row());
});
