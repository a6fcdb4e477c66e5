import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BURST_BOUNDS,
  countBurst,
  counterAt,
  countersBytes,
  countReceived,
  countSent,
  countService,
  countVerdict,
  readBurstTimes,
  readCounters,
  workerBlock,
} from "../../src/shm/counters.ts";
import { DELIVERED, VERDICT_NAMES, VERDICT_TEXTS } from "../../src/shm/verdict.ts";

test("a reader sums the blocks of all workers", () => {
  const buffer = new ArrayBuffer(countersBytes(2));
  for (const worker of [0, 1]) {
    const block = workerBlock(buffer, worker);
    countVerdict(block, DELIVERED, 10 + worker);
    countSent(block, 4095, 2, 200);
    countReceived(block, 0, 3, 300);
    countService(block, 1, 4, 400);
    block[counterAt("waits")]! += 5;
  }
  const names = new Map([
    [0, "s1"],
    [4095, "last"],
  ]);
  const snapshot = readCounters(
    buffer,
    names,
    new Map([
      [0, "dns"],
      [1, "web"],
    ]),
  );
  assert.equal(snapshot.verdicts.delivered, 21);
  assert.equal(snapshot.verdicts.malformed, 0);
  assert.deepEqual(snapshot.perHost.last, { sentPackets: 4, sentBytes: 400, receivedPackets: 0, receivedBytes: 0 });
  assert.deepEqual(snapshot.perHost.s1, { sentPackets: 0, sentBytes: 0, receivedPackets: 6, receivedBytes: 600 });
  assert.deepEqual(snapshot.perService, { dns: { packets: 0, bytes: 0 }, web: { packets: 8, bytes: 800 } });
  assert.deepEqual(
    snapshot.workers.map((w) => w.waits),
    [5, 5],
  );
});

test("how long bursts took: each in its place, by worker, beside all else", () => {
  const buffer = new ArrayBuffer(countersBytes(2));
  const block = workerBlock(buffer, 1);
  for (const us of [0, 3.99, 4, 7.5, 8, 131_071, 131_072, 3e9]) countBurst(block, us);
  const [idle, busy] = readBurstTimes(buffer);
  assert.deepEqual(idle, { counts: new Array(17).fill(0), sum: 0 });
  assert.deepEqual(busy!.counts, [2, 2, 1, ...new Array(12).fill(0), 1, 2]);
  assert.ok(Math.abs(busy!.sum - 3000.262166) < 0.0001, `${busy!.sum}`);
  assert.deepEqual([BURST_BOUNDS[0], BURST_BOUNDS.at(-1), BURST_BOUNDS.length], [0.000004, 0.131072, 16]);
  const { workers, perHost, verdicts } = readCounters(buffer, new Map([[0, "s1"]]), new Map());
  const others = [...workers.flatMap((w) => Object.values(w)), ...Object.values(perHost.s1!), ...Object.values(verdicts)];
  assert.ok(others.every((n) => n === 0));
});

test("verdicts fit their block, and each has one name and one text", () => {
  assert.ok(VERDICT_NAMES.length <= 64);
  assert.equal(new Set(VERDICT_NAMES).size, VERDICT_NAMES.length);
  assert.equal(VERDICT_TEXTS.length, VERDICT_NAMES.length);
});
