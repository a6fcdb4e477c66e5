/**
 * What the file store keeps on disk: a folder with
 *
 *     lock         held while something is changed; the kernel lets go of it with its holder
 *     index.json   which keys there are, and at which revision; replacing it is what makes a change
 *     values/      the values, one file each, named by key and revision: never changed, only added and removed
 *     leases/      one file each; heard of when it was last touched
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { native } from "../io/native.ts";
import { StoreAway, StoreRefused } from "./store.ts";

const indexed = z.strictObject({
  revision: z.int().positive(),
  lease: z.string().optional(),
  /** Removed at that revision; kept for a while, for who watches from before it. */
  gone: z.literal(true).optional(),
});
const index = z.strictObject({
  format: z.literal(1),
  revision: z.int().positive(),
  /** Removals up to this revision are forgotten. */
  forgotten: z.int().nonnegative(),
  keys: z.record(z.string(), indexed),
  /** Digest of the text of the YAML file that `wanted` agrees with. */
  file: z.string().nullable(),
});
export type Index = z.output<typeof index>;

/** So that a watch from the first revision on is one from the beginning, as in etcd. */
const EMPTY: Index = { format: 1, revision: 1, forgotten: 0, keys: {}, file: null };

/** Removals that are remembered. */
const REMOVALS = 1000;
/** How long another process may hold the lock, ms: it writes a few files. */
const LOCK_MS = 5000;

