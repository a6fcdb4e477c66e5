/** What the conductor is told: what is wanted, what hosts say of themselves and of each other. What cannot be right is refused, and named. */
import type { ClusterKeys } from "../store/keys.ts";
import { type HostReport, type ProbesRecord, type RecordOf, readRecord, type WantedRecord } from "../store/records.ts";
import type { Closable, Store } from "../store/store.ts";
import type { Seen, Sightings } from "./evidence.ts";
import { mirror } from "./mirror.ts";

type Told = "wanted" | "hostReport" | "probes";

export class Intake implements Sightings {
  /** By host. */
  readonly reports = new Map<string, Seen<HostReport>>();
  readonly probes = new Map<string, Seen<ProbesRecord>>();
  /** By key: what is wrong with what lies there. */
  readonly refused = new Map<string, string>();
  #wanted: WantedRecord | null = null;
  readonly #revisions = new Map<string, number>();
  readonly #lost = new Set<Told>(["wanted", "hostReport", "probes"]);
  readonly #mirrors: readonly Closable[];
  readonly #now: () => number;
  readonly #wake: () => void;

  /** `now`: the cluster's clock; `wake`: something else is wanted. */
  constructor(store: Store, keys: ClusterKeys, now: () => number, wake: () => void) {
    this.#now = now;
    this.#wake = wake;
    this.#mirrors = [
      this.#follow("wanted", store, keys.wanted, (key, record) => {
        if (key === keys.wanted) this.#want(record);
      }),
      this.#follow("hostReport", store, keys.allHosts, (key, record, at) =>
        this.#see(this.reports, keys.allHosts, key, record, at),
      ),
      this.#follow("probes", store, keys.allProbes, (key, record, at) => this.#see(this.probes, keys.allProbes, key, record, at)),
    ];
  }

  /** Whether all of it is as it is in the store. */
  get current(): boolean {
    return this.#lost.size === 0;
  }

  /** The last that could be read; null: there is none. */
  get wanted(): WantedRecord | null {
    return this.#wanted;
  }

  close(): void {
    for (const one of this.#mirrors) one.close();
  }

  #follow<N extends Told>(
    name: N,
    store: Store,
    prefix: string,
    take: (key: string, record: RecordOf<N> | null, at: number) => void,
  ): Closable {
    const one = (key: string, value: string | null, revision: number): void => {
      // What was read before, and is still the same, is as old as it was.
      if (value !== null && this.#revisions.get(key) === revision) return;
      this.refused.delete(key);
      this.#revisions.delete(key);
      if (value === null) {
        take(key, null, this.#now());
        return;
      }
      this.#revisions.set(key, revision);
      const read = readRecord(name, key, value);
      if ("error" in read) this.refused.set(key, read.error);
      else take(key, read.record, this.#now());
    };
    return mirror(store, prefix, {
      replaced: (entries) => {
        const there = new Set(entries.map(({ key }) => key));
        const known = [...this.#revisions.keys()].filter((key) => key.startsWith(prefix));
        for (const key of known) if (!there.has(key)) one(key, null, 0);
        for (const { key, value, revision } of entries) one(key, value, revision);
        this.#lost.delete(name);
        this.#wake();
      },
      changed: (changes) => {
        for (const { key, value, revision } of changes) one(key, value, revision);
      },
      lost: () => void this.#lost.add(name),
    });
  }

  /** One that was removed, or cannot be read, leaves that of before: nobody wants nothing. */
  #want(record: WantedRecord | null): void {
    if (record === null) return;
    this.#wanted = record;
    this.#wake();
  }

  #see<T extends { readonly host: string }>(
    all: Map<string, Seen<T>>,
    prefix: string,
    key: string,
    record: T | null,
    at: number,
  ): void {
    const host = key.slice(prefix.length);
    if (record === null) all.delete(host);
    else if (record.host !== host) this.refused.set(key, `${key}: says that it is of host "${record.host}"`);
    else all.set(host, { record, at });
  }
}
