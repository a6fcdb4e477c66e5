import assert from "node:assert/strict";
import { test } from "node:test";
import { isPrime, maglev, NO_HOST, type WeightedHost } from "../../src/steering/maglev.ts";

const SIZE = 65537;
const KEY = [0x01234567, 0x89abcdef] as const;
const hosts = (n: number, weight: (i: number) => number = () => 1): WeightedHost[] =>
  Array.from({ length: n }, (_, i) => ({ name: `s${i + 1}`, weight: weight(i) }));

function shares(table: Uint16Array, n: number): number[] {
  const counts = new Array<number>(n).fill(0);
  for (const owner of table) counts[owner]! += 1;
  return counts;
}

/** Buckets whose owner, by name, differs. */
function moved(a: Uint16Array, ha: readonly WeightedHost[], b: Uint16Array, hb: readonly WeightedHost[]): number {
  return a.reduce((n, owner, i) => n + (ha[owner]!.name === hb[b[i]!]!.name ? 0 : 1), 0);
}

test("a small table is what it has always been", () => {
  // Pinned: a change here breaks every connection of a cluster that is upgraded host by host.
  assert.deepEqual([...maglev(hosts(3), 13, KEY)], [1, 1, 1, 0, 1, 0, 0, 2, 2, 2, 0, 2, 0]);
  const table = maglev(
    hosts(4, (i) => i + 1),
    SIZE,
    KEY,
  );
  assert.deepEqual([table[0], table[1], table[4242], table[65536]], [3, 1, 2, 1]);
});

test("no order of the hosts changes the table", () => {
  const a = maglev(hosts(5), SIZE, KEY);
  const reversed = hosts(5).reverse();
  assert.equal(moved(a, hosts(5), maglev(reversed, SIZE, KEY), reversed), 0);
});

test("shares keep to the weights within 1 %", () => {
  for (const weights of [
    [1, 1, 1, 1],
    [3, 1, 1, 1],
    [1, 2, 4, 8, 16],
    [100, 99, 1],
  ]) {
    const total = weights.reduce((a, b) => a + b);
    const counts = shares(
      maglev(
        hosts(weights.length, (i) => weights[i]!),
        SIZE,
        KEY,
      ),
      weights.length,
    );
    counts.forEach((count, i) => {
      const fair = (SIZE * weights[i]!) / total;
      assert.ok(Math.abs(count - fair) <= fair * 0.01 + 1, `weight ${weights[i]} of ${weights}: ${count} buckets, fair ${fair}`);
    });
  }
});

test("removing one of N hosts moves at most 1/N + 1 % of the buckets", () => {
  for (const n of [2, 3, 4, 5, 10, 50, 200]) {
    const all = hosts(n);
    const before = maglev(all, SIZE, KEY);
    for (const gone of [0, n >> 1, n - 1]) {
      const left = all.filter((_, i) => i !== gone);
      const share = moved(before, all, maglev(left, SIZE, KEY), left) / SIZE;
      assert.ok(share <= 1 / n + 0.01, `${n} hosts without number ${gone}: ${share}`);
    }
  }
});

test("a host of weight 0 owns nothing, and without hosts nobody does", () => {
  assert.equal(
    shares(
      maglev(
        hosts(3, (i) => i),
        SIZE,
        KEY,
      ),
      3,
    )[0],
    0,
  );
  assert.ok(maglev([], 13, KEY).every((owner) => owner === NO_HOST));
  assert.ok(
    maglev(
      hosts(2, () => 0),
      13,
      KEY,
    ).every((owner) => owner === NO_HOST),
  );
});

test("another key gives another table", () => {
  const n = moved(maglev(hosts(10), SIZE, KEY), hosts(10), maglev(hosts(10), SIZE, [1, 2]), hosts(10));
  assert.ok(n > SIZE / 2, `${n} buckets differ`);
});

test("primes are told from what is not", () => {
  assert.deepEqual([2, 13, 65537, 1, 0, 65536, 65535, 2.5].map(isPrime), [true, true, true, false, false, false, false, false]);
});
