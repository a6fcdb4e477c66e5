/** What conductors leave in the store: decisions and generations, read by the next one to go on from there. */
import type { Generation } from "../steering/generations.ts";
import type { ClusterKeys } from "../store/keys.ts";
import { type DecisionsRecord, type GenerationsRecord, MAX_WANTED_BYTES, readRecord, writeRecord } from "../store/records.ts";
import type { Entry, Store, Write } from "../store/store.ts";
import type { Decisions, Pools } from "./decide.ts";

export interface Saved {
  /** The cluster's clock when it was written, ms; null: there is nothing yet. */
  readonly time: number | null;
  /** The last serial of any generations. */
  readonly serial: number;
  readonly decisions: Decisions;
  readonly turnedBack: number | null;
  readonly alarms: readonly string[];
  readonly pools: Pools;
  /** The serial that each pool has. */
  readonly serials: ReadonlyMap<string, number>;
  /** What could not be read, one line each: it is as if it were not there. */
  readonly refused: readonly string[];
  /** The highest change of the desired state that any generations follow; 0: there are none. */
  readonly change: number;
  /** The records as they were read. */
  readonly entries: readonly Entry[];
}

/** Reads it. Rejects as the store does. */
export async function readSaved(store: Store, keys: ClusterKeys): Promise<Saved> {
  const refused: string[] = [];
  const [own, generations] = await Promise.all([store.read(keys.decisions), store.read(keys.allGenerations)]);
  let decisions: DecisionsRecord | null = null;
  for (const { key, value } of own.entries.filter((entry) => entry.key === keys.decisions)) {
    const read = readRecord("decisions", key, value);
    if ("record" in read) decisions = read.record;
    else refused.push(read.error);
  }
  const pools = new Map<string, readonly Generation[]>();
  const serials = new Map<string, number>();
  let change = 0;
  for (const { key, value } of generations.entries) {
    const read = readRecord("generations", key, value);
    if ("error" in read) refused.push(read.error);
    else if (keys.generations(read.record.service) !== key)
      refused.push(`${key}: says that it is of pool "${read.record.service}"`);
    else {
      // The schema's optional fields may hold undefined, which JSON has not.
      pools.set(read.record.service, read.record.generations as Generation[]);
      serials.set(read.record.service, read.record.serial);
      change = Math.max(change, read.record.change);
    }
  }
  const times = [...pools.values()].flatMap((list) => list.map(({ time, superseded }) => superseded ?? time));
  if (decisions !== null) times.push(decisions.time);
  return {
    time: times.length === 0 ? null : times.reduce((a, b) => Math.max(a, b)),
    serial: [...serials.values()].reduce((a, b) => Math.max(a, b), decisions?.serial ?? 0),
    decisions: decisions?.pools ?? {},
    turnedBack: decisions?.turnedBack ?? null,
    alarms: decisions?.alarms ?? [],
    pools,
    serials,
    refused,
    change,
    entries: [...own.entries, ...generations.entries],
  };
}

/** Generations of a pool as they are written: of more than there is room for the oldest are left out. */
export function generationsRecord(record: Omit<GenerationsRecord, "format">): string {
  for (let count = record.generations.length; ; count--) {
    const value = writeRecord("generations", { ...record, generations: record.generations.slice(0, count) });
    if (count === 1 || Buffer.byteLength(value) <= MAX_WANTED_BYTES) return value;
  }
}

/** Writes and bytes that one commit may have: etcd takes 128 and 1.5 MiB. */
const COMMIT_WRITES = 100;
const COMMIT_BYTES = MAX_WANTED_BYTES + 1024;

/** Writes in their order, in as few commits as they fit into. */
export function commitsOf(writes: readonly Write[]): Write[][] {
  const commits: Write[][] = [];
  let room = 0;
  for (const write of writes) {
    const bytes = Buffer.byteLength(write.value ?? "");
    const last = commits.at(-1);
    if (last !== undefined && last.length < COMMIT_WRITES && bytes <= room) last.push(write);
    else {
      commits.push([write]);
      room = COMMIT_BYTES;
    }
    room -= bytes;
  }
  return commits;
}
