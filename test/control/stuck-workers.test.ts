import assert from "node:assert/strict";
import { test } from "node:test";
import { STUCK_LOOKS, StuckWorkers } from "../../src/control/stuck-workers.ts";

test("a worker that stands still for all looks is stuck, one that turns now and then or is not to run is not", () => {
  const stuck = new StuckWorkers();
  const found: number[] = [];
  for (let look = 0; look <= STUCK_LOOKS; look++) found.push(stuck.look([Math.floor(look / 10), 7, null]));
  assert.deepEqual(found, [...Array(STUCK_LOOKS).fill(-1), 1]);
});

test("a worker that was paused meanwhile is counted anew", () => {
  const stuck = new StuckWorkers();
  for (let look = 0; look < STUCK_LOOKS; look++) assert.equal(stuck.look([5]), -1);
  assert.equal(stuck.look([null]), -1);
  for (let look = 0; look < STUCK_LOOKS; look++) assert.equal(stuck.look([5]), -1);
  assert.equal(stuck.look([5]), 0);
});
