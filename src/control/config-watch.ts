/** Notices when a file's content changes, however it is written: in place, by rename, behind a symbolic link. */
import { type FSWatcher, readFileSync, watch } from "node:fs";
import { dirname } from "node:path";

/** Editors write in several steps; what is read in between is half a file. */
const SETTLE_MS = 100;

export class ConfigWatch {
  readonly #file: string;
  readonly #changed: () => void;
  #watcher: FSWatcher | null = null;
  #failure: Error | null = null;
  #report: ((error: Error) => void) | null = null;
  #timer: NodeJS.Timeout | undefined;
  #text: string | null;

  /** Calls `changed` after each change. Watches the directory, as a file that is replaced is another file. */
  constructor(file: string, changed: () => void) {
    this.#file = file;
    this.#changed = changed;
    this.#text = this.#read();
    const failed = (error: Error): void => {
      this.#failure = error;
      this.#report?.(error);
    };
    try {
      this.#watcher = watch(dirname(file), () => this.#settle());
      this.#watcher.on("error", failed);
    } catch (error) {
      failed(error as Error);
    }
    // What came between reading and watching.
    this.#settle();
  }

  /** Who is told when the file cannot be watched, or not any longer; also of what has failed by now. */
  onFailure(report: (error: Error) => void): void {
    this.#report = report;
    if (this.#failure !== null) report(this.#failure);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const text = this.#read();
      if (text === this.#text) return;
      this.#text = text;
      // A file that is gone for the moment of being replaced is no change; the one that comes is.
      if (text !== null) this.#changed();
    }, SETTLE_MS);
  }

  #read(): string | null {
    try {
      return readFileSync(this.#file, "utf8");
    } catch {
      return null;
    }
  }
}
