import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countFlows,
  findFlow,
  flowCertain,
  flowHost,
  flowTableBytes,
  rememberFlow,
  touchFlow,
  viewFlows,
} from "../../src/shm/flow-table.ts";
import { seededRandom } from "../support/random.ts";

const NOW = 1_700_000_000;
const table = (flows: number, rate = 1e9) => viewFlows(new ArrayBuffer(flowTableBytes(flows)), rate);
/** Flows whose second hash has the same top bits, so that they share a set. */
const inOneSet = (n: number): [number, number][] => Array.from({ length: n }, (_, i) => [i * 7 + 1, 0x12340000 + i]);

test("a million flows take at most 32 MB", () => {
  assert.ok(flowTableBytes(1_000_000) <= 32 * 1024 * 1024 + 128);
});

test("what is remembered is found, with its host and whether that is certain", () => {
  const f = table(1000);
  assert.equal(findFlow(f, 1, 2, NOW), -1);
  assert.ok(rememberFlow(f, 1, 2, 4095, true, NOW));
  assert.ok(rememberFlow(f, -1, -2, 0, false, NOW));
  const a = findFlow(f, 1, 2, NOW);
  const b = findFlow(f, -1, -2, NOW);
  assert.deepEqual([flowHost(f, a), flowCertain(f, a), flowHost(f, b), flowCertain(f, b)], [4095, true, 0, false]);
  assert.equal(findFlow(f, 1, -2, NOW), -1, "both tags count");
  assert.equal(findFlow(f, 0, 0, NOW), -1, "a free entry is nobody's");
  touchFlow(f, a, NOW);
  assert.equal(flowHost(f, findFlow(f, 1, 2, NOW)), 4095, "still found when established");
  assert.ok(rememberFlow(f, 1, 2, 7, true, NOW));
  assert.equal(flowHost(f, findFlow(f, 1, 2, NOW)), 7, "a flow has one entry");
  assert.deepEqual(countFlows(f, NOW), { once: 2, established: 0 });
});

test("an entry nobody used for an hour counts no more", () => {
  const f = table(1000);
  rememberFlow(f, 1, 2, 3, true, NOW);
  assert.notEqual(findFlow(f, 1, 2, NOW + 3600), -1);
  assert.equal(findFlow(f, 1, 2, NOW + 3601), -1);
});

test("a flood of new flows cannot push established ones out", () => {
  const f = table(1000);
  const random = seededRandom(8);
  const kept = Array.from({ length: 300 }, (): [number, number] => [random(2 ** 32) | 0, random(2 ** 32) | 0]);
  for (const [a, b] of kept) {
    rememberFlow(f, a, b, 9, true, NOW);
    touchFlow(f, findFlow(f, a, b, NOW), NOW);
  }
  const before = kept.filter(([a, b]) => findFlow(f, a, b, NOW) >= 0).length;
  for (let i = 0; i < 200_000; i++) rememberFlow(f, random(2 ** 32) | 0, random(2 ** 32) | 0, 1, true, NOW + 60);
  const after = kept.filter(([a, b]) => findFlow(f, a, b, NOW + 60) >= 0).length;
  assert.equal(after, before);
  assert.ok(before >= 299, `${before} of 300 found a place`);
});

test("of flows seen once the oldest makes room; a set full of busy flows takes nothing", () => {
  const f = table(8);
  const flows = inOneSet(9);
  flows.slice(0, 8).forEach(([a, b], i) => {
    rememberFlow(f, a, b, i, true, NOW + i);
  });
  const [a8, b8] = flows[8]!;
  rememberFlow(f, a8, b8, 8, true, NOW + 10);
  assert.equal(findFlow(f, ...flows[0]!, NOW + 10), -1, "the oldest is gone");
  assert.notEqual(findFlow(f, ...flows[1]!, NOW + 10), -1);
  for (const [a, b] of flows.slice(1)) touchFlow(f, findFlow(f, a, b, NOW + 10), NOW + 10);
  assert.equal(rememberFlow(f, 99, 0x12340000 + 99, 1, true, NOW + 20), false);
  assert.equal(rememberFlow(f, 99, 0x12340000 + 99, 1, true, NOW + 200), true, "idle flows make room in the end");
});

test("the rate of new entries is bounded", () => {
  const f = table(1000, 5);
  const made = (second: number): number =>
    Array.from({ length: 20 }, (_, i) => rememberFlow(f, second * 100 + i, i << 20, 1, false, second)).filter(Boolean).length;
  assert.equal(made(NOW), 5);
  assert.equal(made(NOW + 1), 5);
});

test("an entry put together from two writers' words matches neither flow", () => {
  const f = table(8);
  const [first, second] = inOneSet(2) as [[number, number], [number, number]];
  rememberFlow(f, ...first, 1, true, NOW);
  const entry = findFlow(f, ...first, NOW);
  const one = f.words.slice(entry, entry + 16);
  f.words.fill(0);
  rememberFlow(f, ...second, 2, true, NOW);
  const other = findFlow(f, ...second, NOW);
  f.words[other + 8] = one[8]!; // the host of the first flow under the tags of the second
  assert.equal(findFlow(f, ...second, NOW), -1);
});

test("at its nominal number of flows nearly all are held", () => {
  const f = table(100_000);
  const random = seededRandom(9);
  const flows = Array.from({ length: 100_000 }, (): [number, number] => [random(2 ** 32) | 0, random(2 ** 32) | 0]);
  for (const [a, b] of flows) rememberFlow(f, a, b, 1, true, NOW);
  const held = flows.filter(([a, b]) => findFlow(f, a, b, NOW) >= 0).length;
  assert.ok(held > 97_000, `${held} of 100,000`);
});
