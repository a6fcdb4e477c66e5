/** Who conducts: one at a time, by a leased key. Who thinks that it still does when it does not has its writes rejected by the store. */
import type { Committed, Condition, Lease, Store, Write } from "../store/store.ts";

/** The time in which one conducts. */
export interface Term {
  /** Resolves, with the reason, when it is over, or may be. */
  readonly over: Promise<string>;
  /** Writes if it is not over, as the store sees it, else nothing. */
  commit(writes: readonly Write[]): Promise<Committed>;
  /** Ends it, so that the next one need not wait. Never rejects: the lease ends by itself. */
  resign(): Promise<void>;
}

/**
 * Waits until nobody has `key`, and takes it with `value`, leased for `seconds`. Returns null when somebody else was faster: try again.
 * Rejects as the store does, and with the reason of `signal` when that says stop.
 */
export async function elect(
  store: Store,
  key: string,
  value: string,
  seconds: number,
  signal: AbortSignal,
): Promise<Term | null> {
  await vacant(store, key, signal);
  const lease = await store.lease(seconds);
  try {
    signal.throwIfAborted();
    const taken = await store.commit([{ key, revision: 0 }], [{ key, value, lease }]);
    if (taken.done) return termOf(store, { key, revision: taken.revision }, lease);
  } catch (error) {
    // It may have been done: with the lease it is undone.
    await revoked(lease);
    throw error;
  }
  await revoked(lease);
  return null;
}

const revoked = (lease: Lease): Promise<void> => lease.revoke().catch(() => {});

/** Looks again so often, ms, and a part of it by chance: a watch that hangs says nothing, as one at a member that has lost the others. */
const LOOK_MS = 5_000;

/** Those who wait look each at a moment of its own within this time after something has happened, ms: else all would stand at once. */
const SPREAD_MS = 300;

/** Resolves when nobody has the key. */
async function vacant(store: Store, key: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const { entries, revision } = await store.read(key);
    if (!entries.some((entry) => entry.key === key)) return;
    await stirred(store, key, revision, signal);
  }
}

/** Resolves when the key was given up, or nobody can tell, or after a while. Rejects with the reason of `signal`. */
function stirred(store: Store, key: string, revision: number, signal: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const end = (finish: () => void): void => {
      clearTimeout(timer);
      watch.close();
      signal.removeEventListener("abort", stopped);
      finish();
    };
    const stopped = (): void => end(() => reject(signal.reason));
    let timer = setTimeout(() => end(resolve), LOOK_MS * (0.75 + Math.random() / 2));
    const soon = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => end(resolve), Math.random() * SPREAD_MS);
    };
    const watch = store.watch(key, revision, {
      changed: (changes) => {
        if (changes.findLast((change) => change.key === key)?.value === null) soon();
      },
      lost: soon,
    });
    signal.addEventListener("abort", stopped);
    // Told to while it was read, which nobody says once more.
    if (signal.aborted) stopped();
  });
}

function termOf(store: Store, fence: Condition, lease: Lease): Term {
  let close = (): void => {};
  const taken = new Promise<string>((resolve) => {
    const watch = store.watch(fence.key, fence.revision, {
      changed: (changes) => {
        if (changes.some(({ key }) => key === fence.key)) resolve("the key of the conductor was taken away");
      },
      // The lease is what counts, and every write asks.
      lost: () => {},
    });
    close = () => watch.close();
  });
  return {
    over: Promise.race([lease.lost, taken]),
    commit: (writes) => store.commit([fence], writes),
    resign: async () => {
      close();
      await revoked(lease);
    },
  };
}
