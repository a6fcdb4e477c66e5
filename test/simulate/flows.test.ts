import assert from "node:assert/strict";
import { test } from "node:test";
import { bucketMeans, Flows } from "../../src/simulate/flows.ts";
import { Random } from "../../src/simulate/random.ts";
import { NO_HOST } from "../../src/steering/maglev.ts";

const BUCKETS = 200;
const NOBODY: ReadonlySet<number> = new Set();
/** All buckets with the same chain. */
const planes = (...chain: number[]): Uint16Array[] => [0, 1, 2, 3].map((i) => new Uint16Array(BUCKETS).fill(chain[i] ?? NO_HOST));
const sum = (list: Float64Array): number => list.reduce((a, b) => a + b, 0);
const model = (chain: Uint16Array[], seed = 1): Flows => {
  const random = new Random(seed);
  return new Flows(random, bucketMeans(random, BUCKETS, 20_000, 0.5), 30, chain);
};

test("there are as many flows as asked for, and stay as many", () => {
  const flows = model(planes(0));
  for (let i = 0; i < 20; i++) {
    assert.equal(flows.advance(10, NOBODY), 0);
    assert.ok(Math.abs(sum(flows.byHost(2)) - 20_000) < 5 * Math.sqrt(20_000), `${flows.byHost(2)}`);
  }
});

test("flows stay with their owner as long as it is in the chain, new ones go to the first hop", () => {
  const flows = model(planes(0));
  assert.deepEqual(flows.steer(planes(1, 0), NOBODY), { broken: 0, lost: 0 });
  flows.advance(30, NOBODY);
  const [old, fresh] = flows.byHost(2);
  assert.ok(Math.abs(old! - 20_000 / Math.E) < 600, `old ones left: ${old}`);
  assert.ok(Math.abs(fresh! - 20_000 * (1 - 1 / Math.E)) < 800);
  const before = old!;
  assert.deepEqual(flows.steer(planes(2, 1), NOBODY), { broken: before, lost: 0 });
  const after = flows.byHost(3);
  assert.deepEqual([...after], [0, fresh!, before], "what was broken is made anew with the first hop");
});

test("flows of a host that went down are lost, and none is counted twice", () => {
  const flows = model(planes(0));
  const all = sum(flows.byHost(1));
  assert.deepEqual(flows.steer(planes(1), new Set([0])), { broken: 0, lost: all });
  assert.deepEqual([...flows.byHost(2)], [0, all]);
});

test("flows to a host that nobody knows is dead are refused", () => {
  const flows = model(planes(0));
  const refused = flows.advance(3, new Set([0]));
  assert.ok(Math.abs(refused - 20_000 * (1 - Math.exp(-0.1))) < 300, `${refused}`);
});

test("traffic of buckets adds up, and is even without skew", () => {
  const even = bucketMeans(new Random(1), BUCKETS, 1000, 0);
  assert.ok(even.every((mean) => Math.abs(mean - 5) < 1e-9));
  const skewed = bucketMeans(new Random(1), BUCKETS, 1000, 1);
  assert.ok(Math.abs(sum(skewed) - 1000) < 1e-6);
  assert.ok(Math.max(...skewed) > 20);
});

test("against flows one by one: as many are broken by a series of tables", () => {
  // The same tables over flows that are each followed; the counts of two such random runs agree within chance.
  const tables = [planes(0), planes(1, 0), planes(2, 1), planes(0, 2, 1), planes(3, 0)];
  const random = new Random(9);
  const lifetime = (): number => -30 * Math.log(1 - random.next());
  let one: { owner: number; ends: number }[] = [];
  const means = bucketMeans(new Random(1), BUCKETS, 20_000, 0);
  for (let i = 0; i < 20_000; i++) one.push({ owner: 0, ends: lifetime() });
  const counted = new Flows(new Random(2), means, 30, tables[0]!);
  let broken = 0;
  let brokenOneByOne = 0;
  for (const [step, table] of tables.entries()) {
    const now = step * 20;
    if (step > 0) {
      counted.advance(20, NOBODY);
      for (let i = random.poisson((20_000 * 20) / 30); i > 0; i--) {
        const begins = now - 20 + 20 * random.next();
        one.push({ owner: tables[step - 1]![0]![0]!, ends: begins + lifetime() });
      }
      one = one.filter(({ ends }) => ends > now);
    }
    broken += counted.steer(table, NOBODY).broken;
    for (const flow of one) {
      if (table.some((plane) => plane[0] === flow.owner)) continue;
      brokenOneByOne++;
      flow.owner = table[0]![0]!;
    }
  }
  assert.ok(broken > 5000);
  assert.ok(
    Math.abs(broken - brokenOneByOne) < 6 * Math.sqrt(broken + brokenOneByOne),
    `${broken}, one by one ${brokenOneByOne}`,
  );
});
