/**
 * From a pool's generations to the chain of hosts per bucket. A pure function: every host that knows the same few hundred
 * bytes computes the same table, also one that joins late.
 */
import { maglev, NO_HOST, type WeightedHost } from "./maglev.ts";

/** A host of a generation. */
export interface Member extends WeightedHost {
  /** It shapes the generation's table as before, but no flow of that time is its own any more: it is in no chain. */
  readonly gone?: true;
}

/** One membership-and-weights vector of a pool. */
export interface Generation {
  readonly id: number;
  /** When it became the newest, and when it ceased to be, ms since the epoch. */
  readonly time: number;
  readonly superseded?: number;
  readonly hosts: readonly Member[];
}

/** Hosts that may own a flow of a bucket, at most. */
export const MAX_CHAIN = 4;

export interface ChainTable {
  /** Host names; the planes hold indexes into this list. */
  readonly names: readonly string[];
  /** MAX_CHAIN planes of one entry per bucket: first hops, second hops, ...; NO_HOST where a chain has ended. */
  readonly planes: readonly Uint16Array[];
}

/** Generations that are kept, at most: each that differs costs a table to be computed when a pool changes. */
const MAX_GENERATIONS = 16;

/**
 * The generations that still count at `now` (ms since the epoch), newest first. Hosts that left the pool `drainMs` ago or
 * earlier, or are not in `known`, are gone from them. Hosts that stay are not: a bucket that moved from one to another when
 * weights changed must not cut the flows it had, however old they get. All hosts shape the tables as they did, else the
 * buckets of those that stay would move in the past.
 */
export function liveGenerations(
  generations: readonly Generation[],
  now: number,
  drainMs: number,
  known: ReadonlySet<string>,
): Generation[] {
  const left = whenLeft(generations);
  const isGone = (name: string): boolean => !known.has(name) || left.get(name)! + drainMs <= now;
  const live: Generation[] = [];
  for (const [i, g] of generations.entries()) {
    const hosts = g.hosts.map(({ name, weight }): Member => (isGone(name) ? { name, weight, gone: true } : { name, weight }));
    // A newer one with the same table says as much.
    const needless = hosts.every((h) => h.gone) || live.some((newer) => sameHosts(newer.hosts, hosts));
    if (i === 0 || !needless) live.push({ ...g, hosts });
  }
  return live.slice(0, MAX_GENERATIONS);
}

/** When each host ceased to be in the newest generation, ms since the epoch; infinity for those in it. */
export function whenLeft(generations: readonly Generation[]): Map<string, number> {
  const left = new Map<string, number>();
  for (const [i, g] of generations.entries()) {
    const at = i === 0 ? Number.POSITIVE_INFINITY : (g.superseded ?? generations[i - 1]!.time);
    for (const { name } of g.hosts) if (!left.has(name)) left.set(name, at);
  }
  return left;
}

/** Whether two membership vectors steer alike. */
export function sameHosts(a: readonly WeightedHost[], b: readonly WeightedHost[]): boolean {
  const text = (hosts: readonly WeightedHost[]): string =>
    hosts
      .filter((h) => h.weight > 0)
      .map((h) => `${h.weight} ${h.name}`)
      .sort()
      .join("\n");
  return text(a) === text(b);
}

/**
 * Chains of a pool: for every bucket the owners by each generation, newest first, without repetition and without the
 * hosts in `down` and those that are gone. The newest generation is built without them, so that each bucket has a first hop while any host is left.
 */
export function chainTable(
  generations: readonly Generation[],
  down: ReadonlySet<string>,
  size: number,
  key: readonly [number, number],
): ChainTable {
  const owners = generations.flatMap((g) => g.hosts.filter((h) => !h.gone && !down.has(h.name)));
  const names = [...new Set(owners.map((h) => h.name))].sort();
  const index = new Map(names.map((name, i) => [name, i]));
  const planes = Array.from({ length: MAX_CHAIN }, () => new Uint16Array(size).fill(NO_HOST));
  for (const [age, generation] of generations.entries()) {
    const hosts = age === 0 ? generation.hosts.filter((h) => !down.has(h.name)) : generation.hosts;
    const ids = Uint16Array.from(hosts, (h) => (h.gone ? NO_HOST : (index.get(h.name) ?? NO_HOST)));
    appendOwners(planes, maglev(hosts, size, key), ids);
  }
  return { names, planes };
}

function appendOwners(planes: readonly Uint16Array[], owners: Uint16Array, ids: Uint16Array): void {
  for (let bucket = 0; bucket < owners.length; bucket++) {
    const owner = owners[bucket]!;
    const id = owner === NO_HOST ? NO_HOST : ids[owner]!;
    if (id === NO_HOST) continue;
    for (const plane of planes) {
      const hop = plane[bucket]!;
      if (hop === id) break;
      if (hop !== NO_HOST) continue;
      plane[bucket] = id;
      break;
    }
  }
}

/** Buckets whose first hop differs between two tables, by host name. */
export function movedBuckets(before: ChainTable, after: ChainTable): number {
  const a = before.planes[0]!;
  const b = after.planes[0]!;
  if (a.length !== b.length) return b.length;
  let moved = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!;
    const y = b[i]!;
    if ((x === NO_HOST ? "" : before.names[x]) !== (y === NO_HOST ? "" : after.names[y])) moved++;
  }
  return moved;
}
