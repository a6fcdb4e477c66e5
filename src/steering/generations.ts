/**
 * From a pool's generations to the chain of hosts per bucket. A pure function: every host that knows the same few hundred
 * bytes computes the same table, also one that joins late.
 */
import { maglev, NO_HOST, type WeightedHost } from "./maglev.ts";

/** One membership-and-weights vector of a pool. */
export interface Generation {
  readonly id: number;
  /** When it became the newest, ms since the epoch. */
  readonly time: number;
  readonly hosts: readonly WeightedHost[];
}

/** Hosts that may own a flow of a bucket, at most. */
export const MAX_CHAIN = 4;

export interface ChainTable {
  /** Host names; the planes hold indexes into this list. */
  readonly names: readonly string[];
  /** MAX_CHAIN planes of one entry per bucket: first hops, second hops, ...; NO_HOST where a chain has ended. */
  readonly planes: readonly Uint16Array[];
}

/**
 * The generations that still count, newest first: the newest, and those superseded less than `drainMs` ago.
 * `generations` are newest first; `now` is in ms since the epoch.
 */
export function liveGenerations(generations: readonly Generation[], now: number, drainMs: number): Generation[] {
  return generations.filter((_, i) => i === 0 || generations[i - 1]!.time + drainMs > now);
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
 * hosts in `down`. The newest generation is built without them, so that each bucket has a first hop while any host is left.
 */
export function chainTable(
  generations: readonly Generation[],
  down: ReadonlySet<string>,
  size: number,
  key: readonly [number, number],
): ChainTable {
  const names = [...new Set(generations.flatMap((g) => g.hosts.map((h) => h.name)))].filter((name) => !down.has(name)).sort();
  const index = new Map(names.map((name, i) => [name, i]));
  const planes = Array.from({ length: MAX_CHAIN }, () => new Uint16Array(size).fill(NO_HOST));
  for (const [age, generation] of generations.entries()) {
    const hosts = age === 0 ? generation.hosts.filter((h) => !down.has(h.name)) : generation.hosts;
    const ids = Uint16Array.from(hosts, (h) => index.get(h.name) ?? NO_HOST);
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
