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
import { seededRandom } from "../support/random.ts";

const KEY = [5, 6] as const;
const SIZE = 1009;
const generation = (id: number, names: string, time = id * 1000): Generation => ({
  id,
  time,
  hosts: names.split("").map((name) => ({ name, weight: 1 })),
});

function chains(generations: readonly Generation[]): string[] {
  const { names, planes } = chainTable(generations, SIZE, KEY);
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

test("a chain has at most four hosts; the oldest go first where none of the four takes flows any more", () => {
  const many = ["a", "b", "c", "d", "e", "f"].map((name, i) => generation(6 - i, name));
  assert.ok(chains(many).every((chain) => chain === "abcd".slice(0, MAX_CHAIN)));
});

test("a bucket with a full chain stays with its latest owner that takes flows, instead of a fifth", () => {
  const five = ["abcde", "abcd", "abc", "ab", "a"].map((names, i) => generation(5 - i, names));
  const late = chains(five);
  const before = chains(five.slice(1));
  const fifth = chains([five[0]!]);
  let kept = 0;
  late.forEach((chain, bucket) => {
    if (before[bucket]!.length === MAX_CHAIN && fifth[bucket] === "e") kept++;
    if (before[bucket]!.length === MAX_CHAIN) assert.equal(chain, before[bucket], `bucket ${bucket}`);
    else assert.equal(chain[0], fifth[bucket], `bucket ${bucket}`);
  });
  assert.ok(kept > 0);
  const fifthOf4 = chains([generation(5, "abce")]);
  const drained = chains([generation(5, "abce"), ...five.slice(1)]);
  const turned = drained.filter((chain, bucket) => before[bucket] === "dcba" && fifthOf4[bucket] === "e" && chain === "cdba");
  assert.ok(turned.length > 0);
  drained.forEach((chain, bucket) => {
    if (before[bucket] === "dcba" && fifthOf4[bucket] === "e") assert.equal(chain, "cdba", `bucket ${bucket}`);
  });
});

test("a host that went down is in no chain, also when it comes back", () => {
  const cluster = new Set("abc");
  const [two, one] = [generation(2, "ab"), generation(1, "abc")];
  const down = liveGenerations([two, { ...one, superseded: two.time }], two.time, 10_000, new Set("ab"));
  assert.ok(chains(down).every((chain) => !chain.includes("c")));
  const back = generation(3, "abc");
  const returned = chains(
    liveGenerations([back, { ...down[0]!, superseded: back.time }, ...down.slice(1)], back.time, 10_000, cluster),
  );
  const fresh = chains([back]);
  returned.forEach((chain, bucket) => {
    assert.equal(chain.includes("c"), fresh[bucket] === "c", `bucket ${bucket}: ${chain}`);
  });
});

test("an owner that has been without a bucket for an hour makes room for a fifth", () => {
  const five = ["abcde", "abcd", "abc", "ab", "a"].map((names, i) => generation(5 - i, names));
  const second = five[3]!.time;
  const at = (time: number): string[] => chains([{ ...five[0]!, time }, ...five.slice(1)]);
  const fifth = chains([five[0]!]);
  const full = chains(five.slice(1)).map((chain, bucket) => chain.length === MAX_CHAIN && fifth[bucket] === "e");
  assert.ok(full.includes(true));
  const heads = (table: readonly string[]): Set<string> => new Set(table.filter((_, bucket) => full[bucket]).map((c) => c[0]!));
  assert.ok(!heads(at(second + 3600_000 - 1)).has("e"));
  assert.deepEqual([...heads(at(second + 3600_000))], ["e"]);
});

test("whatever is changed, no chain loses a host that stays, or one that drains before its time", () => {
  const drain = 12_000;
  for (let seed = 1; seed <= 6; seed++) {
    const random = seededRandom(seed);
    const names = "abcdefgh".slice(0, 4 + (seed % 5)).split("");
    const cluster = new Map(names.map((name) => [name, { weight: 1, active: true, down: false }]));
    const vector = (): Generation["hosts"] =>
      [...cluster].flatMap(([name, { weight, active }]) => (active ? [{ name, weight }] : []));
    let list: Generation[] = [{ id: 1, time: 0, hosts: vector() }];
    const leftAt = new Map<string, number>();
    // Owners of flows that began at a time, by bucket: the first hops of then.
    const owned: Set<string>[] = Array.from({ length: SIZE }, () => new Set<string>());
    for (let step = 1; step <= 30; step++) {
      const now = step * 5000;
      chains(list).forEach((chain, bucket) => {
        owned[bucket]!.add(chain[0]!);
      });
      const name = names[random(names.length)]!;
      const host = cluster.get(name)!;
      const mostAway = [...cluster.values()].filter(({ active }) => !active).length >= names.length / 2;
      if (!host.active) {
        host.active = true;
        host.down = false;
      } else if (random(2) === 0 || mostAway) host.weight = 1 + random(4);
      else {
        host.active = false;
        host.down = random(3) === 0;
      }
      if (host.active) leftAt.delete(name);
      else leftAt.set(name, now);
      const hosts = vector();
      if (sameHosts(list[0]!.hosts, hosts)) continue;
      list = liveGenerations(
        [{ id: step + 1, time: now, hosts }, { ...list[0]!, superseded: now }, ...list.slice(1)],
        now,
        drain,
        new Set(names.filter((n) => !cluster.get(n)!.down)),
      );
      chains(list).forEach((chain, bucket) => {
        for (const owner of owned[bucket]!) {
          const left = leftAt.get(owner);
          // Its flows have ended with it.
          if (cluster.get(owner)!.down || (left !== undefined && now >= left + drain)) owned[bucket]!.delete(owner);
          else assert.ok(chain.includes(owner), `seed ${seed}, step ${step}, bucket ${bucket}: ${owner} is not in ${chain}`);
        }
      });
    }
  }
});

const known = new Set("abcd");

test("a host that left is in the chains until the drain time after that, and shapes the older table for ever", () => {
  const list = [generation(3, "ab", 50_000), generation(2, "abd", 20_000), generation(1, "abc", 0)];
  const members = (now: number): string[] =>
    liveGenerations(list, now, 10_000, known).map((g) => g.hosts.map((h) => (h.gone ? h.name.toUpperCase() : h.name)).join(""));
  assert.deepEqual(members(29_999), ["ab", "abd", "abc"]);
  assert.deepEqual(members(30_000), ["ab", "abd", "abC"]);
  assert.deepEqual(members(60_000), ["ab", "abD", "abC"]);
});

test("the drain time of a host begins when it leaves, for all its buckets, however old their generation", () => {
  const list = [generation(3, "ab", 50_000), generation(2, "abd", 20_000), generation(1, "abcd", 0)];
  const owners = (now: number): Set<string> => new Set(chains(liveGenerations(list, now, 10_000, known)).join(""));
  const ofOldest = chains([generation(1, "abcd")]);
  chains(liveGenerations(list, 59_999, 10_000, known)).forEach((chain, bucket) => {
    if (ofOldest[bucket] === "d") assert.ok(chain.includes("d"), `bucket ${bucket}: ${chain}`);
  });
  assert.deepEqual([owners(59_999).has("d"), owners(60_000).has("d"), owners(59_999).has("c")], [true, false, false]);
});

test("hosts that stay keep the flows of buckets that moved away from them, also when the drain time is over", () => {
  const heavier = { ...generation(2, "abc", 1000), hosts: [{ name: "a", weight: 2 }, ...generation(2, "bc").hosts] };
  const late = chains(liveGenerations([heavier, generation(1, "abc", 0)], 99_000, 10_000, known));
  const before = chains([generation(1, "abc")]);
  assert.ok(late.some((chain) => chain.length > 1));
  late.forEach((chain, bucket) => {
    assert.ok(chain.includes(before[bucket]!), `bucket ${bucket}: ${chain} without ${before[bucket]}`);
  });
});

test("a host that is known no more is in no chain at once, and no bucket of the others moves in the past", () => {
  const now = chains(liveGenerations([generation(2, "abc", 1000), generation(1, "abcd", 0)], 1001, 10_000, new Set("abc")));
  const before = chains([generation(1, "abcd")]);
  now.forEach((chain, bucket) => {
    assert.ok(!chain.includes("d"));
    if (before[bucket] !== "d") assert.ok(chain.includes(before[bucket]!), `bucket ${bucket}`);
  });
});

test("of generations with the same table the newest counts, and none without an owner", () => {
  const list = [generation(4, "ab", 3000), generation(3, "cd", 2000), generation(2, "ab", 1000), generation(1, "abc", 0)];
  const ids = (now: number): number[] => liveGenerations(list, now, 10_000, known).map((g) => g.id);
  assert.deepEqual(ids(4000), [4, 3, 1]);
  assert.deepEqual(ids(50_000), [4, 1]);
});

test("membership vectors are compared as sets with weights", () => {
  const a = generation(1, "ab").hosts;
  assert.ok(sameHosts(a, [...a].reverse()));
  assert.ok(sameHosts(a, [...a, { name: "z", weight: 0 }]));
  assert.ok(!sameHosts(a, [a[0]!, { name: "b", weight: 2 }]));
});

test("moved buckets are counted by name, whatever the indexes", () => {
  const before = chainTable([generation(1, "abc")], SIZE, KEY);
  const after = chainTable([generation(2, "bc")], SIZE, KEY);
  const owned = chains([generation(1, "abc")]).filter((chain) => chain === "a").length;
  const moved = movedBuckets(before, after);
  assert.ok(moved >= owned && moved < owned * 1.2, `${moved} moved, ${owned} had to`);
  assert.equal(movedBuckets(before, chainTable([generation(9, "cab")], SIZE, KEY)), 0);
});
