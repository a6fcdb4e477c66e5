/** The data plane's threads, seen from the main thread: started, watched, stopped. */
import { Worker } from "node:worker_threads";
import { hotProgram } from "../io/bundled.ts";
import { Failure } from "./failure.ts";

const READY_MS = 20_000;
const STOP_MS = 3_000;
/** A worker allocates at its start and when tables change; its packets lie outside of the heap. */
const HEAP = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

export class WorkerPool {
  readonly #workers: Worker[];
  #stopping = false;

  /** Starts a thread for each of the options. `onDeath` is called once if one ends without being asked to. */
  constructor(options: readonly object[], onDeath: (reason: string) => void) {
    let dead = false;
    const died = (index: number, reason: string): void => {
      if (this.#stopping || dead) return;
      dead = true;
      onDeath(`worker ${index} died: ${reason}`);
    };
    // Not imported: control and data plane only meet in shared memory.
    const program = hotProgram("dataplane/worker.ts");
    this.#workers = options.map((workerData, index) => {
      const worker = new Worker(program, { workerData, name: `hafl-${index}`, resourceLimits: HEAP });
      worker.on("error", (error) => died(index, error.message));
      worker.on("exit", (code) => died(index, `it ended with code ${code}`));
      return worker;
    });
  }

  /** Resolves when all have said that they are ready; rejects with a Failure when one ends first or takes too long. */
  async ready(): Promise<void> {
    await Promise.all(
      this.#workers.map(
        (worker, index) =>
          new Promise<void>((resolve, reject) => {
            const fail = (why: string): void => reject(new Failure(`worker ${index} did not start: ${why}`));
            const timer = setTimeout(() => fail(`nothing heard for ${READY_MS / 1000} s`), READY_MS);
            const settle = (then: () => void) => (): void => {
              clearTimeout(timer);
              then();
            };
            worker.once("message", settle(resolve));
            worker.once("error", (error) => settle(() => fail(error.message))());
            worker.once(
              "exit",
              settle(() => fail("it ended")),
            );
          }),
      ),
    );
  }

  /** Resolves when all have ended. They must have been asked to by shared memory; one that does not hear is terminated. */
  async stop(ask: () => void): Promise<void> {
    this.#stopping = true;
    const ended = this.#workers.map((worker) =>
      worker.threadId === -1 ? Promise.resolve() : new Promise<void>((resolve) => worker.once("exit", () => resolve())),
    );
    ask();
    const patience = setTimeout(() => {
      for (const worker of this.#workers) void worker.terminate();
    }, STOP_MS);
    await Promise.all(ended);
    clearTimeout(patience);
  }
}
