/**
 * What new forwarding tables cost: building one for many hosts, publishing it as an agent does, and taking it up between two
 * bursts.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { type Config, parseConfig } from "../control/config.ts";
import { Publisher } from "../control/publish.ts";
import { hotProgram } from "../io/bundled.ts";
import { keysOf } from "../steering/flow-hash.ts";
import { maglev } from "../steering/maglev.ts";
import { type Measurement, median } from "./measure.ts";
import type { SwapTimes, SwapWorkerOptions } from "./swap-worker.ts";

const WEIGHTS = 10;
const FLOWS = 10_000;
/** Builds of a table, and generations published, in a round. */
const BUILDS = 5;
const SWAPS = 20;
/** Between two generations, ms. */
const PAUSE_MS = 5;

/** A cluster of `hosts` hosts with weights from 1 to 10, and one more that only forwards. */
export function wideConfig(hosts: number): Config {
  const names = Array.from({ length: hosts }, (_, i) => `h${i + 1}`);
  const dip = (i: number): string => `10.${1 + (i >> 14)}.${(i >> 6) & 255}.${1 + (i & 63)}`;
  const text = JSON.stringify({
    cluster: "bench",
    seed: "0123456789abcdef0123456789abcdef",
    hosts: [...names, "director"].map((name, i) => ({ name, dip: dip(i) })),
    services: [
      {
        name: "web",
        vips: ["192.0.2.10"],
        ports: { tcp: [80] },
        pool: Object.fromEntries(names.map((name, i) => [name, 1 + (i % WEIGHTS)])),
      },
    ],
  });
  const result = parseConfig(text, "built-in");
  if ("errors" in result) throw new Error(result.errors.join("\n"));
  return result.config;
}

/** The config with another weight for one host. */
function withWeight(config: Config, member: number, weight: number): Config {
  const [service] = config.services;
  const pool = service!.pool.map((one, i) => (i === member ? { ...one, weight } : one));
  return { ...config, services: [{ ...service!, pool }] };
}

const milliseconds = (work: () => void): number => {
  const begun = performance.now();
  work();
  return performance.now() - begun;
};

/** Milliseconds that a table takes to build; the first in this process by itself. */
function benchBuild(config: Config, rounds: number): { first: number; build: number[] } {
  const hosts = config.services[0]!.pool.map(({ host, weight }) => ({ name: host, weight }));
  const key = keysOf(config.seed).table;
  const build = (): void => void maglev(hosts, config.table.size, key);
  const first = milliseconds(build);
  build();
  const times = Array.from({ length: rounds }, () => {
    const several = Array.from({ length: BUILDS }, () => milliseconds(build));
    return median(several);
  });
  return { first, build: times };
}

async function benchSwaps(config: Config, rounds: number, onRound: (round: number) => void) {
  const dir = mkdtempSync(join(tmpdir(), "hafl-bench-"));
  const end = new Int32Array(new SharedArrayBuffer(4));
  try {
    const publisher = Publisher.open(dir, 1, FLOWS);
    publisher.publish(config, "director", 1600);
    const workerData: SwapWorkerOptions = { dir, config, flows: FLOWS, end };
    const worker = new Worker(hotProgram("bench/swap-worker.ts"), { workerData });
    await once(worker, "message");
    const publish: number[] = [];
    for (let round = 0; round < rounds; round++) {
      // Another weight each time: a table that has not been built yet.
      const changed = withWeight(config, round, WEIGHTS + 1);
      publish.push(milliseconds(() => publisher.publish(changed, "director", 1600)));
      for (let i = 0; i < SWAPS; i++) {
        publisher.publish(i % 2 === 0 ? config : changed, "director", 1600);
        await sleep(PAUSE_MS);
      }
      onRound(round + 1);
    }
    const told = once(worker, "message");
    Atomics.store(end, 0, 1);
    const [times] = (await told) as [SwapTimes];
    await worker.terminate();
    return { publish, ...times };
  } finally {
    Atomics.store(end, 0, 1);
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The largest of as many values a round as there are swaps in one, evenly from all. */
function worst(values: readonly number[], rounds: number): number[] {
  const step = Math.max(1, Math.floor(values.length / (rounds * SWAPS)));
  const some = values.filter((_, i) => i % step === 0);
  return Array.from({ length: rounds }, (_, round) => Math.max(...some.slice(round * SWAPS, (round + 1) * SWAPS)));
}

/**
 * `first` and `build`: a table for `hosts` weighted hosts, in ms; `publish`: all an agent does until it is current; `burst` and `swap`: the
 * longest of 20 bursts of 128 packets, without and with new tables to take up, in µs; `delay`: `swap` over the median burst.
 */
export async function benchTable(
  hosts: number,
  rounds: number,
  onRound: (round: number) => void = () => {},
): Promise<Record<string, Measurement>> {
  const config = wideConfig(hosts);
  const { first, build } = benchBuild(config, rounds);
  const { publish, swaps, others } = await benchSwaps(config, rounds, onRound);
  const figure = (unit: string, values: number[]): Measurement => ({ median: median(values), unit, rounds: values });
  const usual = median(others);
  const swap = worst(swaps, rounds);
  return {
    first: figure("ms", [first]),
    build: figure("ms", build),
    publish: figure("ms", publish),
    usual: figure("µs", [usual]),
    burst: figure("µs", worst(others, rounds)),
    swap: figure("µs", swap),
    delay: figure(
      "µs",
      swap.map((took) => took - usual),
    ),
  };
}
