import assert from "node:assert/strict";
import { test } from "node:test";
import {
  chainTable,
  type Generation,
  liveGenerations,
  MAX_CHAIN,
  movedBuckets,
  sameHosts,
} from "../../src/steering/generations.ts";
import { maglev, NO_HOST } from "../../src/steering/maglev.ts";

const KEY = [5, 6] as const;
const SIZE = 1009;
const generation = (id: number, names: string, time = id * 1000): Generation => ({
  id,
  time,
  hosts: names.split("").map((name) => ({ name, weight: 1 })),
});
const none: ReadonlySet<string> = new Set();

function chains(generations: readonly Generation[], down: ReadonlySet<string> = none): string[] {
  const { names, planes } = chainTable(generations, down, SIZE, KEY);
  return Array.from({ length: SIZE }, (_, bucket) =>
    planes
      .map((plane) => plane[bucket]!)
      .filter((hop) => hop !== NO_HOST)
      .map((hop) => names[hop]!)
      .join(""),
  );
}

test("one generation gives chains of one host", () => {
  const owners = maglev(generation(1, "abc").hosts, SIZE, KEY);
  assert.deepEqual(
    chains([generation(1, "abc")]),
    [...owners].map((owner) => "abc"[owner]),
  );
});

test("older generations follow where they differ, newest first, without repetition", () => {
  const now = chains([generation(3, "abd"), generation(2, "abcd"), generation(1, "abc")]);
  const one = chains([generation(3, "abd")]);
  const two = chains([generation(2, "abcd")]);
  const three = chains([generation(1, "abc")]);
  now.forEach((chain, i) => {
    assert.equal(chain, [...new Set([one[i], two[i], three[i]])].join(""));
  });
});

test("a chain has at most four hosts", () => {
  const many = ["a", "b", "c", "d", "e", "f"].map((name, i) => generation(6 - i, name));
  assert.ok(chains(many).every((chain) => chain === "abcd".slice(0, MAX_CHAIN)));
});

test("hosts that are down are left out everywhere, and every bucket keeps a first hop", () => {
  const now = chains([generation(2, "abc"), generation(1, "abcd")], new Set(["a", "d"]));
  assert.ok(now.every((chain) => /^(b|c|bc|cb)$/.test(chain)));
});

test("a generation lives until the drain time after it was superseded", () => {
  const list = [generation(3, "a", 50_000), generation(2, "b", 20_000), generation(1, "c", 0)];
  const ids = (now: number): number[] => liveGenerations(list, now, 10_000).map((g) => g.id);
  assert.deepEqual(ids(29_999), [3, 2, 1]);
  assert.deepEqual(ids(30_000), [3, 2]);
  assert.deepEqual(ids(60_000), [3]);
});

test("membership vectors are compared as sets with weights", () => {
  const a = generation(1, "ab").hosts;
  assert.ok(sameHosts(a, [...a].reverse()));
  assert.ok(sameHosts(a, [...a, { name: "z", weight: 0 }]));
  assert.ok(!sameHosts(a, [a[0]!, { name: "b", weight: 2 }]));
});

test("moved buckets are counted by name, whatever the indexes", () => {
  const before = chainTable([generation(1, "abc")], none, SIZE, KEY);
  const after = chainTable([generation(2, "bc")], none, SIZE, KEY);
  const owned = chains([generation(1, "abc")]).filter((chain) => chain === "a").length;
  const moved = movedBuckets(before, after);
  assert.ok(moved >= owned && moved < owned * 1.2, `${moved} moved, ${owned} had to`);
  assert.equal(movedBuckets(before, chainTable([generation(9, "cab")], none, SIZE, KEY)), 0);
});
