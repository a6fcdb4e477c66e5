/** Publishing: a configuration becomes forwarding tables in the bank that nobody reads, which then becomes the current one. */
import { existsSync, rmSync } from "node:fs";
import {
  bankPath,
  controlPath,
  countersPath,
  flowsPath,
  fragmentsPath,
  historyPath,
  mapBank,
  mapControl,
  mapKept,
  mapRegion,
  synsPath,
} from "../io/runtime-files.ts";
import {
  allSeen,
  bankBytes,
  bankOf,
  bankSerial,
  CONTROL_BYTES,
  CONTROL_LAYOUT,
  controlWords,
  currentGeneration,
  resetWorkers,
  setBank,
  setGeneration,
} from "../shm/control-block.ts";
import { COUNTERS_LAYOUT, countersBytes } from "../shm/counters.ts";
import { FLOWS_LAYOUT, flowsEpoch, flowTableBytes, setFlowsEpoch } from "../shm/flow-table.ts";
import { FORWARDING_LAYOUT, tablesBytes, writeTables } from "../shm/forwarding-table.ts";
import { FRAGMENTS_BYTES, FRAGMENTS_LAYOUT } from "../shm/fragment-table.ts";
import { openRegion } from "../shm/region.ts";
import { SYNS_BYTES, SYNS_LAYOUT } from "../shm/syn-memory.ts";
import { type ChainTable, movedBuckets } from "../steering/generations.ts";
import { RememberedTables } from "../steering/remembered-tables.ts";
import type { Config } from "./config.ts";
import { workersOf } from "./cpus.ts";
import { advanceHistory, drainTimes, type GivenPools, type History, nextDrained } from "./generation-history.ts";
import { originOf, readHistory, writeHistory } from "./history-file.ts";
import type { PathMtus } from "./path-mtu.ts";
import { forHost, poolsFor } from "./site.ts";
import { chainTables, tablesSpec } from "./tables-spec.ts";

export interface PoolChange {
  /** Service whose pool it is. */
  readonly name: string;
  /** Buckets whose first hop changed, and their share of the table, 0..1. */
  readonly moved: number;
  readonly share: number;
}
export interface PublishResult {
  readonly generation: number;
  readonly movedBuckets: number;
  readonly buckets: number;
  readonly pools: readonly PoolChange[];
  /** When to publish again because a host's drain time is over, ms since the epoch; null: none is about to. */
  readonly drainAt: number | null;
}

/** How long a worker may take to leave a bank, ms: bursts last well under one. */
const PATIENCE_MS = 1000;
/** How long after its drain time a host is taken out of the chains. */
const DRAIN_SLACK_MS = 1000;
/** Banks are made larger than needed, so that a cluster may grow within them. */
const SPARE = 1.5;

export class Publisher {
  readonly #dir: string;
  readonly #workers: number;
  readonly #control: Int32Array;
  readonly #banks: (ArrayBuffer | null)[] = [null, null];
  #history: History;
  #tables = new Map<string, ChainTable>();
  readonly #remembered = new RememberedTables();

  private constructor(dir: string, workers: number, control: Int32Array, history: History) {
    this.#dir = dir;
    this.#workers = workers;
    this.#control = control;
    this.#history = history;
  }

  /**
   * Opens the shared files of a runtime directory for so many workers, which must not have started, and so many flows. What an
   * earlier agent left is kept where it fits: generations go on from there, counters, flows and host ids stay. Throws when a
   * file cannot be mapped.
   */
  static open(runtimeDir: string, workers: number, flows: number): Publisher {
    const buffer = mapControl(runtimeDir, true);
    openRegion(buffer, CONTROL_LAYOUT);
    const control = controlWords(buffer);
    resetWorkers(control);
    mapRegion(countersPath(runtimeDir), countersBytes(workers), COUNTERS_LAYOUT);
    mapRegion(synsPath(runtimeDir), SYNS_BYTES, SYNS_LAYOUT);
    mapRegion(fragmentsPath(runtimeDir), FRAGMENTS_BYTES, FRAGMENTS_LAYOUT);
    const history = readHistory(runtimeDir);
    const table = mapRegion(flowsPath(runtimeDir), flowTableBytes(flows), FLOWS_LAYOUT);
    if (table.kept && flowsEpoch(table.buffer) !== history.epoch) {
      // Its entries name hosts by numbers that mean others now.
      rmSync(flowsPath(runtimeDir));
      table.buffer = mapRegion(flowsPath(runtimeDir), flowTableBytes(flows), FLOWS_LAYOUT).buffer;
    }
    setFlowsEpoch(table.buffer, history.epoch);
    return new Publisher(runtimeDir, workers, control, history);
  }

