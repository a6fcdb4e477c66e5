/**
 * A cluster's store in files: what is wanted is the YAML file itself, all else lies in a folder beside it (file-folder.ts). For a lab,
 * for one machine, or for machines that get the file from elsewhere, each with a folder of its own.
 */
import { ConfigWatch } from "../control/config-watch.ts";
import { asStoreError, type Draft, FileFolder, type Index } from "./file-folder.ts";
import { FileLease } from "./file-lease.ts";
import { changesSince, watchFolder } from "./file-watch.ts";
import {
  type Closable,
  type Committed,
  type Condition,
  type Lease,
  type Snapshot,
  type Store,
  StoreAway,
  StoreRefused,
  type WatchHandlers,
  type Write,
} from "./store.ts";
import { changeByHand, digestOf, parseWanted, readWantedFile, withWanted, writeWantedFile } from "./wanted-file.ts";

/** As etcd has it, unless told otherwise: what is too large for the one is for the other. */
const MAX_BYTES = 1.5 * (1 << 20);

export class FileStore implements Store {
  readonly name: string;
  readonly #file: string;
  readonly #wantedKey: string;
  readonly #folder: FileFolder;
  readonly #open = new Set<Closable>();
  readonly #leases = new Set<FileLease>();
  #closed = false;

  /** Of the cluster whose config is `file`; `wantedKey` is the key that it is under. Nothing is read or made yet. */
  constructor(file: string, wantedKey: string) {
    this.name = file;
    this.#file = file;
    this.#wantedKey = wantedKey;
    this.#folder = new FileFolder(`${file}.store`);
  }

  read(prefix: string): Promise<Snapshot> {
    return this.#do(async () => {
      for (let before = 0; ; ) {
        const now = await this.#refresh();
        const entries = changesSince(this.#folder, { ...now, forgotten: 0 }, prefix, 0)!;
        const there = entries.filter(({ key }) => now.keys[key]!.gone !== true);
        // A value that somebody has replaced since: once more.
        const missing = there.find(({ value }) => value === null);
        if (missing !== undefined) {
          if (now.revision === before) throw this.#folder.lacks(missing.key);
          before = now.revision;
          continue;
        }
        return { entries: there.map((entry) => ({ ...entry, value: entry.value! })), revision: now.revision };
      }
    });
  }

  watch(prefix: string, revision: number, handlers: WatchHandlers): Closable {
    const inner = watchFolder(this.#folder, () => this.#do(() => this.#refresh()), prefix, revision, handlers);
    const yaml = this.#wantedKey.startsWith(prefix) ? new ConfigWatch(this.#file, () => inner.look()) : null;
    const one: Closable = {
      close: () => {
        this.#open.delete(one);
        inner.close();
        yaml?.close();
      },
    };
    this.#open.add(one);
    return one;
  }

  commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed> {
    return this.#do(async () => {
      for (const { key, value } of writes) {
        const bytes = Buffer.byteLength(value ?? "");
        if (bytes > MAX_BYTES) throw new StoreRefused(`${key}: ${bytes} bytes, more than the ${MAX_BYTES} that are possible`);
      }
      let done = false;
      const { revision } = await this.#folder.change(
        (draft) => this.#adopt(draft),
        (draft) => {
          done = conditions.every((condition) => revisionOf(draft.index, condition.key) === condition.revision);
          if (!done) return;
          const lost = writes.find(({ lease }) => lease !== undefined && !this.#folder.isHeld(lease.id));
          if (lost !== undefined) throw new StoreRefused(`${lost.key}: its lease is not held any more`);
          for (const write of writes) this.#write(draft, write);
        },
      );
      return done ? { done, revision } : { done };
    });
  }

  #write(draft: Draft, { key, value, lease }: Write): void {
    if (key === this.#wantedKey) {
      if (value === null) throw new StoreRefused(`${key}: is ${this.#file}, and stays`);
      const text = withWanted(readWantedFile(this.#file), parseWanted(key, value).config, this.#file);
      // Before the index: if we die in between it counts as written by hand, but it counts.
      writeWantedFile(this.#file, text);
      draft.setFile(digestOf(text));
    }
    if (value === null) draft.remove(key);
    else draft.put(key, value, lease?.id);
  }

  lease(seconds: number): Promise<Lease> {
    return this.#do(async () => {
      const lease = new FileLease(this.#folder, seconds, (one) => this.#leases.delete(one));
      this.#leases.add(lease);
      return lease;
    });
  }

  /** What is done to files is done or fails. */
  hurry(): void {}

  async close(): Promise<void> {
    this.#closed = true;
    for (const one of this.#open) one.close();
    for (const lease of this.#leases) lease.leave("the store is closed");
  }

  /** The index, after entries whose leases are over, and what somebody has written into the file, have been taken into account. */
  async #refresh(): Promise<Index> {
    const now = this.#folder.index();
    const text = readWantedFile(this.#file);
    const same = text === null || digestOf(text) === now.file;
    if (same && !this.#folder.hasExpired(now)) return now;
    return await this.#folder.change((draft) => this.#adopt(draft));
  }

  /** Takes up a file that somebody else has written. One that is missing, for the moment of being replaced or for good, changes nothing. */
  #adopt(draft: Draft): void {
    const text = readWantedFile(this.#file);
    if (text === null || digestOf(text) === draft.index.file) return;
    const revision = revisionOf(draft.index, this.#wantedKey);
    const before = revision === 0 ? null : this.#folder.value(this.#wantedKey, revision);
    draft.put(this.#wantedKey, changeByHand(this.#file, text, before));
    draft.setFile(digestOf(text));
  }

  async #do<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new StoreAway(`${this.name}: the store is closed`);
    try {
      return await work();
    } catch (error) {
      throw asStoreError(error);
    }
  }
}

/** 0: there is no such key. */
function revisionOf({ keys }: Index, key: string): number {
  const entry = keys[key];
  return entry === undefined || entry.gone === true ? 0 : entry.revision;
}
