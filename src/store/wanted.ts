/** What is wanted of a cluster, and what was: read, and changed by one at a time. */
import type { ClusterKeys } from "./keys.ts";
import { FAR, type HostReport, readRecord, type WantedRecord, writeRecord } from "./records.ts";
import { type Condition, type Store, StoreRefused, type Write } from "./store.ts";

/** Bytes of a record of which two still go into one transaction of etcd (1.5 MiB unless told otherwise). */
export const MAX_CHANGE_BYTES = 700 << 10;
/** Changes that are kept. */
export const KEPT_CHANGES = 100;

/** What is wanted now. */
export interface Current {
  /** null: nothing yet, or nothing that can be read. */
  readonly record: WantedRecord | null;
  /** Of the store, when it was written; 0: nothing lies there. */
  readonly revision: number;
  /** What is wrong with what lies there; null: nothing. */
  readonly broken: string | null;
  /** The highest change that any host says it has applied, or the conductor that somebody has to be above. */
  readonly applied: number;
  /** The highest change that is believed, of anybody. */
  readonly most: number;
  /** Why a host refuses it although it can be read; null: none does. */
  readonly disputed: string | null;
}

/** What is to be wanted. */
export interface Wish {
  /** The wanted parts of the config as YAML. */
  readonly config: string;
  readonly who: string;
  readonly why: string;
}

/** Reads what is wanted now. Rejects as the store does. */
export async function readCurrent(store: Store, keys: ClusterKeys): Promise<Current> {
  const [wanted, hosts, decisions] = await Promise.all([
    store.read(keys.wanted),
    store.read(keys.allHosts),
    store.read(keys.decisions),
  ]);
  const held = decisions.entries.flatMap(({ key, value }) => {
    const read = readRecord("decisions", key, value);
    return "record" in read ? [read.record.turnedBack ?? 0] : [];
  });
  const reports = hosts.entries.flatMap(({ key, value }): HostReport[] => {
    const read = readRecord("hostReport", key, value);
    return "record" in read ? [read.record] : [];
  });
  const most = believable(reports);
  const told = {
    applied: [...reports.map(({ change }) => change), ...held]
      .filter((change) => change <= most)
      .reduce((a, b) => Math.max(a, b), 0),
    most,
    disputed: reports.find(({ refused }) => refused?.startsWith(keys.wanted) && TURNED_BACK.test(refused))?.refused ?? null,
  };
  const found = wanted.entries.find(({ key }) => key === keys.wanted);
  if (found === undefined) return { record: null, revision: 0, broken: null, ...told };
  const { revision } = found;
  const read = readRecord("wanted", found.key, found.value);
  if ("error" in read) return { record: null, revision, broken: read.error, ...told };
  const { change } = read.record;
  return change <= most
    ? { record: read.record, revision, broken: null, ...told }
    : { record: null, revision, broken: `${keys.wanted}: change ${change} was made up: most hosts are far below it`, ...told };
}

/** The highest change that can have been counted: not far above what most hosts say they have applied. Without hosts any may be. */
function believable(reports: readonly HostReport[]): number {
  const changes = reports.map(({ change }) => change).sort((a, b) => a - b);
  return changes.length === 0 ? Number.POSITIVE_INFINITY : changes[(changes.length - 1) >> 1]! + FAR;
}

/** As hosts say it (followed.ts). */
const TURNED_BACK = /has been turned back/;

/** Changes that are remembered, oldest first; what cannot be read is left out. Rejects as the store does. */
export async function readHistory(store: Store, keys: ClusterKeys): Promise<WantedRecord[]> {
  const { entries } = await store.read(keys.allHistory);
  const records = entries.flatMap(({ key, value }) => {
    const read = readRecord("wanted", key, value);
    return "record" in read ? [read.record] : [];
  });
  return records.sort((a, b) => a.change - b.change);
}

/**
 * Wants something else than `current`, as a change with the next number, above all that hosts have applied. Gives the change, or null
 * when somebody else has changed it meanwhile. Rejects with a StoreRefused for what is too large, and as the store does.
 */
export async function changeWanted(
  store: Store,
  keys: ClusterKeys,
  current: Current,
  wish: Wish,
  when = Date.now(),
): Promise<WantedRecord | null> {
  const last = current.record?.change ?? (await lastChange(store, keys, current.most));
  const change = Math.max(last, current.applied) + 1;
  const record: Omit<WantedRecord, "format"> = { change, when, ...wish };
  const value = writeRecord("wanted", record);
  const again = readRecord("wanted", keys.wanted, value);
  if ("error" in again) throw new StoreRefused(`no agent would read this change: ${again.error}`);
  const bytes = Buffer.byteLength(value);
  if (bytes > MAX_CHANGE_BYTES)
    throw new StoreRefused(`the config takes ${bytes} bytes in the store, more than the ${MAX_CHANGE_BYTES} that are possible`);
  if (current.record !== null) await remember(store, keys, current.record);
  const conditions: Condition[] = [{ key: keys.wanted, revision: current.revision }];
  const writes: Write[] = [
    { key: keys.wanted, value },
    { key: keys.history(change), value },
  ];
  if (change > KEPT_CHANGES) writes.push({ key: keys.history(change - KEPT_CHANGES), value: null });
  const { done } = await store.commit(conditions, writes);
  return done ? { format: 1, ...record } : null;
}

/** The last change that is remembered, of those that can have been counted; 0: there is none. */
async function lastChange(store: Store, keys: ClusterKeys, most: number): Promise<number> {
  const history = await readHistory(store, keys);
  return history.findLast(({ change }) => change <= most)?.change ?? 0;
}

/** What was not changed by us, but written by hand, is to be had again too. */
async function remember(store: Store, keys: ClusterKeys, record: WantedRecord): Promise<void> {
  const key = keys.history(record.change);
  const { entries } = await store.read(key);
  if (entries.length === 0) await store.commit([{ key, revision: 0 }], [{ key, value: writeRecord("wanted", record) }]);
}
