/** The data plane's threads, seen from the main thread: started, watched, let run, stopped. */
import { Worker } from "node:worker_threads";
import { hotProgram } from "../io/bundled.ts";
import { native } from "../io/native.ts";
import { countersPath, mapControl } from "../io/runtime-files.ts";
import { controlWords, letRun, mayRun, NOBODY, newToken, passRun } from "../shm/control-block.ts";
import { countersBytes, turnsOf, workerBlock } from "../shm/counters.ts";
import { Failure } from "./failure.ts";
import { STUCK_LOOKS, StuckWorkers } from "./stuck-workers.ts";

const READY_MS = 20_000;
const STOP_MS = 3_000;
/** From one look for workers that are stuck to the next, ms. */
const LOOK_MS = 1_000;
/** A worker allocates at its start and when tables change; its packets lie outside of the heap. */
const HEAP = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

/** What a worker says of itself, and when: ms of the system's monotonic clock. */
interface Word {
  readonly what: "ready" | "running" | "paused";
  readonly at: number;
}

export class WorkerPool {
  readonly #workers: Worker[];
  readonly #control: Int32Array;
  readonly #wake: () => void;
  readonly #token = newToken();
  readonly #end = new Int32Array(new SharedArrayBuffer(4));
  /** The last word of each worker. */
  readonly #said: (Word | null)[];
  readonly #listeners = new Set<() => void>();
  readonly #watch: NodeJS.Timeout;
  #dead: { index: number; reason: string } | null = null;
  #stopping = false;
  #pausing = false;

  /**
   * Starts a thread for each of the options; they stand by until begin(). `wake` makes all look at shared memory. `onDeath` is
   * called once if one ends, or stops taking bursts, without being asked to.
   */
  constructor(runtimeDir: string, options: readonly object[], wake: () => void, onDeath: (reason: string) => void) {
    this.#control = controlWords(mapControl(runtimeDir, false));
    this.#wake = wake;
    this.#said = options.map(() => null);
    const died = (index: number, reason: string): void => {
      if (this.#stopping || this.#dead !== null) return;
      this.#dead = { index, reason };
      this.#notify();
      onDeath(`worker ${index} died: ${reason}`);
    };
    // Not imported: control and data plane only meet in shared memory.
    const program = hotProgram("dataplane/worker.ts");
    this.#workers = options.map((own, index) => {
      const workerData = { ...own, index, token: this.#token, end: this.#end };
      const worker = new Worker(program, { workerData, name: `hafl-${index}`, resourceLimits: HEAP });
      worker.on("message", (word: Word) => {
        this.#said[index] = word;
        if (word.what === "paused" && !this.#pausing) died(index, "the workers of another process run in its place");
        this.#notify();
      });
      worker.on("error", (error) => died(index, error.message));
      worker.on("exit", (code) => died(index, `it ended with code ${code}`));
      return worker;
    });
    const counters = native().mapFile(countersPath(runtimeDir), countersBytes(options.length), false);
    const blocks = options.map((_, index) => workerBlock(counters, index));
    const stuck = new StuckWorkers();
    this.#watch = setInterval(() => {
      const isToRun = (index: number): boolean => this.allowed && this.#said[index]?.what === "running";
      const index = stuck.look(blocks.map((block, i) => (isToRun(i) ? turnsOf(block) : null)));
      if (index >= 0) died(index, `it has taken no packets for ${(STUCK_LOOKS * LOOK_MS) / 1000} s`);
    }, LOOK_MS);
    this.#watch.unref();
  }

  /** Resolves when all stand by; rejects with a Failure when one ends first or takes too long. */
  async ready(): Promise<void> {
    await this.#heard(() => true, "start", READY_MS);
  }

  /** Lets the workers run, whoever's did until now. To be followed by running(). */
  begin(): void {
    this.#pausing = false;
    letRun(this.#control, this.#token);
    this.#wake();
  }

  /** The same if nobody's workers run now. Returns whether that was so. */
  beginAfter(): boolean {
    this.#pausing = false;
    const free = passRun(this.#control, NOBODY, this.#token);
    this.#wake();
    return free;
  }

  /** Whether it is these workers that may run. */
  get allowed(): boolean {
    return mayRun(this.#control, this.#token);
  }

  /** Resolves when all run, with the time the last one began; rejects with a Failure as ready(). */
  async running(): Promise<number> {
    return Math.max(...(await this.#heard(({ what }) => what === "running", "start", READY_MS)));
  }

  /**
   * Stops the workers when their bursts are done, for begin() to let them run again. Resolves with the time when the first stopped;
   * rejects with a Failure when one does not.
   */
  async pause(): Promise<number> {
    this.#pausing = true;
    passRun(this.#control, this.#token, NOBODY);
    this.#wake();
    return Math.min(...(await this.#heard(({ what }) => what === "paused", "stop", STOP_MS)));
  }

  /** Resolves when all have ended; one that does not hear is terminated. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#watch);
    const ended = this.#workers.map((worker) =>
      worker.threadId === -1 ? Promise.resolve() : new Promise<void>((resolve) => worker.once("exit", () => resolve())),
    );
    Atomics.store(this.#end, 0, 1);
    passRun(this.#control, this.#token, NOBODY);
    this.#wake();
    const patience = setTimeout(() => {
      for (const worker of this.#workers) void worker.terminate();
    }, STOP_MS);
    await Promise.all(ended);
    clearTimeout(patience);
  }

  #notify(): void {
    for (const look of [...this.#listeners]) look();
  }

  /** Resolves with the times when the last words of all workers are as wanted. */
  #heard(wanted: (word: Word) => boolean, what: string, patienceMs: number): Promise<number[]> {
    return new Promise((resolve, reject) => {
      const settle = (then: () => void): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        then();
      };
      const late = (): number => this.#said.findIndex((word) => word === null || !wanted(word));
      const look = (): void => {
        if (this.#dead !== null) {
          const { index, reason } = this.#dead;
          settle(() => reject(new Failure(`worker ${index} did not ${what}: ${reason}`)));
        } else if (late() < 0) settle(() => resolve(this.#said.map((word) => word!.at)));
      };
      const timer = setTimeout(() => {
        settle(() => reject(new Failure(`worker ${late()} did not ${what}: nothing heard for ${patienceMs / 1000} s`)));
      }, patienceMs);
      this.#listeners.add(look);
      look();
    });
  }
}
