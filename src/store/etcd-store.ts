/** A cluster's store in etcd (v3). */
import { type IRequestOp, Range } from "etcd3";
import { EtcdClient, type EtcdOptions } from "./etcd-client.ts";
import { takeLease } from "./etcd-lease.ts";
import { watchPrefix } from "./etcd-watch.ts";
import type { Closable, Committed, Condition, Entry, Lease, Snapshot, Store, WatchHandlers, Write } from "./store.ts";

/** etcd takes so many operations in one transaction unless told otherwise (--max-txn-ops). */
const MAX_OPERATIONS = 128;

const operation = ({ key, value, lease }: Write): IRequestOp =>
  value === null
    ? { request_delete_range: { key: Buffer.from(key) } }
    : { request_put: { key: Buffer.from(key), value: Buffer.from(value), ...(lease ? { lease: lease.id } : {}) } };

export class EtcdStore implements Store {
  readonly name: string;
  readonly #etcd: EtcdClient;

  constructor(options: EtcdOptions) {
    this.#etcd = new EtcdClient(options);
    this.name = options.endpoints.join(", ");
  }

  async read(prefix: string): Promise<Snapshot> {
    const { start, end } = Range.prefix(prefix);
    const { header, kvs } = await this.#etcd.call(({ kv }) => kv.range({ key: start, range_end: end }));
    const entries = kvs.map(({ key, value, mod_revision }): Entry => {
      return { key: key.toString(), value: value.toString(), revision: Number(mod_revision) };
    });
    return { entries, revision: Number(header.revision) };
  }

  watch(prefix: string, revision: number, handlers: WatchHandlers): Closable {
    return watchPrefix(this.#etcd, prefix, revision, handlers);
  }

  async commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed> {
    if (writes.length > MAX_OPERATIONS) throw new RangeError(`${writes.length} writes, etcd takes ${MAX_OPERATIONS} at a time`);
    const request = {
      compare: conditions.map(({ key, revision }) => ({
        target: "Mod" as const,
        result: "Equal" as const,
        key: Buffer.from(key),
        mod_revision: revision,
      })),
      success: writes.map(operation),
    };
    return await this.#etcd.call(async ({ kv }, again): Promise<Committed> => {
      const { succeeded, header } = await kv.txn(request);
      if (succeeded) return { done: true, revision: Number(header.revision) };
      // What a member did not live to tell may have been done: then it is our own writes that are in the way.
      return again ? await this.#isDone(conditions, writes) : { done: false };
    });
  }

  /** Whether all writes stand as one revision, later than the conditions. */
  async #isDone(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed> {
    const puts = writes.filter(({ value }) => value !== null);
    const found = await Promise.all(puts.map(({ key }) => this.#get(key)));
    const before = Math.max(0, ...conditions.map(({ revision }) => revision));
    const [revision] = found.map((entry) => entry?.revision ?? 0);
    const ours = found.every((entry, i) => entry?.value === puts[i]!.value && entry.revision === revision);
    return revision !== undefined && ours && revision > before ? { done: true, revision } : { done: false };
  }

  async #get(key: string): Promise<Entry | undefined> {
    const { kvs } = await this.#etcd.call(({ kv }) => kv.range({ key: Buffer.from(key) }));
    const [one] = kvs;
    return one && { key, value: one.value.toString(), revision: Number(one.mod_revision) };
  }

  lease(seconds: number): Promise<Lease> {
    return takeLease(this.#etcd, seconds);
  }

  hurry(): void {
    this.#etcd.hurry();
  }

  async close(): Promise<void> {
    this.#etcd.close();
  }
}