  /**
   * The same while the workers of another process use the files, whose config is `config`: nothing is made or changed. Throws
   * when a file is missing, or is not as this version would have made it.
   */
  static adopt(runtimeDir: string, config: Config, flows: number): Publisher {
    const control = controlWords(mapKept(controlPath(runtimeDir), CONTROL_BYTES, CONTROL_LAYOUT));
    mapKept(countersPath(runtimeDir), countersBytes(workersOf(config.io)), COUNTERS_LAYOUT);
    mapKept(synsPath(runtimeDir), SYNS_BYTES, SYNS_LAYOUT);
    mapKept(fragmentsPath(runtimeDir), FRAGMENTS_BYTES, FRAGMENTS_LAYOUT);
    const table = mapKept(flowsPath(runtimeDir), flowTableBytes(flows), FLOWS_LAYOUT);
    const history = readHistory(runtimeDir);
    if (flowsEpoch(table) !== history.epoch) throw new Error(`${historyPath(runtimeDir)}: not that of the flow table beside it`);
    const publisher = new Publisher(runtimeDir, workersOf(config.io), control, history);
    const bank = bankOf(currentGeneration(control));
    const bytes = bankBytes(control, bank);
    publisher.#banks[bank] = mapKept(bankPath(runtimeDir, bank, bankSerial(control, bank)), bytes, FORWARDING_LAYOUT);
    publisher.#tables = chainTables(config, history);
    return publisher;
  }

  /** The current generation. */
  get generation(): number {
    return currentGeneration(this.#control);
  }

  /**
   * Makes a configuration current as the host named `hostName` sees it, at `now` (ms since the epoch), with outer packets of at
   * most so many bytes. `pools`: generations by the name of their pool, where they are not derived here. Returns what changed.
   * Throws when a worker does not leave the bank that is to be written.
   */
  publish(wanted: Config, hostName: string, mtus: PathMtus, now = Date.now(), pools: GivenPools | null = null): PublishResult {
    const config = forHost(wanted, hostName);
    const given = pools === null ? null : poolsFor(wanted, pools, hostName);
    const history = advanceHistory(this.#history, config, now, given);
    const before = this.#tables.size > 0 ? this.#tables : chainTables(config, this.#history, this.#remembered);
    const tables = chainTables(config, history, this.#remembered);
    const current = currentGeneration(this.#control);
    const generation = current + 1;
    const bank = bankOf(generation);
    this.#awaitWorkers(current);
    const spec = tablesSpec(config, history, tables, hostName, generation, mtus);
    writeTables(this.#bank(bank, tablesBytes(spec)), spec);
    writeHistory(this.#dir, history, originOf(config, generation));
    setGeneration(this.#control, generation);
    this.#history = history;
    this.#tables = tables;
    // Of generations that are given, who gives them ends the time too.
    const drained = given !== null ? null : nextDrained(Object.values(history.pools), drainTimes(config));
    return {
      ...summary(generation, config.table.size, before, tables),
      drainAt: drained === null ? null : drained + DRAIN_SLACK_MS,
    };
  }

  /** Nobody may still read the bank: all workers must have moved to the current generation, which lies in the other one. */
  #awaitWorkers(current: number): void {
    const until = performance.now() + PATIENCE_MS;
    const clock = new Int32Array(new SharedArrayBuffer(4));
    while (!allSeen(this.#control, this.#workers, current)) {
      if (performance.now() > until) throw new Error(`a worker has not taken up generation ${current} within ${PATIENCE_MS} ms`);
      Atomics.wait(clock, 0, 0, 1);
    }
  }

  /** The mapped bank, replaced by a larger file when `bytes` do not fit. */
  #bank(bank: 0 | 1, bytes: number): ArrayBuffer {
    const serial = bankSerial(this.#control, bank);
    const has = bankBytes(this.#control, bank);
    const mapped = this.#banks[bank];
    if (mapped && bytes <= mapped.byteLength) return mapped;
    const fits = serial > 0 && bytes <= has && existsSync(bankPath(this.#dir, bank, serial));
    const size = fits ? has : Math.ceil((bytes * SPARE) / 4096) * 4096;
    const fresh = fits ? serial : serial + 1;
    const buffer = mapBank(this.#dir, bank, fresh, size, true);
    if (!fits) {
      setBank(this.#control, bank, fresh, size);
      rmSync(bankPath(this.#dir, bank, serial), { force: true });
    }
    this.#banks[bank] = buffer;
    return buffer;
  }
}

function summary(
  generation: number,
  buckets: number,
  before: ReadonlyMap<string, ChainTable>,
  after: ReadonlyMap<string, ChainTable>,
): Omit<PublishResult, "drainAt"> {
  const pools = [...after].map(([name, table]) => {
    const old = before.get(name);
    const moved = old === undefined ? buckets : movedBuckets(old, table);
    return { name, moved, share: moved / buckets };
  });
  return { generation, buckets, pools, movedBuckets: pools.reduce((sum, pool) => sum + pool.moved, 0) };
}
