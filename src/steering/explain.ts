/** Why a host is in a bucket's chain: the generation by which the bucket is, or was, its own. Not for the hot path. */
import { type ChainTable, chainTable, type DrainTime, drainTimeOf, type Generation, whenLeft } from "./generations.ts";

/** What the chains of a pool were made from. */
export interface PoolPast {
  /** Newest first. */
  readonly generations: readonly Generation[];
  readonly tableSize: number;
  readonly key: readonly [number, number];
  /** How long a host stays in the chains once it has left the newest generation, ms. */
  readonly drainMs: DrainTime;
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

/**
 * Prepares to tell where the hosts of a pool's chains come from: a function of a bucket and a host's name, null for a host
 * that is not in the bucket's chain. The table is computed when it is first asked.
 */
export function hopOrigins(past: PoolPast): (bucket: number, host: string) => HopOrigin | null {
  let table: ChainTable | undefined;
  const left = whenLeft(past.generations);
  return (bucket, host) => {
    table ??= chainTable(past.generations, past.tableSize, past.key);
    const { names, planes, ages } = table;
    const place = planes.findIndex((plane) => names[plane[bucket]!] === host);
    if (place < 0) return null;
    const age = ages[place]![bucket]!;
    const { id, time } = past.generations[age]!;
    const gone = left.get(host)!;
    const drains = Number.isFinite(gone);
    return {
      generation: id,
      since: time,
      why: age === 0 ? "newest owner" : drains ? "earlier owner, drains" : "earlier owner, stays",
      until: drains ? gone + drainTimeOf(past.drainMs, host) : null,
    };
  };
}
