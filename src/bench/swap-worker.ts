/**
 * The data plane's side of swap.ts, a thread as a worker is: takes bursts as fast as it can, looks for new tables before each, and
 * writes down how long bursts take. Bursts come from memory.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { Config } from "../control/config.ts";
import { CurrentTables } from "../dataplane/current-tables.ts";
import { createTurn } from "../dataplane/pipeline.ts";
import { mapControl } from "../io/runtime-files.ts";
import { controlWords } from "../shm/control-block.ts";
import { ACK, SYN } from "../wire/tcp.ts";
import { BurstSource, prepare, setAllFlags } from "./load.ts";

export interface SwapWorkerOptions {
  readonly dir: string;
  readonly config: Config;
  readonly flows: number;
  /** One shared word: not 0 when the thread is to end. */
  readonly end: Int32Array;
}

/** Microseconds. */
export interface SwapTimes {
  /** Bursts that found new tables. */
  readonly swaps: readonly number[];
  /** Some of the others, by number alone: those around a swap are no fair sample of them. */
  readonly others: readonly number[];
}

/** Bursts before the first that counts. */
const WARM_UP = 20_000;
const EVERY = 1009;

function run({ dir, config, flows, end }: SwapWorkerOptions): SwapTimes {
  const current = new CurrentTables(dir, controlWords(mapControl(dir, false)), 0);
  const load = prepare(config, flows);
  const context = { ...load.context, tables: current.tables };
  const turn = createTurn(context, new BurstSource(load), []);
  setAllFlags(load, SYN);
  for (const _ of load.bursts) turn();
  setAllFlags(load, ACK);
  current.enter();
  for (let i = 0; i < WARM_UP; i++) turn();
  parentPort!.postMessage("ready");

  const swaps: number[] = [];
  const others: number[] = [];
  for (let i = 0; Atomics.load(end, 0) === 0; i++) {
    const { generation } = context.tables;
    const begun = performance.now();
    current.take();
    turn();
    const took = (performance.now() - begun) * 1000;
    if (context.tables.generation !== generation) swaps.push(took);
    else if (i % EVERY === 0) others.push(took);
  }
  current.leave();
  return { swaps, others };
}

parentPort!.postMessage(run(workerData as SwapWorkerOptions));
