/** Where a cluster keeps what is wanted of it and what its conductor makes of that: one interface, several implementations. */

export interface Entry {
  readonly key: string;
  readonly value: string;
  /** Revision of the store at which it was written; those of a store only grow. */
  readonly revision: number;
}

export interface Snapshot {
  readonly entries: readonly Entry[];
  /** Everything up to this revision is in it. */
  readonly revision: number;
}

/** value null: the key is gone. */
export type Change = Omit<Entry, "value"> & { readonly value: string | null };

export interface WatchHandlers {
  /** Changes of one revision or more, in their order. */
  changed(changes: readonly Change[], revision: number): void;
  /** Changes may have been missed, or the store is away: all is to be read again, and watched from there. Called once; the watch is over. */
  lost(reason: string): void;
}

export interface Closable {
  close(): void;
}

/** What must hold for a commit: the key has the revision it had when it was read (0: does not exist). */
export interface Condition {
  readonly key: string;
  readonly revision: number;
}

export interface Write {
  readonly key: string;
  /** null: remove it. */
  readonly value: string | null;
  /** The entry goes away with this lease. */
  readonly lease?: Lease;
}

export interface Lease {
  /** Names it within its store. */
  readonly id: string;
  /** Resolves, with the reason, when the lease is not held any more, or nobody can tell. */
  readonly lost: Promise<string>;
  /** Gives it up: its entries go away at once. */
  revoke(): Promise<void>;
}

export type Committed = { readonly done: true; readonly revision: number } | { readonly done: false };

/** All promises reject with a StoreAway when the store does not answer in time, and with a StoreRefused when it does not want to. */
export interface Store {
  /** For error lines and logs: where it is. */
  readonly name: string;
  /** All entries below a prefix, as they were at one moment. */
  read(prefix: string): Promise<Snapshot>;
  /** Tells of changes below a prefix from the one after `revision` on. */
  watch(prefix: string, revision: number, handlers: WatchHandlers): Closable;
  /** Writes all if all conditions hold, else nothing; also of several writers at a time only one. */
  commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed>;
  /** Entries written with it last until it is revoked, or its holder has not been heard of for `seconds`. */
  lease(seconds: number): Promise<Lease>;
  /** Whoever asks is about to end, and waits for what does not answer for a few seconds in all. */
  hurry(): void;
  close(): Promise<void>;
}

/** The store cannot be asked, or did not answer in time: whether a commit was done is not known. */
export class StoreAway extends Error {}

/** The store answered, and will answer the same again: wrong credentials, no permission, too large. */
export class StoreRefused extends Error {}
