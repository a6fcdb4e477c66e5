/** The agent looks whether it, and what it has made of the host's network, still works, and says on the board what does not. */
import type { AgentView, Attendant } from "../control/attendant.ts";
import { workersOf } from "../control/cpus.ts";
import { native } from "../io/native.ts";
import { countersPath, mapControl } from "../io/runtime-files.ts";
import { controlWords, currentGeneration, seenGeneration } from "../shm/control-block.ts";
import { countersBytes, turnsOf, workerBlock } from "../shm/counters.ts";
import { readHostFacts } from "./host-facts.ts";
import { networkProblems, type Problems, type Pulse, SOURCES, tooOld, WorkerPulses } from "./own-problems.ts";

/** From one look to the next, ms. Each asks `ip` once for each family. */
const ROUND_MS = 2000;

export interface SelfCheckOptions {
  /** For how many seconds the store has been out of reach; null: it is not, or there is none. */
  readonly storeAge?: () => number | null;
}

export class SelfCheck implements Attendant {
  readonly name = "self-check";
  readonly #view: AgentView;
  readonly #storeAge: () => number | null;
  readonly #pulses = new WorkerPulses();
  #read: (() => { pulses: Pulse[]; generation: number }) | null = null;
  #timer: NodeJS.Timeout | undefined;
  #over = false;
  #blind = false;

  constructor(view: AgentView, { storeAge = () => null }: SelfCheckOptions = {}) {
    this.#view = view;
    this.#storeAge = storeAge;
  }

  start(): void {
    const { runtimeDir, place } = this.#view;
    const workers = workersOf(place.config.io);
    const control = controlWords(mapControl(runtimeDir, false));
    const counters = native().mapFile(countersPath(runtimeDir), countersBytes(workers), false);
    const blocks = Array.from({ length: workers }, (_, i) => workerBlock(counters, i));
    this.#read = () => ({
      pulses: blocks.map((block, i) => ({ turns: turnsOf(block), seen: seenGeneration(control, i) })),
      generation: currentGeneration(control),
    });
    void this.#round();
  }

  /** What is taken away from now on is not missing. */
  leaving(): void {
    this.stop();
  }

  stop(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  async #round(): Promise<void> {
    const { pulses, generation } = this.#read!();
    const workers = this.#pulses.judge(pulses, generation);
    const network = await this.#lookAtNetwork();
    if (this.#over) return;
    const { board } = this.#view;
    board.problem("workers", workers);
    board.problem("store", this.#tooOld());
    if (network !== null) {
      for (const source of SOURCES)
        if (source !== "workers" && source !== "store") board.problem(source, network.get(source) ?? null);
      board.examine();
    }
    this.#timer = setTimeout(() => void this.#round(), ROUND_MS);
    this.#timer.unref();
  }

  /** null: what was seen does not count. */
  async #lookAtNetwork(): Promise<Problems | null> {
    const { config, place, network, log } = this.#view;
    const [desired, { gue, io }] = [network(), config()];
    const what = { dips: place.host.dips, port: gue.port, workers: workersOf(io) };
    try {
      const facts = await readHostFacts(desired, what.dips, what.port);
      this.#blind = false;
      // While it was read another config became current, and the network was changed.
      return desired === network() ? networkProblems(desired, what, facts) : null;
    } catch (error) {
      if (!this.#blind) log.warn({ err: error }, `the host's network cannot be looked at: ${(error as Error).message}`);
      this.#blind = true;
      return null;
    }
  }

  #tooOld(): string | null {
    return tooOld(this.#storeAge(), this.#view.config().health.maxAge);
  }
}
