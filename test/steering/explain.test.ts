import assert from "node:assert/strict";
import { test } from "node:test";
import { hopOrigins, type PoolPast } from "../../src/steering/explain.ts";
import { chainTable, type Generation, liveGenerations } from "../../src/steering/generations.ts";
import { maglev, NO_HOST } from "../../src/steering/maglev.ts";

const KEY = [5, 6] as const;
const SIZE = 1009;
const DRAIN = 10_000;

const hosts = (names: string): Generation["hosts"] => names.split("").map((name) => ({ name, weight: 1 }));
const GONE = { name: "d", weight: 1, gone: true } as const;
/** b left at 2,000; c came then and weighs more since 3,000; d went down at 3,000. */
const PAST: readonly Generation[] = [
  { id: 8, time: 3000, hosts: [...hosts("a"), { name: "c", weight: 2 }] },
  { id: 7, time: 2000, superseded: 3000, hosts: [...hosts("ac"), GONE] },
  { id: 5, time: 1000, superseded: 2000, hosts: [...hosts("ab"), GONE] },
];
const past = (generations: readonly Generation[]): PoolPast => ({
  generations,
  tableSize: SIZE,
  key: KEY,
  drainMs: DRAIN,
});

/** The chains by bucket, as host names. */
function chains({ generations }: PoolPast): string[][] {
  const { names, planes } = chainTable(generations, SIZE, KEY);
  return Array.from({ length: SIZE }, (_, bucket) =>
    planes
      .map((plane) => plane[bucket]!)
      .filter((hop) => hop !== NO_HOST)
      .map((hop) => names[hop]!),
  );
}

test("every host of every chain has the newest generation that made it an owner, and the others have none", () => {
  const pool = past(PAST);
  const origin = hopOrigins(pool);
  const plainOwners = PAST.map(({ hosts: members }) => [...maglev(members, SIZE, KEY)].map((owner) => members[owner]!.name));
  const seen = new Set<string>();
  chains(pool).forEach((chain, bucket) => {
    for (const host of "abcd") {
      const told = origin(bucket, host);
      if (!chain.includes(host)) {
        assert.equal(told, null, `${host} in bucket ${bucket}`);
        continue;
      }
      const age = plainOwners.findIndex((owners) => owners[bucket] === host);
      assert.deepEqual([told?.generation, told?.since], [PAST[age]!.id, PAST[age]!.time], `${host} in bucket ${bucket}`);
      seen.add(`${host} ${told!.generation} ${told!.why} ${told!.until}`);
    }
    assert.equal(origin(bucket, chain[0]!)?.why, "newest owner");
  });
  assert.deepEqual([...seen].sort(), [
    "a 5 earlier owner, stays null",
    "a 7 earlier owner, stays null",
    "a 8 newest owner null",
    `b 5 earlier owner, drains ${2000 + DRAIN}`,
    "c 8 newest owner null",
  ]);
});

test("a host that has drained is nowhere", () => {
  const late = past(liveGenerations(PAST, 2000 + DRAIN, DRAIN, new Set("abcd")));
  const origin = hopOrigins(late);
  const hops = chains(late).flatMap((chain, bucket) => chain.map((host) => origin(bucket, host)));
  assert.ok(hops.every((hop) => hop !== null && hop.until === null));
  assert.ok(Array.from({ length: SIZE }, (_, bucket) => origin(bucket, "b")).every((told) => told === null));
});

test("a pool without a past explains nothing", () => {
  assert.equal(hopOrigins(past([]))(0, "a"), null);
});
