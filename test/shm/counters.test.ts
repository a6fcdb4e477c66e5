import assert from "node:assert/strict";
import { test } from "node:test";
import {
  counterAt,
  countersBytes,
  countReceived,
  countSent,
  countService,
  countVerdict,
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
  const snapshot = readCounters(buffer, names, ["dns", "web"]);
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

test("verdicts fit their block, and each has one name and one text", () => {
  assert.ok(VERDICT_NAMES.length <= 64);
  assert.equal(new Set(VERDICT_NAMES).size, VERDICT_NAMES.length);
  assert.equal(VERDICT_TEXTS.length, VERDICT_NAMES.length);
});
