/** Smoke runs of what measures how soon changes arrive: with real processes; the figures mean nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { benchFollowers } from "../../src/bench/followers.ts";
import { latencies } from "../../src/bench/latencies.ts";

test("latencies: a share of 99 of 100 is not above the p99", () => {
  const { median, p99, most } = latencies(Array.from({ length: 200 }, (_, i) => 200 - i));
  assert.deepEqual([median, p99, most], [100, 198, 200]);
  assert.deepEqual(latencies([5]), { median: 5, p99: 5, most: 5, unit: "ms", rounds: [5] });
});

test("followers: every subscriber has every change", async () => {
  const rounds: number[] = [];
  const { seen, last, config } = await benchFollowers({ subscribers: 5, changes: 3, processes: 2, hosts: 10 }, (round) =>
    rounds.push(round),
  );
  assert.deepEqual([rounds, seen.rounds.length, last.rounds.length, config.rounds.length], [[1, 2, 3], 15, 3, 6]);
  assert.ok(seen.rounds.every((ms) => ms > 0) && seen.most === last.most);
});
