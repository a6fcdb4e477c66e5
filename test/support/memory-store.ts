/** A store in memory, for tests: what etcd does, with faults at will. */
import type { Change, Committed, Condition, Entry, Lease, Snapshot, Store, WatchHandlers, Write } from "../../src/store/store.ts";
import { StoreAway, StoreRefused } from "../../src/store/store.ts";

interface Watch {
  readonly prefix: string;
  readonly handlers: WatchHandlers;
}

export class MemoryStore implements Store {
  readonly name = "memory";
  /** Nothing can be reached. */
  away = false;
  /** How often something was asked in vain. */
  refusals = 0;
  /** The next commit is done, but its answer is lost. */
  losesNextAnswer = false;
  /** Keys of every commit that was done, in order. */
  readonly commits: string[][] = [];
  readonly leases: MemoryLease[] = [];
  #revision = 1;
  readonly #entries = new Map<string, Entry & { readonly lease: string | undefined }>();
  readonly #watches = new Set<Watch>();

  async read(prefix: string): Promise<Snapshot> {
    await this.#reach();
    const entries = [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
    return { entries: entries.map(({ key, value, revision }) => ({ key, value, revision })), revision: this.#revision };
  }

  watch(prefix: string, _revision: number, handlers: WatchHandlers): { close(): void } {
    const watch = { prefix, handlers };
    this.#watches.add(watch);
    return { close: () => void this.#watches.delete(watch) };
  }

  async commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed> {
    await this.#reach();
    if (conditions.some(({ key, revision }) => (this.#entries.get(key)?.revision ?? 0) !== revision)) return { done: false };
    const lease = writes.find((write) => write.lease !== undefined)?.lease;
    if (lease !== undefined && !this.leases.some(({ id, held }) => held && id === lease.id))
      throw new StoreRefused("no such lease");
    this.#write(writes);
    this.commits.push(writes.map(({ key }) => key));
    if (!this.losesNextAnswer) return { done: true, revision: this.#revision };
    this.losesNextAnswer = false;
    throw new StoreAway("the answer was lost");
  }

  async lease(): Promise<Lease> {
    await this.#reach();
    const lease = new MemoryLease(`${this.leases.length + 1}`, (id) => {
      const keys = [...this.#entries.values()].filter((entry) => entry.lease === id).map(({ key }) => key);
      if (keys.length > 0) this.#write(keys.map((key) => ({ key, value: null })));
    });
    this.leases.push(lease);
    return lease;
  }

  hurry(): void {}

  async close(): Promise<void> {
    this.#watches.clear();
  }

  /** Writes past all conditions, as somebody else does. */
  put(key: string, value: string | null): void {
    this.#write([{ key, value }]);
  }

  value(key: string): string | undefined {
    return this.#entries.get(key)?.value;
  }

  /** Watches below a prefix tell nothing any more, as if their process was stopped. */
  stopWatches(prefix: string): void {
    for (const watch of this.#watches) if (watch.prefix.startsWith(prefix)) this.#watches.delete(watch);
  }

  /** All watches end, as after a restart of etcd. */
  loseWatches(): void {
    const watches = [...this.#watches];
    this.#watches.clear();
    for (const { handlers } of watches) handlers.lost("it was restarted");
  }

  async #reach(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.away) this.refusals++;
    if (this.away) throw new StoreAway("memory: no answer");
  }

  #write(writes: readonly Write[]): void {
    this.#revision++;
    const revision = this.#revision;
    const changes: Change[] = writes.map(({ key, value }) => ({ key, value, revision }));
    for (const { key, value, lease } of writes) {
      if (value === null) this.#entries.delete(key);
      else this.#entries.set(key, { key, value, revision, lease: lease?.id });
    }
    for (const { prefix, handlers } of [...this.#watches]) {
      const seen = changes.filter(({ key }) => key.startsWith(prefix));
      if (seen.length > 0) setImmediate(() => handlers.changed(seen, revision));
    }
  }
}

export class MemoryLease implements Lease {
  readonly lost: Promise<string>;
  held = true;
  readonly id: string;
  readonly #over: (id: string) => void;
  #tell: (reason: string) => void = () => {};

  constructor(id: string, over: (id: string) => void) {
    this.id = id;
    this.#over = over;
    this.lost = new Promise((resolve) => {
      this.#tell = resolve;
    });
  }

  async revoke(): Promise<void> {
    this.expire(true);
  }

  /** Its time is over in the store; `told`: its holder hears of it, which one that was stopped does not. */
  expire(told: boolean): void {
    if (this.held) {
      this.held = false;
      this.#over(this.id);
    }
    if (told) this.#tell("its time is over");
  }
}
