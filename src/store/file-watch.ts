/** A watch of the file store: looks again whenever the index has been replaced, and once in a while whatever happens. */
import { type FSWatcher, mkdirSync, watch } from "node:fs";
import { asStoreError, type FileFolder, type Index } from "./file-folder.ts";
import type { Change, Closable, WatchHandlers } from "./store.ts";

/** How often it looks without being told: leases end without a word, and not every file system tells, ms. */
const LOOK_MS = 500;

/** The changes below a prefix between a revision and now, in their order; of a key that changed twice, the last. Null: not known. */
export function changesSince(folder: FileFolder, now: Index, prefix: string, revision: number): Change[] | null {
  if (now.revision < revision || revision < now.forgotten) return null;
  const changed = Object.entries(now.keys)
    .filter(([key, entry]) => entry.revision > revision && key.startsWith(prefix))
    .sort(([, a], [, b]) => a.revision - b.revision);
  return changed.map(([key, entry]) => {
    const value = entry.gone === true ? null : folder.value(key, entry.revision);
    return { key, value, revision: entry.revision };
  });
}

/** Watches as Store's watch does; `refresh` brings the folder up to date and gives its index. */
export function watchFolder(
  folder: FileFolder,
  refresh: () => Promise<Index>,
  prefix: string,
  revision: number,
  handlers: WatchHandlers,
): Closable & { look(): void } {
  let [over, seen, looking, again] = [false, revision, false, false];
  /** The last revision at which a value was not there. */
  let lacking = 0;
  let watcher: FSWatcher | null = null;
  const finish = (reason: string | null): void => {
    if (over) return;
    over = true;
    clearInterval(timer);
    watcher?.close();
    if (reason !== null) handlers.lost(reason);
  };
  const once = async (): Promise<void> => {
    const now = await refresh();
    if (over || now.revision === seen) return;
    const changes = changesSince(folder, now, prefix, seen);
    if (changes === null) return finish(`changes after revision ${seen} are not known any more`);
    // A value that is gone by now has been replaced: the next look finds what by.
    const missing = changes.find(({ key, value }) => value === null && now.keys[key]?.gone !== true);
    if (missing !== undefined) {
      if (now.revision === lacking) throw folder.lacks(missing.key);
      lacking = now.revision;
      again = true;
      return;
    }
    seen = now.revision;
    if (changes.length > 0) handlers.changed(changes, seen);
  };
  const look = (): void => {
    again = looking;
    if (looking || over) return;
    looking = true;
    once()
      .catch((error) => finish(asStoreError(error).message))
      .finally(() => {
        looking = false;
        if (again) look();
      });
  };
  const timer = setInterval(look, LOOK_MS);
  try {
    mkdirSync(folder.path, { recursive: true, mode: 0o700 });
    watcher = watch(folder.path, look);
    // It still looks by the clock.
    watcher.on("error", () => {});
  } catch {
    // The same.
  }
  queueMicrotask(look);
  return { look, close: () => finish(null) };
}
