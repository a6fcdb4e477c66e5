/** What the conductor decides: from what is wanted, what is seen and what was decided before, new decisions and new generations. Pure. */
import type { Config } from "../control/config.ts";
import { poolsOf } from "../control/site.ts";
import type { Generation } from "../steering/generations.ts";
import type { PoolDecisions } from "../store/records.ts";
import { decidePool } from "./decide-pool.ts";
import { judge, opinions, type Sightings } from "./evidence.ts";

export interface ClusterView {
  /** What is wanted. */
  readonly config: Config;
  readonly sightings: Sightings;
  /** By service what load wants the weights of hosts to be multiplied by; 1 where nothing is said. */
  readonly factors: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Everybody has had the time to be heard of: what is seen may move something. What the operator wants always may. */
  readonly settled: boolean;
  /** By the cluster's clock, ms. */
  readonly now: number;
}

/** By name of the pool: of a service, or of a service at a site (control/site.ts). */
export type Decisions = Readonly<Record<string, PoolDecisions>>;
export type Pools = ReadonlyMap<string, readonly Generation[]>;

export interface Outcome {
  readonly decisions: Decisions;
  readonly pools: Pools;
  /** Pools whose generations are not those of before, and why. */
  readonly changed: ReadonlyMap<string, string>;
  /** Pools that are not wanted any more. */
  readonly removed: readonly string[];
  readonly alarms: readonly string[];
}

/** The same again, a moment later, changes nothing. */
export function decide(view: ClusterView, before: Decisions, pools: Pools): Outcome {
  const { config, sightings, now } = view;
  const others = opinions(sightings, new Set(config.hosts.map(({ name }) => name)), now);
  const decisions: Record<string, PoolDecisions> = {};
  const after = new Map<string, readonly Generation[]>();
  const changed = new Map<string, string>();
  const alarms: string[] = [];
  for (const { name, service } of poolsOf(config)) {
    const verdicts = new Map(service.pool.map(({ host }) => [host, judge(host, service.name, sightings, others, now)]));
    const factors = view.factors[service.name] ?? {};
    const outcome = decidePool(
      { config, name, service, verdicts, factors, settled: view.settled, now },
      before[name],
      pools.get(name),
    );
    decisions[name] = outcome.decisions;
    after.set(name, outcome.generations);
    if (outcome.why !== null) changed.set(name, outcome.why);
    alarms.push(...outcome.alarms);
  }
  const removed = [...pools.keys()].filter((name) => !after.has(name));
  return { decisions, pools: after, changed, removed, alarms };
}
