/** The history of an agent's pools on disk, with what else it takes to explain the tables that were made from it. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { historyPath } from "../io/runtime-files.ts";
import { keysOf } from "../steering/flow-hash.ts";
import type { Config } from "./config.ts";
import { type History, newHistory } from "./generation-history.ts";

/** What is not in the tables themselves, nor in the history. */
export interface TablesOrigin {
  /** Generation of the forwarding tables that were made from the history in the same file. */
  readonly generation: number;
  /** Key of the Maglev tables: a secret, as the file is. */
  readonly key: readonly [number, number];
  readonly drainSeconds: number;
  /** Of the hosts that have one of their own. */
  readonly hostDrainSeconds: Readonly<Record<string, number>>;
  /** Whether directors use the flow table. */
  readonly directorFlows: boolean;
}

/** What a configuration adds for generation `generation` of the tables. */
export const originOf = (config: Config, generation: number): TablesOrigin => ({
  generation,
  key: keysOf(config.seed).table,
  drainSeconds: config.table.drainSeconds,
  hostDrainSeconds: Object.fromEntries(
    config.hosts.flatMap(({ name, drainSeconds }) => (drainSeconds === null ? [] : [[name, drainSeconds]])),
  ),
  directorFlows: config.flowTable !== null,
});

/** How long each host stays in the chains once it has left a pool, ms. Also of files of versions in which that was the same for all. */
export const originDrainTimes =
  ({ drainSeconds, hostDrainSeconds = {} }: Pick<TablesOrigin, "drainSeconds"> & Partial<TablesOrigin>) =>
  (host: string): number =>
    (hostDrainSeconds[host] ?? drainSeconds) * 1000;

/** What an earlier agent left; nothing when it cannot be read. */
export function readHistory(dir: string): History {
  const value = readFile(dir);
  if (!value.pools || !value.hostIds || value.nextId === undefined || !value.epoch) return newHistory();
  const { pools, hostIds, nextId, epoch, serviceSlots = [] } = value;
  return { pools, hostIds, nextId, epoch, serviceSlots };
}

/** The history together with the origin of the tables; null when an agent that wrote no such thing was the last. */
export function readTablesOrigin(dir: string): (TablesOrigin & Pick<History, "pools">) | null {
  const { pools, tables } = readFile(dir);
  return pools && tables ? { ...tables, pools } : null;
}

function readFile(dir: string): Partial<History & { tables: TablesOrigin }> {
  try {
    return (JSON.parse(readFileSync(historyPath(dir), "utf8")) ?? {}) as Partial<History & { tables: TablesOrigin }>;
  } catch {
    return {};
  }
}

/** Replaces the file at once. */
export function writeHistory(dir: string, history: History, tables: TablesOrigin): void {
  const path = historyPath(dir);
  writeFileSync(`${path}.new`, JSON.stringify({ ...history, tables }), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
