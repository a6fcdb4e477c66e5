/** The records that only the conductor writes, watched while it conducts: what somebody else writes there is found, and written over. */
import type { ClusterKeys } from "../store/keys.ts";
import type { Closable, Entry, Store, Write } from "../store/store.ts";
import { mirror } from "./mirror.ts";

/** What lies under a key; value null: nothing, since this revision of the store. */
interface Lies {
  readonly value: string | null;
  readonly revision: number;
}

export class OwnRecords {
  /** As the conductor has written or read them last. */
  readonly #own = new Map<string, Lies>();
  /** As they lie in the store. */
  readonly #found = new Map<string, Lies>();
  readonly #mirrors: readonly Closable[];

  /** `wake`: something has changed. */
  constructor(store: Store, keys: ClusterKeys, wake: () => void) {
    this.#mirrors = [keys.allGenerations, keys.decisions].map((prefix) =>
      mirror(store, prefix, {
        replaced: (entries) => {
          const there = new Set(entries.map(({ key }) => key));
          const last = entries.reduce((most, { revision }) => Math.max(most, revision), 0);
          for (const key of this.#own.keys())
            if (key.startsWith(prefix) && !there.has(key)) this.#found.set(key, { value: null, revision: last });
          for (const { key, value, revision } of entries) this.#found.set(key, { value, revision });
          wake();
        },
        changed: (changes) => {
          for (const { key, value, revision } of changes) this.#found.set(key, { value, revision });
          wake();
        },
        lost: () => {},
      }),
    );
  }

  close(): void {
    for (const one of this.#mirrors) one.close();
  }

  /** What was read counts as the conductor's own. */
  read(entries: readonly Entry[]): void {
    this.#own.clear();
    for (const { key, value, revision } of entries) this.#own.set(key, { value, revision });
  }

  /** The conductor has written this at a revision of the store. */
  wrote(writes: readonly Write[], revision: number): void {
    for (const { key, value } of writes) this.#own.set(key, { value, revision });
  }

  /** What lies there that somebody else has written since the conductor did, by key; null: it was deleted. */
  strange(): Map<string, string | null> {
    const strange = new Map<string, string | null>();
    for (const [key, { value, revision }] of this.#found) {
      const own = this.#own.get(key);
      if (revision > (own?.revision ?? 0) && value !== (own?.value ?? null)) strange.set(key, value);
    }
    return strange;
  }
}
