/** A record that says something of its writer: written when that changes, and anew every few seconds; leased, it goes away with its writer. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { RENEW_MS } from "./records.ts";
import { type Lease, type Store, StoreRefused } from "./store.ts";

/** The record goes away so long after its writer was heard of last, s. */
const LEASE_SECONDS = 15;
/** Changes that come together are written together, ms. */
const TOGETHER_MS = 100;
/** Pause after a write that failed, and the longest one, ms. */
const RETRY_MS = 500;
const RETRY_MAX_MS = 10_000;

export class LeasedRecord {
  readonly #store: Store;
  readonly #key: string;
  readonly #name: string;
  readonly #value: () => Promise<string> | string;
  readonly #log: Logger;
  readonly #told = new AbortController();
  #lease: Lease | null = null;
  #running: Promise<void>;
  /** Something is to be written; who waits for that. */
  #changed = false;
  #wake: () => void = () => {};

  /** `name` is what the log calls it; `value` is asked each time it is written. */
  constructor(store: Store, key: string, name: string, value: () => Promise<string> | string, log: Logger) {
    this.#store = store;
    this.#key = key;
    this.#name = name;
    this.#value = value;
    this.#log = log;
    this.#running = this.#run();
  }

  /** Has it written soon: something of it has changed. */
  readonly now = (): void => {
    this.#changed = true;
    this.#wake();
  };

  /** The record goes away, unless another process goes on with it. */
  async stop(handedOver: boolean): Promise<void> {
    this.#told.abort();
    this.#wake();
    await this.#running;
    if (handedOver) return;
    await this.#lease?.revoke().catch((err: Error) => {
      this.#log.info({ err }, `the ${this.#name} of this host stays in the store for ${LEASE_SECONDS} s: ${err.message}`);
    });
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#told.signal.aborted) {
      this.#changed = false;
      try {
        await this.#write();
        if (failures > 0) this.#log.info(`the store has the ${this.#name} of this host again`);
        failures = 0;
      } catch (error) {
        // Its lease may be what is wrong; if not, it is not to be kept for nothing.
        if (error instanceof StoreRefused) {
          void this.#lease?.revoke().catch(() => {});
          this.#lease = null;
        }
        if (failures++ === 0)
          this.#log.warn({ err: error }, `the store does not get the ${this.#name} of this host: ${(error as Error).message}`);
      }
      await this.#rest(failures);
    }
  }

  async #write(): Promise<void> {
    const lease = this.#lease ?? (await this.#store.lease(LEASE_SECONDS));
    if (this.#lease === null) {
      this.#lease = lease;
      void lease.lost.then(() => {
        if (this.#lease !== lease) return;
        this.#lease = null;
        this.now();
      });
    }
    await this.#store.commit([], [{ key: this.#key, value: await this.#value(), lease }]);
  }

  /** Until the next is due: soon when something changes, later when the store is away. */
  async #rest(failures: number): Promise<void> {
    const { signal } = this.#told;
    const nap = (ms: number): Promise<void> => sleep(ms, undefined, { signal, ref: false }).catch(() => {});
    if (failures > 0) return nap(Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** (failures - 1)) * (0.75 + Math.random() / 2));
    await nap(TOGETHER_MS);
    if (this.#changed || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, RENEW_MS - TOGETHER_MS);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
  }
}
