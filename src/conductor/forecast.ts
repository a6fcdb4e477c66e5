/** What a change of the wanted state will move, by the same decisions and the same tables that it will be made with. Pure. */
import type { Config } from "../control/config.ts";
import { keysOf } from "../steering/flow-hash.ts";
import { type ChainTable, chainTable } from "../steering/generations.ts";
import { NO_HOST } from "../steering/maglev.ts";
import { RememberedTables } from "../steering/remembered-tables.ts";
import { type Decisions, decide, type Pools } from "./decide.ts";

/** Buckets of a pool that change their owner. */
export interface PoolMove {
  /** Name of the pool (control/site.ts). */
  readonly pool: string;
  readonly buckets: number;
  readonly moved: number;
  /** From whom to whom, most first; null: nobody. */
  readonly moves: readonly { readonly from: string | null; readonly to: string | null; readonly buckets: number }[];
}

const NOTHING_SEEN = { reports: new Map(), probes: new Map() };

/** Generations once a config is wanted, as far as they follow from that alone. */
function pooled(config: Config, decisions: Decisions, before: Pools, now: number): Pools {
  return decide({ config, sightings: NOTHING_SEEN, factors: {}, settled: false, now }, decisions, before).pools;
}

/**
 * What moves when `after` is wanted instead of `before`. `given`: the generations that there are, with what was decided of them; pools
 * that are not in it are as a cluster has them that starts with the config. `now`: by the clock of the generations.
 */
export function forecast(
  before: Config | null,
  after: Config,
  given: Pools = new Map(),
  decisions: Decisions = {},
  now = 0,
): PoolMove[] {
  const old = before === null ? new Map() : pooled(before, decisions, given, now);
  const next = pooled(after, decisions, old, now);
  const remembered = new RememberedTables();
  const tableOf = (config: Config, generations: Pools, pool: string): ChainTable | null => {
    const list = generations.get(pool);
    return list === undefined ? null : chainTable(list, config.table.size, keysOf(config.seed).table, remembered.build);
  };
  return [...new Set([...old.keys(), ...next.keys()])].map((pool) => {
    const a = before === null ? null : tableOf(before, old, pool);
    const b = tableOf(after, next, pool);
    return compare(pool, a, b);
  });
}

const ownerOf = (table: ChainTable | null, bucket: number): string | null => {
  const owner = table?.planes[0]?.[bucket] ?? NO_HOST;
  return owner === NO_HOST ? null : (table?.names[owner] ?? null);
};

/** With tables of two sizes there is nobody from whom a bucket comes. */
function compare(pool: string, before: ChainTable | null, after: ChainTable | null): PoolMove {
  const sizeOf = (table: ChainTable | null): number => table?.planes[0]?.length ?? 0;
  const buckets = sizeOf(after ?? before);
  const a = sizeOf(before) === buckets ? before : null;
  const counts = new Map<string, { from: string | null; to: string | null; buckets: number }>();
  for (let bucket = 0; bucket < buckets; bucket++) {
    const [from, to] = [ownerOf(a, bucket), ownerOf(after, bucket)];
    if (from === to) continue;
    const key = JSON.stringify([from, to]);
    const count = counts.get(key) ?? { from, to, buckets: 0 };
    count.buckets++;
    counts.set(key, count);
  }
  const moves = [...counts.values()].sort((x, y) => y.buckets - x.buckets);
  return { pool, buckets, moved: moves.reduce((sum, move) => sum + move.buckets, 0), moves };
}
