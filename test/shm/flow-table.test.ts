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

test("the rate of new entries is bounded; guesses have a quarter of it, for themselves", () => {
  const f = table(1000, 8);
  let flow = 0;
  const made = (certain: boolean): number =>
    Array.from({ length: 20 }, () => rememberFlow(f, ++flow, flow << 20, 1, certain, NOW)).filter(Boolean).length;
  assert.deepEqual([made(false), made(true), made(false), made(true)], [2, 8, 0, 0]);
  assert.ok(rememberFlow(f, ++flow, flow << 20, 1, true, NOW + 1), "the next second brings more");
});

test("a flood of guesses, seen once or twice, takes no place from what is certain, and makes room for it", () => {
  const random = seededRandom(10);
  const some = (n: number) => Array.from({ length: n }, (): [number, number] => [random(2 ** 32) | 0, random(2 ** 32) | 0]);
  for (const twice of [false, true]) {
    // As an agent has it: a tenth of the table a second, so a fortieth of guesses.
    const f = table(1000, 100);
    const held = (flows: readonly [number, number][], now: number) =>
      flows.filter(([a, b]) => {
        const entry = findFlow(f, a, b, now);
        return entry >= 0 && flowCertain(f, entry);
      }).length;
    const certain: [number, number][] = [];
    let entered = 0;
    for (let now = NOW; now < NOW + 100; now++) {
      for (const [a, b] of some(2000)) {
        if (rememberFlow(f, a, b, 1, false, now) && twice) touchFlow(f, findFlow(f, a, b, now), now);
      }
      for (const [a, b] of some(8)) {
        certain.push([a, b]);
        if (rememberFlow(f, a, b, 2, true, now)) entered++;
      }
    }
    assert.equal(entered, 800, "a flow that begins always finds room");
    assert.ok(held(certain, NOW + 100) > 780, `${held(certain, NOW + 100)} of 800 are still there`);
  }
});

test("a guess that goes on stays while a flow that begins can have another place", () => {
  const f = table(8);
  const [goesOn, stale, ...rest] = inOneSet(9) as [[number, number], [number, number], ...[number, number][]];
  for (const flow of [goesOn, stale]) {
    rememberFlow(f, ...flow, 1, false, NOW);
    touchFlow(f, findFlow(f, ...flow, NOW), NOW);
  }
  for (const flow of rest.slice(0, 6)) rememberFlow(f, ...flow, 2, true, NOW + 5);
  touchFlow(f, findFlow(f, ...goesOn, NOW + 12), NOW + 12);
  rememberFlow(f, ...rest[6]!, 3, true, NOW + 12);
  assert.equal(findFlow(f, ...stale, NOW + 12), -1, "the one that was not seen for 10 s is gone");
  assert.notEqual(findFlow(f, ...goesOn, NOW + 12), -1);
  for (const flow of rest.slice(0, 7)) touchFlow(f, findFlow(f, ...flow, NOW + 12), NOW + 12);
  assert.equal(rememberFlow(f, 99, 0x12340000 + 99, 1, false, NOW + 12), false, "not for another guess");
  assert.equal(rememberFlow(f, 99, 0x12340000 + 99, 1, true, NOW + 12), true);
  assert.equal(findFlow(f, ...goesOn, NOW + 12), -1);
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
