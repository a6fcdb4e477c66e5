/** What the hosts of a cluster say of themselves, read from its store when somebody wants to know. */
import type { ClusterKeys } from "../store/keys.ts";
import { type HostReport, readRecord } from "../store/records.ts";
import type { Store } from "../store/store.ts";
import type { Reports } from "./announce.ts";

/** Least time between two readings, ms, and that for each host there is: all hosts read all reports. */
const LEAST_MS = 2_000;
const PER_HOST_MS = 50;
/** After so many intervals without an answer of the store nothing is known any more. */
const FORGOTTEN = 4;

export class ReportReader {
  readonly #store: Store;
  readonly #keys: ClusterKeys;
  #known: Reports = null;
  #readAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(store: Store, keys: ClusterKeys) {
    this.#store = store;
    this.#keys = keys;
  }

  /** The last reading, null when there is none or it is too old; a new one is on its way if it is time for one. `arrived` is called when it has come. */
  latest(hosts: number, arrived: () => void): Reports {
    const now = performance.now();
    const interval = LEAST_MS + hosts * PER_HOST_MS;
    if (now - this.#readAt > FORGOTTEN * interval) this.#known = null;
    if (now - this.#askedAt > interval) {
      this.#askedAt = now;
      void this.#read(arrived);
    }
    return this.#known;
  }

  async #read(arrived: () => void): Promise<void> {
    try {
      const { entries } = await this.#store.read(this.#keys.allHosts);
      const known = new Map<string, HostReport>();
      for (const { key, value } of entries) {
        const read = readRecord("hostReport", key, value);
        if ("record" in read) known.set(read.record.host, read.record);
      }
      this.#known = known;
      this.#readAt = performance.now();
      arrived();
    } catch {
      // A store that is away is somebody else's to tell; what was known grows old.
    }
  }
}
