/** A record that is in the store as long as its writer lives, and is written anew while it does. */
import type { Logger } from "pino";
import { RENEW_MS } from "./records.ts";
import type { Lease, Store } from "./store.ts";

/** Seconds after which a record of a writer that died is gone. */
const LEASE_SECONDS = 15;
/** Changes that come together are written together, ms. */
const GATHER_MS = 50;

export class LeasedRecord {
  readonly #store: Store;
  readonly #key: string;
  readonly #value: () => string;
  readonly #log: Logger;
  #lease: Lease | null = null;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #due = 0;
  #failed = false;
  #closed = false;

  /** `value` is asked each time the record is written. */
  constructor(store: Store, key: string, value: () => string, log: Logger) {
    this.#store = store;
    this.#key = key;
    this.#value = value;
    this.#log = log;
    this.#in(0);
  }

  /** The value is another: it is written soon. */
  changed(): void {
    this.#in(GATHER_MS);
  }

  /** Takes the record out of the store, if that can be had at all. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#writing;
    await this.#lease?.revoke().catch(() => {});
  }

  #in(ms: number): void {
    const due = performance.now() + ms;
    if (this.#closed || (this.#timer !== undefined && this.#due <= due)) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#writing.then(() => this.#write());
    }, ms);
    this.#timer.unref();
  }

  async #write(): Promise<void> {
    if (this.#closed) return;
    try {
      const lease = this.#lease ?? (await this.#begin());
      await this.#store.commit([], [{ key: this.#key, value: this.#value(), lease }]);
      if (this.#failed) this.#log.info({ key: this.#key }, `${this.#key} is written again`);
      this.#failed = false;
    } catch (error) {
      // Once: the store's own troubles are told of by who follows it.
      if (!this.#failed)
        this.#log.warn({ err: error, key: this.#key }, `${this.#key} cannot be written: ${(error as Error).message}`);
      this.#failed = true;
    }
    this.#in(RENEW_MS);
  }

  async #begin(): Promise<Lease> {
    const lease = await this.#store.lease(LEASE_SECONDS);
    this.#lease = lease;
    void lease.lost.then(() => {
      if (this.#lease === lease) this.#lease = null;
      this.#in(0);
    });
    return lease;
  }
}
