/** The clock that flows are aged by is not the one that people set. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BurstSource, prepare } from "../../src/bench/load.ts";
import { createTurn } from "../../src/dataplane/pipeline.ts";
import { countFlows } from "../../src/shm/flow-table.ts";
import { hostClock } from "../../src/shm/host-clock.ts";
import { CONFIG, configOf } from "../support/fixture.ts";

const FLOWS = 16;

test("a wall clock that jumps makes no flow older or younger", (t) => {
  const load = prepare(configOf(CONFIG), FLOWS);
  const { memory } = load.context;
  const turn = createTurn(load.context, new BurstSource(load), []);
  const established = (): number => countFlows(memory.flows, memory.now).established;
  turn();
  turn();
  assert.equal(established(), FLOWS);
  for (const hours of [2, -2]) {
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() + hours * 3_600_000 });
    turn(0);
    t.mock.timers.reset();
    assert.equal(established(), FLOWS);
    assert.ok(Math.abs(memory.now - hostClock() / 1000) < 60);
  }
});

test("all processes have the same clock", () => {
  const ofKernel = Number(process.hrtime.bigint()) / 1e6;
  assert.ok(Math.abs(hostClock() - ofKernel) < 1000);
});
