/**
 * Records full of wrong numbers through every call that takes them: they are counted, nothing is read or written outside
 * the pool, nothing crashes. Run by kernel.test.ts, also with the sanitizers; the namespace has only a loopback device.
 */
import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { test } from "node:test";
import { native } from "../../src/io/native.ts";
import { createTxQueue, GUE_SOURCE_PORTS, SUM_STRIDE, TX_STRIDE, type TxQueue, UP_STRIDE } from "../../src/io/packet-io.ts";
import { ip } from "../support/netns.ts";
import { seededRandom } from "../support/random.ts";

const ROUNDS = 1500;
const n = native();
ip("link set lo up");
const random = seededRandom(4);
const pool = new Uint8Array(70_000);
const EXTREMES = [
  0,
  1,
  2,
  4,
  6,
  7,
  63,
  64,
  255,
  1000,
  1024,
  1025,
  65507,
  65535,
  65536,
  69_999,
  70_000,
  70_001,
  2 ** 31 - 1,
  -1,
  -(2 ** 31),
];

/** Mostly small and plausible, else extreme or anything. */
function word(): number {
  const kind = random(8);
  if (kind < 4) return random(40);
  if (kind < 6) return EXTREMES[random(EXTREMES.length)]!;
  return kind === 6 ? random(70_000) : random(2 ** 32) | 0;
}

/** Fills a queue with wild words; gather pairs are sound most of the time, so that much gets through to the kernel. */
function fillWildly(queue: TxQueue): void {
  for (let i = 0; i < queue.records.length; i++) queue.records[i] = word();
  for (let i = 0; i < queue.iovs.length; i += 2) {
    const sound = random(8) > 0;
    queue.iovs[i] = sound ? random(60_000) : word();
    queue.iovs[i + 1] = sound ? random(3000) : word();
  }
  for (let i = 0; i < queue.sums.length; i++) queue.sums[i] = word();
}

/** Gives a record its true length, which a random one hardly ever is. */
function makeLengthsTrue(queue: TxQueue, stride: number): void {
  for (let at = 0; at < queue.records.length; at += stride) {
    const [start, count] = [random(60), 1 + random(4)];
    queue.records[at] = start;
    queue.records[at + 1] = count;
    let length = 0;
    for (let i = start; i < start + count; i++) length += queue.iovs[2 * i + 1] ?? 0;
    queue.records[at + 2] = length;
  }
}

test("GUE sink", () => {
  const open = (address: string) => Int32Array.from({ length: GUE_SOURCE_PORTS }, (_, i) => n.openGueSender(address, 49152 + i));
  const queue = createTxQueue(TX_STRIDE, 32, 64, 16);
  const { records, iovs, sums } = queue;
  const sink = n.createGueSink(pool, 6080, open("127.0.0.1"), open("::1"), true, records, iovs, sums, new Int32Array(1));
  let taken = 0;
  for (let round = 0; round < ROUNDS; round++) {
    fillWildly(queue);
    if (round % 2 === 0) makeLengthsTrue(queue, TX_STRIDE);
    for (let at = 0; at < queue.records.length; at += TX_STRIDE) {
      const [segmentSize, trafficClass, source, family] = [3, 4, 5, 6].map((i) => at + i) as [number, number, number, number];
      queue.records[segmentSize] = [0, random(1500), word()][random(3)]!;
      queue.records[trafficClass] = random(4) === 0 ? word() : random(256);
      queue.records[source] = random(4) === 0 ? word() : random(64);
      queue.records[family] = [4, 4, 4, 6, 6, word()][random(6)]!;
      queue.records.set(random(2) === 0 ? [0, 0, 0, random(2) === 0 ? 0x7f000001 : 1] : [word(), word(), word(), word()], at + 8);
    }
    const lost = n.send(sink, 32, random(65), 16);
    assert.ok(lost >= 0 && lost <= 32);
    taken += 32 - lost;
  }
  assert.ok(taken > ROUNDS, `${taken} got through`);
});

test("TUN and raw sinks", () => {
  const tun = n.openTun("hp-wild", true);
  ip("link set hp-wild up");
  const queue = createTxQueue(UP_STRIDE, 32, 64, 16);
  const sinks = [tun, openSync("/dev/null", "r+")].map((fd) => n.createTunSink(pool, fd, queue.records, queue.iovs, queue.sums));
  sinks.push(n.createRawSink(pool, n.openRawSender(4), n.openRawSender(6), queue.records, queue.iovs, queue.sums));
  for (let round = 0; round < ROUNDS; round++) {
    fillWildly(queue);
    if (round % 2 === 0) makeLengthsTrue(queue, UP_STRIDE);
    for (let at = 0; at < pool.length; at += 97) pool[at] = [0x45, 0x60, random(256)][random(3)]!;
    for (const sink of sinks) {
      const lost = n.send(sink, 32, random(65), 16);
      assert.ok(lost >= 0 && lost <= 32);
    }
  }
});

test("checksum jobs", () => {
  const sums = new Int32Array(SUM_STRIDE);
  for (let round = 0; round < ROUNDS * 10; round++) {
    for (let i = 0; i < SUM_STRIDE; i++) sums[i] = word();
    try {
      n.sumChecksums(pool, sums, 1);
    } catch (error) {
      assert.ok(error instanceof RangeError);
    }
  }
});
