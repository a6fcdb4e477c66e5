import assert from "node:assert/strict";
import { test } from "node:test";
import type { LoadSettings } from "../../src/conductor/load-control.ts";
import type { ModelSpec } from "../../src/simulate/cluster.ts";
import { type PlanSpec, planOf, type Scenario } from "../../src/simulate/plan.ts";
import { Random } from "../../src/simulate/random.ts";
import { cutByChains } from "../../src/simulate/report.ts";
import { type Course, kindsOf, POLICIES, type Run, run, summaryOf } from "../../src/simulate/simulate.ts";

const LOAD: LoadSettings = { gain: 0.25, step: 0.1, deadBand: 0.03, idle: 0.2, floor: 0.1, ceiling: 4, settle: 2 };
const CAPACITIES = [1, 1, 2, 2, 4];

function course(scenario: Scenario, hosts: number, more: Partial<ModelSpec> = {}, plan: Partial<PlanSpec> = {}): Course {
  const drainSeconds = 300;
  const events = planOf(scenario, { hosts, lead: 600, failures: 3, batch: 1, drainSeconds, ...plan }, new Random(1));
  return {
    model: {
      hosts: Array.from({ length: hosts }, (_, i) => ({ name: `h${i}`, weight: 1, capacity: CAPACITIES[i % 5]! })),
      seed: 1,
      key: [5, 6],
      buckets: 8191,
      drainSeconds,
      flows: 100_000,
      lifetime: 30,
      skew: 0.2,
      noise: 0.01,
      delay: 1,
      use: 0.5,
      load: LOAD,
      ...more,
    },
    plan: events,
    interval: 30,
    seconds: Math.max(1800, (events.at(-1)?.time ?? 0) + 600),
  };
}

const runs = (one: Course): [Run, Run, Run] => POLICIES.map((policy) => run(one, policy)) as [Run, Run, Run];

test("hosts of capacity 1, 1, 2, 2, 4 with equal weights: use is even within 20 steps by the very tables, and stays so", () => {
  for (const [skew, noise, delay] of [
    [0, 0, 0],
    [0.2, 0.01, 1],
    [0.5, 0.02, 1],
  ] as const) {
    const one = course("uneven", 5, { skew, noise, delay, buckets: 65_537, flows: 1_000_000 });
    const [ours, , equal] = runs(one).map(summaryOf) as [ReturnType<typeof summaryOf>, unknown, ReturnType<typeof summaryOf>];
    assert.ok(ours.spread.first > 1.4 && equal.spread.end > 1.4, "even without doing anything");
    assert.ok(ours.spread.worst <= 1.05, `skew ${skew}, noise ${noise}, delay ${delay}: ${ours.spread.worst}`);
    assert.equal(ours.broken + ours.lost, 0);
  }
});

test("a rolling upgrade cuts at least 100 times fewer connections with chains than without", () => {
  const summaries = runs(course("upgrade", 20)).map(summaryOf);
  const { chains, without, times } = cutByChains(summaries);
  assert.ok(without > 100_000, `${without} without chains`);
  assert.ok(times >= 100, `${chains} with chains, ${without} without`);
});

test("failures: only the flows of the host that died are lost with chains, those of others are broken without", () => {
  const [ours, without] = runs(course("failures", 10)).map((one) => ({ ...one, kinds: kindsOf(one) })) as [
    Run & { kinds: ReturnType<typeof kindsOf> },
    Run & { kinds: ReturnType<typeof kindsOf> },
  ];
  const down = (one: { kinds: ReturnType<typeof kindsOf> }) => one.kinds.find(({ what }) => what === "down")!;
  assert.ok(down(ours).lost > 1000 && down(without).lost > 1000);
  assert.ok(ours.refused > 0 && without.refused > 0);
  assert.ok(summaryOf(ours).broken * 20 < summaryOf(without).broken);
});

test("the same seed gives the same run, another seed another", () => {
  const text = (seed: number): string =>
    JSON.stringify(run(course("failures", 5, { seed, flows: 10_000, buckets: 1009 }), POLICIES[0]!));
  assert.equal(text(1), text(1));
  assert.notEqual(text(1), text(2));
});

test("plans: every host is upgraded once, in order of time", () => {
  const plan = planOf("upgrade", { hosts: 7, lead: 10, failures: 0, batch: 3, drainSeconds: 60 }, new Random(1));
  for (const act of ["drain", "down", "up"]) {
    const hosts = plan.filter((event) => event.act === act).flatMap((event) => event.hosts);
    assert.deepEqual(hosts, [0, 1, 2, 3, 4, 5, 6]);
  }
  assert.ok(plan.every((event, i) => i === 0 || event.time >= plan[i - 1]!.time));
  assert.deepEqual(planOf("uneven", { hosts: 7, lead: 10, failures: 0, batch: 3, drainSeconds: 60 }, new Random(1)), []);
});
