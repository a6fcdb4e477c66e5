/** What lies below a prefix of the store, followed for as long as it takes: read, watched, and read again when the watch is lost. */
import type { Change, Closable, Entry, Store } from "../store/store.ts";

export interface MirrorHandlers {
  /** All that is there; what is not is gone. From here on changes follow. */
  replaced(entries: readonly Entry[]): void;
  changed(changes: readonly Change[]): void;
  /** What was told may not hold any more, until `replaced`. */
  lost(reason: string): void;
}

/** Between two attempts to read, ms. */
const RETRY_MS = 500;

/** Begins at once, and goes on until it is closed. */
export function mirror(store: Store, prefix: string, handlers: MirrorHandlers): Closable {
  let closed = false;
  let watch: Closable | null = null;
  let timer: NodeJS.Timeout | undefined;
  const again = (reason: string): void => {
    if (closed) return;
    watch = null;
    handlers.lost(reason);
    timer = setTimeout(() => void begin(), RETRY_MS);
  };
  const begin = async (): Promise<void> => {
    try {
      const { entries, revision } = await store.read(prefix);
      if (closed) return;
      handlers.replaced(entries);
      watch = store.watch(prefix, revision, {
        changed: (changes) => {
          if (!closed) handlers.changed(changes);
        },
        lost: again,
      });
    } catch (error) {
      again((error as Error).message);
    }
  };
  void begin();
  return {
    close: () => {
      closed = true;
      clearTimeout(timer);
      watch?.close();
    },
  };
}
