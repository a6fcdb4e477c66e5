/** From `hafl apply` to tables swapped on all hosts: real etcd, conductor and agents, in a lab of its own. */
import { createInterface } from "node:readline";
import { wantedConfig } from "../lab/cluster/cluster-config.ts";
import { ClusterLab } from "../lab/cluster/cluster-lab.ts";
import { guardLab } from "../lab/guard.ts";
import { labDown, type Progress } from "../lab/lab.ts";
import { ended, nodeProgram, spawnIn } from "../lab/namespace.ts";
import { claimLab, configFile, labDir, runtimeDir } from "../lab/state.ts";
import type { LabSpec } from "../lab/topology.ts";
import type { Applied, ApplyOrder } from "./apply-worker.ts";
import { type Latencies, latencies } from "./latencies.ts";

export interface ApplyOptions {
  readonly changes: number;
  readonly hosts: number;
  readonly members: number;
}

const specOf = ({ hosts, members }: ApplyOptions): LabSpec => ({
  name: `apply${process.pid}`,
  hosts,
  clients: 1,
  io: "af-packet",
  workers: 1,
  weights: new Array<number>(hosts).fill(1),
  dips: "both",
  members,
});

/** `written`: `hafl apply` has done its work; `first` and `all`: one host, and all, have other tables. All from its beginning on, without the start of its process. */
export async function benchApply(
  options: ApplyOptions,
  progress: Progress,
  onRound: (round: number) => void,
  signal?: AbortSignal,
): Promise<Record<"written" | "first" | "all", Latencies>> {
  const spec = specOf(options);
  claimLab(spec.name);
  const guard = guardLab(spec.name);
  try {
    const lab = await ClusterLab.raise(spec, progress, signal);
    const order: ApplyOrder = {
      config: configFile(spec.name),
      wanted: wantedConfig(spec),
      dirs: lab.hosts.map((host) => runtimeDir(spec.name, host)),
      dir: labDir(spec.name),
      pool: "web",
      changes: options.changes,
    };
    const rounds = await run(spec.name, order, onRound, signal);
    return {
      written: latencies(rounds.map(({ written }) => written)),
      first: latencies(rounds.map(({ swapped }) => Math.min(...swapped))),
      all: latencies(rounds.map(({ swapped }) => Math.max(...swapped))),
    };
  } finally {
    await labDown(spec.name);
    await guard.release();
  }
}

async function run(lab: string, order: ApplyOrder, onRound: (round: number) => void, signal?: AbortSignal): Promise<Applied[]> {
  const child = spawnIn(lab, "e1", nodeProgram("bench/apply-worker.ts", []), { stdio: ["pipe", "pipe", "pipe"], signal });
  const over = ended(child);
  let error = "";
  child.stderr!.on("data", (chunk: Buffer) => {
    error += chunk.toString();
  });
  child.stdin!.end(JSON.stringify(order));
  const rounds: Applied[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    rounds.push(JSON.parse(line) as Applied);
    onRound(rounds.length);
  }
  const code = await over;
  if (code !== 0)
    throw new Error(
      `hafl bench apply: ${
        error
          .trim()
          .split("\n")
          .find((line) => /Error: /.test(line)) ?? `ended with ${code}`
      }`,
    );
  return rounds;
}