/** Makes of an error of the file system what Store promises: one that stays, or one that may pass. */
export function asStoreError(error: unknown): Error {
  if (error instanceof StoreAway || error instanceof StoreRefused) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const stays = ["EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "ENAMETOOLONG"].includes(code ?? "");
  return stays ? new StoreRefused(message) : new StoreAway(message);
}

const missing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENOENT";

/** Changes that are being put together; they have the next revision. */
export interface Draft {
  readonly index: Index;
  readonly revision: number;
  put(key: string, value: string, lease?: string): void;
  remove(key: string): void;
  /** The text of the YAML file that goes with it. */
  setFile(digest: string): void;
}

export class FileFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get indexPath(): string {
    return join(this.path, "index.json");
  }

  /** As it is now. Throws a StoreRefused when it cannot be understood. */
  index(): Index {
    let text: string;
    try {
      text = readFileSync(this.indexPath, "utf8");
    } catch (error) {
      if (missing(error)) return EMPTY;
      throw error;
    }
    try {
      return index.parse(JSON.parse(text));
    } catch {
      throw new StoreRefused(`${this.indexPath}: not as this version of hafl writes it (remove ${this.path} to begin anew)`);
    }
  }

  /** The value of a key at a revision; null when another has taken its place meanwhile. */
  value(key: string, revision: number): string | null {
    try {
      return readFileSync(this.#valuePath(key, revision), "utf8");
    } catch (error) {
      if (missing(error)) return null;
      throw error;
    }
  }

  /** What to say of a key whose value is not there, although the index that has it has not been replaced. */
  lacks(key: string): StoreRefused {
    return new StoreRefused(`${key}: its value is missing in ${this.path} (remove that to begin anew)`);
  }

  #valuePath(key: string, revision: number): string {
    return join(this.path, "values", `${encodeURIComponent(key)}@${revision}`);
  }

  /** Whether entries of that lease last. Its time is that of this machine's clock, as its file's is. */
  isHeld(lease: string): boolean {
    const path = this.#leasePath(lease);
    try {
      return Date.now() <= statSync(path).mtimeMs + Number(readFileSync(path, "utf8")) * 1000;
    } catch (error) {
      if (missing(error)) return false;
      throw error;
    }
  }

  #leasePath(lease: string): string {
    return join(this.path, "leases", lease);
  }

  /** Makes a lease of so many seconds; gives its name. */
  addLease(seconds: number): string {
    this.#make();
    const lease = randomBytes(8).toString("hex");
    writeFileSync(this.#leasePath(lease), `${seconds}`, { mode: 0o600 });
    return lease;
  }

  /** Lets it last again. Throws when it is gone. */
  touchLease(lease: string): void {
    const now = new Date();
    utimesSync(this.#leasePath(lease), now, now);
  }

  dropLease(lease: string): void {
    rmSync(this.#leasePath(lease), { force: true });
  }

  /** Whether there are entries whose lease is over. */
  hasExpired(now: Index): boolean {
    return this.#expired(now).length > 0;
  }

  #expired(now: Index): string[] {
    const leases = new Map<string, boolean>();
    return Object.entries(now.keys).flatMap(([key, { lease }]) => {
      if (lease === undefined) return [];
      if (!leases.has(lease)) leases.set(lease, this.isHeld(lease));
      return leases.get(lease) ? [] : [key];
    });
  }

  /**
   * Has each of `edits` put changes together while nobody else does, and makes those of one all at once; entries of leases that are
   * over are gone before. Returns what is so afterwards. Throws a StoreAway when another process does not let go of the lock.
   */
  async change(...edits: ((draft: Draft) => void)[]): Promise<Index> {
    this.#make();
    const fd = await this.#lock();
    try {
      const before = this.index();
      const expired = this.#expired(before);
      const leases = new Set(expired.map((key) => before.keys[key]!.lease!));
      let after = this.#apply(before, (draft) => {
        for (const key of expired) draft.remove(key);
      });
      for (const edit of edits) after = this.#apply(after, edit);
      for (const lease of leases) this.dropLease(lease);
      return after;
    } finally {
      native().close(fd);
    }
  }

  #apply(before: Index, edit: (draft: Draft) => void): Index {
    const revision = before.revision + 1;
    const keys = { ...before.keys };
    const removed: [string, number][] = [];
    let [file, changed] = [before.file, false];
    const replace = (key: string): void => {
      const old = keys[key];
      if (old !== undefined && old.gone !== true && old.revision !== revision) removed.push([key, old.revision]);
      changed = true;
    };
    edit({
      index: before,
      revision,
      put: (key, value, lease) => {
        replace(key);
        writeFileSync(this.#valuePath(key, revision), value, { mode: 0o600, flush: true });
        keys[key] = lease === undefined ? { revision } : { revision, lease };
      },
      remove: (key) => {
        if (keys[key] === undefined || keys[key].gone === true) return;
        replace(key);
        keys[key] = { revision, gone: true };
      },
      setFile: (digest) => {
        changed ||= file !== digest;
        file = digest;
      },
    });
    if (!changed) return before;
    const after = forget({ ...before, revision, keys, file });
    writeFileSync(`${this.indexPath}.new`, JSON.stringify(after), { mode: 0o600, flush: true });
    renameSync(`${this.indexPath}.new`, this.indexPath);
    for (const [key, was] of removed) rmSync(this.#valuePath(key, was), { force: true });
    return after;
  }

  #make(): void {
    for (const folder of ["values", "leases"]) mkdirSync(join(this.path, folder), { recursive: true, mode: 0o700 });
  }

  async #lock(): Promise<number> {
    const path = join(this.path, "lock");
    for (const until = performance.now() + LOCK_MS; ; ) {
      try {
        return native().lockFile(path);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== "EWOULDBLOCK" && code !== "EAGAIN") throw error;
        if (performance.now() > until) throw new StoreAway(`${path}: held by another process for ${LOCK_MS} ms`);
        await sleep(5);
      }
    }
  }
}

/** Without the oldest removals, when they are many. */
function forget(now: Index): Index {
  const removals = Object.entries(now.keys).filter(([, { gone }]) => gone === true);
  if (removals.length <= REMOVALS) return now;
  const oldest = removals.sort(([, a], [, b]) => a.revision - b.revision).slice(0, removals.length - REMOVALS / 2);
  const names = new Set(oldest.map(([key]) => key));
  const keys = Object.fromEntries(Object.entries(now.keys).filter(([key]) => !names.has(key)));
  return { ...now, keys, forgotten: oldest.at(-1)![1].revision };
}
