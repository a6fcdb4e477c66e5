import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterClock } from "../../src/conductor/cluster-clock.ts";

test("the clock goes on from where it was left, with the time that passes", () => {
  let monotonic = 5_000_000;
  const clock = new ClusterClock(1000, () => monotonic);
  assert.equal(clock.step(), 1000);
  monotonic += 250.4;
  assert.equal(clock.step(), 1250);
  monotonic += 250.4;
  assert.deepEqual([clock.step(), clock.now], [1500, 1500]);
});

test("a process that was stopped, and a clock that goes back, make nothing older at once", () => {
  let monotonic = 0;
  const clock = new ClusterClock(1000, () => monotonic);
  monotonic = 600_000;
  assert.equal(clock.step(), 2000);
  monotonic = 100;
  assert.equal(clock.step(), 2000);
  monotonic = 200;
  assert.equal(clock.step(), 2100);
});
