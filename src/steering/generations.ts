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
  /** In the same places, by which generation the hop owned the bucket last: its position in the list the table was made from. */
  readonly ages: readonly Uint8Array[];
}

/** Generations that are kept, at most: each that differs costs a table to be computed when a pool changes. */
const MAX_GENERATIONS = 32;

/** How long after a bucket has moved away a full chain keeps its owner, ms. */
const REMEMBERED_MS = 3600_000;

/** How long a host stays in the chains once it has left its pool, ms; a function of its name where hosts differ. */
export type DrainTime = number | ((host: string) => number);

/** The drain time of one host, ms. */
export const drainTimeOf = (drain: DrainTime, host: string): number => (typeof drain === "number" ? drain : drain(host));

/**
 * The generations that still count at `now` (ms since the epoch), newest first. Hosts that left the pool `drainMs` ago or
 * earlier, or are not in `known`, are gone from them, also when they come back. Hosts that stay are not: a bucket that moved from one to another when
 * weights changed must not cut the flows it had, however old they get. All hosts shape the tables as they did, else the
 * buckets of those that stay would move in the past.
 */
export function liveGenerations(
  generations: readonly Generation[],
  now: number,
  drainMs: DrainTime,
  known: ReadonlySet<string>,
): Generation[] {
  const left = whenLeft(generations);
  const isGone = (name: string): boolean => !known.has(name) || left.get(name)! + drainTimeOf(drainMs, name) <= now;
  const live: Generation[] = [];
  const seen = new Set<string>();
  for (const [i, g] of generations.entries()) {
    const hosts = g.hosts.map((h): Member => (h.gone || isGone(h.name) ? { ...h, gone: true } : h));
    // A newer one with the same table says as much.
    const vector = vectorOf(hosts);
    const needless = hosts.every((h) => h.gone) || seen.has(vector);
    if (i > 0 && needless) continue;
    live.push({ ...g, hosts });
    seen.add(vector);
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

/** What of a membership vector steers, as text. */
const vectorOf = (hosts: readonly WeightedHost[]): string =>
  hosts
    .filter((h) => h.weight > 0)
    .map((h) => `${h.weight} ${h.name}`)
    .sort()
    .join("\n");

/** Whether two membership vectors steer alike. */
export const sameHosts = (a: readonly WeightedHost[], b: readonly WeightedHost[]): boolean => vectorOf(a) === vectorOf(b);

/**
 * A pool's generations, newest first, once `hosts` are those that take new flows at `now`: with one more if they steer otherwise
 * than the newest, and without what does not count any more (liveGenerations, which see for `drainMs` and `known`).
 */
export function advanceGenerations(
  before: readonly Generation[],
  hosts: readonly WeightedHost[],
  now: number,
  drainMs: DrainTime,
  known: ReadonlySet<string>,
): Generation[] {
  const [newest, ...older] = before;
  const list =
    newest !== undefined && sameHosts(newest.hosts, hosts)
      ? before
      : [
          { id: (newest?.id ?? 0) + 1, time: now, hosts },
          ...(newest === undefined ? [] : [{ ...newest, superseded: now }, ...older]),
        ];
  return liveGenerations(list, now, drainMs, known);
}

/**
 * Chains of a pool: for every bucket the owners by each generation, newest first, without repetition and without the
 * hosts that are gone.
 *
 * A bucket whose chain is full does not move to a fifth owner, which would cut the flows of the first: it goes to the latest
 * of its owners that takes flows in that generation, until one of them has been without it for an hour. That follows from
 * the generations alone, so that all hosts do the same. `build` gives the table of a generation.
 */
export function chainTable(
  generations: readonly Generation[],
  size: number,
  key: readonly [number, number],
  build: typeof maglev = maglev,
): ChainTable {
  const owners = generations.flatMap((g) => g.hosts.filter((h) => !h.gone));
  const names = [...new Set(owners.map((h) => h.name))].sort();
  const index = new Map(names.map((name, i) => [name, i]));
  const planes = Array.from({ length: MAX_CHAIN }, () => new Uint16Array(size).fill(NO_HOST));
  const ages = Array.from({ length: MAX_CHAIN }, () => new Uint8Array(size));
  for (let age = generations.length - 1; age >= 0; age--) {
    const { hosts } = generations[age]!;
    const ids = Uint16Array.from(hosts, (h) => (h.gone ? NO_HOST : index.get(h.name)!));
    const takes = new Uint8Array(names.length);
    hosts.forEach(({ weight }, i) => {
      if (ids[i] !== NO_HOST && weight > 0) takes[ids[i]!] = 1;
    });
    addOwners(planes, ages, build(hosts, size, key), ids, takes, age, oldestThatStays(generations, age));
  }
  return { names, planes, ages };
}

/** Of the generations before that at `age`, the oldest whose owners a full chain keeps: its position in the list. */
function oldestThatStays(generations: readonly Generation[], age: number): number {
  const limit = generations[age]!.time - REMEMBERED_MS;
  let oldest = age;
  while (oldest + 1 < generations.length && (generations[oldest + 1]!.superseded ?? generations[oldest]!.time) > limit) oldest++;
  return oldest;
}

/** Puts the owner of every bucket by the generation at `age`, or who owns it in its place, at the head of the chain. */
function addOwners(
  planes: readonly Uint16Array[],
  ages: readonly Uint8Array[],
  owners: Uint16Array,
  ids: Uint16Array,
  takes: Uint8Array,
  age: number,
  oldest: number,
): void {
  const last = MAX_CHAIN - 1;
  const [first, firstAges] = [planes[0]!, ages[0]!];
  for (let bucket = 0; bucket < owners.length; bucket++) {
    const owner = owners[bucket]!;
    let id = owner === NO_HOST ? NO_HOST : ids[owner]!;
    if (id === NO_HOST) continue;
    // Most buckets stay where they are from one generation to the next.
    if (first[bucket] === id) {
      firstAges[bucket] = age;
      continue;
    }
    let place = placeOf(planes, bucket, id);
    if (place > last) {
      place = last;
      if (planes[last]![bucket] !== NO_HOST && ages[last]![bucket]! <= oldest) {
        const latest = planes.findIndex((plane) => takes[plane[bucket]!] === 1);
        if (latest >= 0) {
          place = latest;
          id = planes[latest]![bucket]!;
        }
      }
    }
    for (let i = place; i > 0; i--) {
      planes[i]![bucket] = planes[i - 1]![bucket]!;
      ages[i]![bucket] = ages[i - 1]![bucket]!;
    }
    first[bucket] = id;
    firstAges[bucket] = age;
  }
}

/** Where a host is in the chain of a bucket, or where the chain ends; MAX_CHAIN when it is full. */
function placeOf(planes: readonly Uint16Array[], bucket: number, id: number): number {
  for (let place = 0; place < MAX_CHAIN; place++) {
    const hop = planes[place]![bucket]!;
    if (hop === id || hop === NO_HOST) return place;
  }
  return MAX_CHAIN;
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
