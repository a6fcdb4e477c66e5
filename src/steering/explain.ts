/** Why a host is in a bucket's chain: the generation by which the bucket is, or was, its own. Not for the hot path. */
import { type ChainTable, chainTable, type Generation, whenLeft } from "./generations.ts";
import { NO_HOST } from "./maglev.ts";

/** What the chains of a pool were made from. */
export interface PoolPast {
  /** Newest first. */
  readonly generations: readonly Generation[];
  readonly down: ReadonlySet<string>;
  readonly tableSize: number;
  readonly key: readonly [number, number];
  /** How long a host stays in the chains once it has left the newest generation, ms. */
  readonly drainMs: number;
}

/** How a host comes to be in a chain. */
export interface HopOrigin {
  /** Id of the newest generation by which the bucket is the host's, and when that one became current, ms since the epoch. */
  readonly generation: number;
  readonly since: number;
  /** It owns the bucket now; or owned it and is still in the pool; or owned it, left, and goes with its drain time. */
  readonly why: "newest owner" | "earlier owner, stays" | "earlier owner, drains";
  /** When a host that drains leaves the chains, ms since the epoch; else null. */
  readonly until: number | null;
}

const NOBODY: Generation = { id: 0, time: 0, hosts: [] };

/** The owners of all buckets by one generation alone, as the chains have them: first hops where no newer one says otherwise. */
function ownersBy({ generations, down, tableSize, key }: PoolPast, age: number): ChainTable {
  const one = generations[age]!;
  return chainTable(age === 0 ? [one] : [NOBODY, one], down, tableSize, key);
}

/**
 * Prepares to tell where the hosts of a pool's chains come from: a function of a bucket and a host's name, null for a host
 * that no generation makes an owner of the bucket. Computes one table for each generation, when it is first asked.
 */
export function hopOrigins(past: PoolPast): (bucket: number, host: string) => HopOrigin | null {
  let tables: readonly ChainTable[] | undefined;
  const left = whenLeft(past.generations);
  return (bucket, host) => {
    tables ??= past.generations.map((_, age) => ownersBy(past, age));
    const age = tables.findIndex(({ names, planes }) => {
      const owner = planes[0]![bucket]!;
      return owner !== NO_HOST && names[owner] === host;
    });
    if (age < 0) return null;
    const { id, time } = past.generations[age]!;
    const gone = left.get(host)!;
    const drains = Number.isFinite(gone);
    return {
      generation: id,
      since: time,
      why: age === 0 ? "newest owner" : drains ? "earlier owner, drains" : "earlier owner, stays",
      until: drains ? gone + past.drainMs : null,
    };
  };
}
