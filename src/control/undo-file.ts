/**
 * Steps that undo what was done to the host's network, written before each thing is done: whatever happens to the agent,
 * the next one, or `hafl down`, can put the host back.
 */
import { readFileSync, readlinkSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { native } from "../io/native.ts";
import type { Step } from "./plan.ts";

export interface Undo {
  readonly undo: Step;
  readonly scope: "host" | "own" | "address";
  readonly vip?: string;
}

/** Steps of another network namespace or boot mean nothing here. */
const place = (): string =>
  `${readlinkSync("/proc/self/ns/net")} ${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}`;

export class UndoFile {
  readonly #path: string;
  #steps: Undo[];

  /** Opens the file; one that is missing, unreadable or from elsewhere is empty. */
  constructor(path: string) {
    this.#path = path;
    this.#steps = [];
    try {
      const { at, steps } = JSON.parse(readFileSync(path, "utf8")) as { at: string; steps: Undo[] };
      if (at === place()) this.#steps = steps;
    } catch {
      // Nothing to undo.
    }
  }

  /** In the order they were recorded. */
  get steps(): readonly Undo[] {
    return this.#steps;
  }

  /** Replaces all steps; the file goes away with the last. */
  write(steps: readonly Undo[]): void {
    this.#steps = [...steps];
    if (steps.length === 0) {
      rmSync(this.#path, { force: true });
      return;
    }
    writeFileSync(`${this.#path}.new`, JSON.stringify({ at: place(), steps }));
    renameSync(`${this.#path}.new`, this.#path);
  }

  append(steps: readonly Undo[]): void {
    if (steps.length > 0) this.write([...this.#steps, ...steps]);
  }
}

/** Number of this process's network namespace. */
export const namespaceNumber = (): string => /\d+/.exec(readlinkSync("/proc/self/ns/net"))![0];

const PATIENCE_MS = 10_000;

/** Does `work` while holding a lock file, which is removed afterwards. Waits for others; throws after 10 s. */
export function withLock<T>(path: string, work: () => T): T {
  const until = Date.now() + PATIENCE_MS;
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    const fd = tryLock(path);
    // Whoever held it before may have removed the file between our opening and locking it.
    if (fd !== null && isSame(fd, path)) {
      try {
        return work();
      } finally {
        rmSync(path, { force: true });
        native().close(fd);
      }
    }
    if (fd !== null) native().close(fd);
    if (Date.now() > until)
      throw new Error(`${path}: locked for ${PATIENCE_MS / 1000} s by another agent that is starting or stopping`);
    Atomics.wait(clock, 0, 0, 20);
  }
}

function tryLock(path: string): number | null {
  try {
    return native().lockFile(path);
  } catch (error) {
    if (["EWOULDBLOCK", "EAGAIN"].includes((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}

function isSame(fd: number, path: string): boolean {
  try {
    return statSync(`/proc/self/fd/${fd}`).ino === statSync(path).ino;
  } catch {
    return false;
  }
}
