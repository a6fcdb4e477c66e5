/** What a packet costs with a million flows in the flow table, over one with ten thousand: two workers' worth of memory, in turns. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Config } from "../control/config.ts";
import { hotProgram } from "../io/bundled.ts";
import type { FlowsReport, FlowsWorkerOptions } from "./flows-worker.ts";
import { type Measurement, median } from "./measure.ts";

const FEW_FLOWS = 10_000;
const WARM_UP = 2;

/** A thread with so many flows, when they have begun. */
async function start(config: Config, flows: number): Promise<Worker> {
  const workerData: FlowsWorkerOptions = { config, flows };
  const worker = new Worker(hotProgram("bench/flows-worker.ts"), { workerData });
  await once(worker, "message");
  return worker;
}

async function ask(worker: Worker): Promise<FlowsReport> {
  worker.postMessage("again");
  const [report] = (await once(worker, "message")) as [FlowsReport];
  return report;
}

/**
 * `few` and `many`: nanoseconds per packet with 10,000 flows and with `flows`; their ratio; and how many of `flows` the table holds, which has
 * room for a million.
 */
export async function benchFlows(
  config: Config,
  flows: number,
  rounds: number,
  onRound: (round: number) => void,
): Promise<Record<string, Measurement>> {
  const workers = [await start(config, FEW_FLOWS), await start(config, flows)] as const;
  const few: number[] = [];
  const many: number[] = [];
  let tracked = 0;
  for (let round = -WARM_UP; round < rounds; round++) {
    const a = await ask(workers[0]);
    const b = await ask(workers[1]);
    tracked = b.tracked;
    if (round < 0) continue;
    few.push(a.nanoseconds);
    many.push(b.nanoseconds);
    onRound(round + 1);
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  const figure = (unit: string, values: number[]): Measurement => ({ median: median(values), unit, rounds: values });
  return {
    few: figure("ns", few),
    many: figure("ns", many),
    ratio: figure(
      "times",
      many.map((ns, i) => ns / few[i]!),
    ),
    tracked: figure("flows", [tracked]),
  };
}
