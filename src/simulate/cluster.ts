/**
 * A modelled cluster under one policy: the code that steers real ones (chains, Maglev, controller), over counted flows and hosts
 * of given capacity. Nothing of the time of day is in it: the same specification and seed give the same run.
 */
import { type HostUse, type LoadSettings, type LoadState, loaded, spreadOf, stepLoad } from "../conductor/load-control.ts";
import { advanceGenerations, type ChainTable, chainTable, type Generation, movedBuckets } from "../steering/generations.ts";
import { NO_HOST } from "../steering/maglev.ts";
import { RememberedTables } from "../steering/remembered-tables.ts";
import { bucketMeans, Flows, planesOf, type Toll } from "./flows.ts";
import type { Act } from "./plan.ts";
import { Random } from "./random.ts";

export interface ModelHost {
  readonly name: string;
  /** Wanted weight. */
  readonly weight: number;
  /** What it can do, relative to the others. */
  readonly capacity: number;
}

export interface ModelSpec {
  readonly hosts: readonly ModelHost[];
  readonly seed: number;
  /** Key of the tables, and buckets (a prime). */
  readonly key: readonly [number, number];
  readonly buckets: number;
  readonly drainSeconds: number;
  /** Flows at a time in the long run, and their mean lifetime, s. */
  readonly flows: number;
  readonly lifetime: number;
  /** How uneven buckets are: deviation of the logarithm of their traffic. */
  readonly skew: number;
  /** Standard deviation of a measurement as a part of it, and steps by which it is late. */
  readonly noise: number;
  readonly delay: number;
  /** Mean use of all hosts when it is even. */
  readonly use: number;
  readonly load: LoadSettings;
}

/** How a cluster is steered. */
export interface Policy {
  readonly name: string;
  /** Weights follow load. */
  readonly control: boolean;
  /** Further hops lead to earlier owners. */
  readonly chains: boolean;
}

/** A change of the table. */
export interface Turn extends Toll {
  /** Share of buckets that changed their first hop, and the least that the change of weights asks for. */
  readonly moved: number;
  readonly least: number;
}

type State = "active" | "draining" | "down";

/** Generations have times in ms. */
const MS = 1000;

export class ModelCluster {
  readonly #spec: ModelSpec;
  readonly #policy: Policy;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #states: State[];
  readonly #dead = new Set<number>();
  readonly #remembered = new RememberedTables();
  readonly #noise: Random;
  readonly #flows: Flows;
  #load: LoadState = {};
  #generations: readonly Generation[] = [];
  #table: ChainTable;
  #now = 0;
  /** Uses of all hosts as they were at past steps, newest last. */
  readonly #seen: Float64Array[] = [];

  constructor(spec: ModelSpec, policy: Policy) {
    this.#spec = spec;
    this.#policy = policy;
    this.#numbers = new Map(spec.hosts.map(({ name }, i) => [name, i]));
    this.#states = spec.hosts.map(() => "active");
    // Streams of their own, so that all policies have the same traffic.
    const means = bucketMeans(new Random(spec.seed), spec.buckets, spec.flows, spec.skew);
    this.#noise = new Random(spec.seed + 1);
    this.#table = this.#build();
    this.#flows = new Flows(new Random(spec.seed + 2), means, spec.lifetime, planesOf(this.#table, this.#numbers, policy.chains));
  }

  /** Lets time pass until `time`, s. Returns the flows that went to hosts of which nobody knew that they are dead. */
  advance(time: number): number {
    if (time <= this.#now) return 0;
    const refused = this.#flows.advance(time - this.#now, this.#dead);
    this.#now = time;
    return refused;
  }

  /** Something happens to hosts. Returns what it did; null: the table stayed. */
  act(act: Act, hosts: readonly number[]): Turn | null {
    for (const host of hosts) {
      if (act === "dies") this.#dead.add(host);
      else this.#dead.delete(host);
      if (act !== "dies") this.#states[host] = act === "up" ? "active" : act === "down" ? "down" : "draining";
    }
    return act === "dies" ? null : this.#turn();
  }

  /** A step of the controller, by what is measured of hosts. Returns what it did; null: nothing. */
  balance(): Turn | null {
    const { hosts, delay, noise, load } = this.#spec;
    this.#seen.push(this.uses());
    if (this.#seen.length > delay + 1) this.#seen.shift();
    if (!this.#policy.control) return null;
    const measured = this.#seen[0]!;
    const taking = hosts.flatMap(({ name, weight }, i): HostUse[] =>
      this.#states[i] === "active"
        ? [{ name, weight, use: this.#dead.has(i) ? null : measured[i]! * Math.max(0, 1 + noise * this.#noise.normal()) }]
        : [],
    );
    const { state, moved } = stepLoad(this.#load, taking, load, new Set(this.#numbers.keys()));
    this.#load = state;
    return moved.length > 0 ? this.#turn() : null;
  }

  /** Use of every host: its flows by its capacity. */
  uses(): Float64Array {
    const { hosts, flows, use } = this.#spec;
    const capacity = hosts.reduce((sum, host) => sum + host.capacity, 0);
    return this.#flows.byHost(hosts.length).map((count, i) => (count * use * capacity) / (hosts[i]!.capacity * flows));
  }

  /** Largest use over the mean, of hosts that take new flows. */
  spread(): number {
    return spreadOf([...this.uses()].filter((_, i) => this.#states[i] === "active"));
  }

  #turn(): Turn {
    const before = this.#table;
    this.#table = this.#build();
    const down = new Set(this.#states.flatMap((state, i) => (state === "down" ? [i] : [])));
    const toll = this.#flows.steer(planesOf(this.#table, this.#numbers, this.#policy.chains), down);
    const { buckets } = this.#spec;
    return { ...toll, moved: movedBuckets(before, this.#table) / buckets, least: leastMoves(before, this.#table) / buckets };
  }

  /** The table of the present, from the generations of the past as far as the policy knows chains. */
  #build(): ChainTable {
    const { hosts, key, buckets, drainSeconds } = this.#spec;
    const active = hosts.filter((_, i) => this.#states[i] === "active");
    const up = new Set(hosts.flatMap(({ name }, i) => (this.#states[i] === "down" ? [] : [name])));
    const list = advanceGenerations(this.#generations, loaded(active, this.#load), this.#now * MS, drainSeconds * MS, up);
    this.#generations = this.#policy.chains ? list : list.slice(0, 1);
    const table = chainTable(this.#generations, buckets, key, this.#remembered.build);
    this.#remembered.forgetUnused();
    return table;
  }
}

/** Buckets that must change hands for hosts to have as many as they have in `after`. */
function leastMoves(before: ChainTable, after: ChainTable): number {
  const had = firstHops(before);
  let moves = 0;
  for (const [name, count] of firstHops(after)) moves += Math.max(0, count - (had.get(name) ?? 0));
  return moves;
}

function firstHops({ names, planes }: ChainTable): Map<string, number> {
  const counts = new Uint32Array(names.length);
  for (const index of planes[0]!) if (index !== NO_HOST) counts[index]!++;
  return new Map(names.map((name, i) => [name, counts[i]!]));
}
