/** What of a store's content counts: each record is taken if it is whole, and not older than what counted before. Pure. */
import type { Config } from "../control/config.ts";
import type { GivenPools } from "../control/generation-history.ts";
import { isReservedName } from "../control/names.ts";
import { poolsOf } from "../control/site.ts";
import type { ClusterKeys } from "./keys.ts";
import { FAR, type GenerationsRecord, readRecord, type WantedRecord } from "./records.ts";

/** The last records that counted. */
export interface Followed {
  /** null: there has been none yet. */
  readonly wanted: WantedRecord | null;
  /** By name of the pool. */
  readonly pools: Readonly<Record<string, GenerationsRecord>>;
}

export const NOTHING: Followed = { wanted: null, pools: {} };

export interface Judged {
  readonly followed: Followed;
  /** A line for each record that does not count, by key. */
  readonly refused: ReadonlyMap<string, string>;
}

/** Whether somebody of the newest generation is among `hosts`, or nobody is to be. */
const serves = (record: GenerationsRecord, hosts: ReadonlySet<string>): boolean => {
  const [newest] = record.generations;
  return newest!.hosts.length === 0 || newest!.hosts.some(({ name }) => hosts.has(name));
};

/**
 * The generations of each pool for a config with these hosts: what counts, else what counted before (`taken`). Where none of the hosts
 * would get anything by either, they are for another config, which this host does not have, and none are given.
 */
export function fittingPools(pools: Followed["pools"], taken: Followed["pools"], hosts: ReadonlySet<string>): Followed["pools"] {
  const fit = Object.entries(pools).flatMap(([pool, record]) => {
    const found = [record, taken[pool]].find((one) => one !== undefined && serves(one, hosts));
    return found === undefined ? [] : [[pool, found] as const];
  });
  return Object.fromEntries(fit);
}

/** Generations as an agent takes them. */
export const givenPools = (pools: Followed["pools"]): GivenPools =>
  Object.fromEntries(Object.entries(pools).map(([name, { generations }]) => [name, generations]));

/**
 * Why a record does not count after the one before; null: it does. Numbers only grow, by less than FAR at once. A number that is FAR
 * below the one before means that the one before was made up, and this one is taken.
 */
function turnedBack(what: string, before: number, now: number, same: boolean): string | null {
  if (now > before + FAR) return `${what} ${now} is far above the ${before} that counts here: it was not counted, but made up`;
  if (now > before || (now === before && same) || now + FAR < before) return null;
  if (now === before)
    return `another ${what} ${now} than the one that counts here: the store has been turned back, or written by hand`;
  return `${what} ${now}, but here ${before} counts already: the store has been turned back`;
}

const REMEDY = "(what counts here stays; `hafl apply --force FILE` makes a newer one)";

function judgeWanted(key: string, value: string, before: WantedRecord | null): { record: WantedRecord } | { error: string } {
  const read = readRecord("wanted", key, value);
  if ("error" in read || before === null) return read;
  const { change, config } = read.record;
  const why = turnedBack("change", before.change, change, config === before.config);
  return why === null ? read : { error: `${key}: ${why} ${REMEDY}` };
}

function judgePool(
  key: string,
  pool: string,
  value: string,
  before: GenerationsRecord | undefined,
): { record: GenerationsRecord } | { error: string } {
  const read = readRecord("generations", key, value);
  if ("error" in read) return read;
  if (read.record.service !== pool) return { error: `${key}: holds the generations of ${read.record.service}` };
  if (before === undefined) return read;
  const { serial, change, generations } = read.record;
  const same = JSON.stringify(generations) === JSON.stringify(before.generations);
  const why = turnedBack("serial", before.serial, serial, same) ?? turnedBack("change", before.change, change, true);
  return why === null ? read : { error: `${key}: ${why} (what counts here stays)` };
}

/**
 * Why the newest generation of a pool would take its service down; null: it does not. `config` is the desired state that goes with it. A
 * conductor never writes a generation in which no active host of the desired state takes new flows, so somebody else did.
 */
export function outage(pool: string, record: GenerationsRecord, config: Config): string | null {
  const found = poolsOf(config).find(({ name }) => name === pool);
  if (found === undefined) return null;
  const active = new Set(config.hosts.filter(({ state }) => state === "active").map(({ name }) => name));
  const able = new Set(found.service.pool.flatMap(({ host, weight }) => (weight > 0 && active.has(host) ? [host] : [])));
  const [newest] = record.generations;
  if (able.size === 0 || newest!.hosts.some(({ name, weight, gone }) => weight > 0 && gone !== true && able.has(name)))
    return null;
  return `no active host of the pool is in generation ${newest!.id}: the service would be down`;
}

/**
 * Takes the content of a store, by key: of the wanted state and of all generations. What is not there any more stays as it
 * was, and is refused as well: nobody removes it in order.
 */
export function judge(keys: ClusterKeys, content: ReadonlyMap<string, string>, before: Followed): Judged {
  const refused = new Map<string, string>();
  const take = <T>(key: string, result: { record: T } | { error: string }, old: T): T => {
    if ("record" in result) return result.record;
    refused.set(key, result.error);
    return old;
  };
  const missing = (key: string): { error: string } => ({ error: `${key}: is not there any more (what counts here stays)` });
  const value = content.get(keys.wanted);
  let wanted = before.wanted;
  if (value !== undefined) wanted = take(keys.wanted, judgeWanted(keys.wanted, value, before.wanted), before.wanted);
  else if (before.wanted !== null) take(keys.wanted, missing(keys.wanted), before.wanted);

  const pools: Record<string, GenerationsRecord> = {};
  for (const [key, text] of content) {
    if (!key.startsWith(keys.allGenerations)) continue;
    const pool = key.slice(keys.allGenerations.length);
    if (isReservedName(pool)) {
      refused.set(key, `${key}: "${pool}" is no name of a pool (delete the key)`);
      continue;
    }
    const old = before.pools[pool];
    const record = take<GenerationsRecord | undefined>(key, judgePool(key, pool, text, old), old);
    if (record !== undefined) pools[pool] = record;
  }
  // Generations of pools that are gone from the store in order are those of services that are gone from the config.
  for (const [pool, record] of Object.entries(before.pools)) pools[pool] ??= record;
  return { followed: { wanted, pools }, refused };
}
