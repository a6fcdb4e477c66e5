/**
 * The flows of a modelled cluster, counted by bucket and owner.
 *
 * Flows of a bucket come as a Poisson process, at a rate that is the bucket's own, and each lasts for a time that is exponentially
 * distributed. Such flows have no memory: how many there are of each owner is all that matters for what comes. So from one change of
 * the tables to the next the counts are drawn from their exact distributions, however much time passes and however many flows
 * there are: of those there were a binomial number remains, and a Poisson number has come and not gone.
 *
 * A new flow belongs to the first hop of its bucket. When the table changes a flow lives on as long as its owner is in the chain of
 * its bucket: no director remembers it, which is the worst case. One whose owner is not is broken, and made anew with the first hop.
 */
import { type ChainTable, MAX_CHAIN } from "../steering/generations.ts";
import { NO_HOST } from "../steering/maglev.ts";
import type { Random } from "./random.ts";

/** What a change of tables did to flows. */
export interface Toll {
  /** Flows whose owner is there but not in the chain any more. */
  readonly broken: number;
  /** Flows whose owner went down under them. */
  readonly lost: number;
}

export class Flows {
  readonly #random: Random;
  /** Mean number of flows by bucket. */
  readonly #means: Float64Array;
  readonly #lifetime: number;
  /** MAX_CHAIN places for each bucket: owner and number of its flows there. */
  readonly #owners: Uint16Array;
  readonly #counts: Uint32Array;
  /** First hop of each bucket. */
  #first: Uint16Array;

  /** `means`: flows that each bucket has in the long run; `lifetime`: their mean, s; `chains`: the planes of a table, in hosts' numbers. */
  constructor(random: Random, means: Float64Array, lifetime: number, chains: readonly Uint16Array[]) {
    this.#random = random;
    this.#means = means;
    this.#lifetime = lifetime;
    this.#owners = new Uint16Array(means.length * MAX_CHAIN).fill(NO_HOST);
    this.#counts = new Uint32Array(means.length * MAX_CHAIN);
    this.#first = chains[0]!;
    for (let bucket = 0; bucket < means.length; bucket++) this.#add(bucket, random.poisson(means[bucket]!));
  }

  /** Lets `seconds` pass. Returns how many flows were refused, because the first hop of their bucket is in `dead`. */
  advance(seconds: number, dead: ReadonlySet<number>): number {
    const stays = Math.exp(-seconds / this.#lifetime);
    const random = this.#random;
    let refused = 0;
    for (let bucket = 0; bucket < this.#means.length; bucket++) {
      const end = (bucket + 1) * MAX_CHAIN;
      for (let place = bucket * MAX_CHAIN; place < end; place++) {
        const count = this.#counts[place]!;
        if (count > 0) this.#counts[place] = random.binomial(count, stays);
      }
      const fresh = random.poisson(this.#means[bucket]! * (1 - stays));
      if (dead.size > 0 && dead.has(this.#first[bucket]!)) refused += fresh;
      else this.#add(bucket, fresh);
    }
    return refused;
  }

  /** Another table: flows that it does not lead to their owner are broken, those of hosts in `down` lost; both are made anew. */
  steer(chains: readonly Uint16Array[], down: ReadonlySet<number>): Toll {
    this.#first = chains[0]!;
    const toll = { broken: 0, lost: 0 };
    for (let bucket = 0; bucket < this.#means.length; bucket++) {
      let anew = 0;
      for (let place = bucket * MAX_CHAIN; place < (bucket + 1) * MAX_CHAIN; place++) {
        const count = this.#counts[place]!;
        if (count === 0) continue;
        const owner = this.#owners[place]!;
        if (chains.some((plane) => plane[bucket] === owner) && !down.has(owner)) continue;
        if (down.has(owner)) toll.lost += count;
        else toll.broken += count;
        this.#counts[place] = 0;
        anew += count;
      }
      this.#add(bucket, anew);
    }
    return toll;
  }

  /** Flows by host, for hosts numbered 0 to `hosts` - 1. */
  byHost(hosts: number): Float64Array {
    const sums = new Float64Array(hosts);
    for (let place = 0; place < this.#counts.length; place++) {
      const count = this.#counts[place]!;
      if (count > 0) sums[this.#owners[place]!]! += count;
    }
    return sums;
  }

  #add(bucket: number, count: number): void {
    const owner = this.#first[bucket]!;
    if (count === 0 || owner === NO_HOST) return;
    let free = -1;
    for (let place = bucket * MAX_CHAIN; place < (bucket + 1) * MAX_CHAIN; place++) {
      if (this.#counts[place] === 0) free = free < 0 ? place : free;
      else if (this.#owners[place] === owner) {
        this.#counts[place]! += count;
        return;
      }
    }
    // Owners with flows are all in the chain, and the first hop is one of it: there is room.
    this.#owners[free] = owner;
    this.#counts[free] = count;
  }
}

/** The planes of a table in hosts' numbers. With `chains` false only the first: Maglev by itself. */
export function planesOf(table: ChainTable, numbers: ReadonlyMap<string, number>, chains: boolean): Uint16Array[] {
  const ids = table.names.map((name) => numbers.get(name)!);
  const planes = chains ? table.planes : table.planes.slice(0, 1);
  return planes.map((plane) => plane.map((index) => (index === NO_HOST ? NO_HOST : ids[index]!)));
}

/** Flows of each bucket in the long run, `flows` in all; uneven by a log-normal factor of deviation `skew`. */
export function bucketMeans(random: Random, buckets: number, flows: number, skew: number): Float64Array {
  const means = new Float64Array(buckets).map(() => Math.exp(skew * random.normal()));
  const sum = means.reduce((a, b) => a + b, 0);
  return means.map((mean) => (mean * flows) / sum);
}
