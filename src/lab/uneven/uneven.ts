/** The lab of uneven hosts: equal weights under load, until the conductor has made their use even; judged, and taken down. */
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { type Counters, groupCounters, KERNEL_FILES, loadBetween } from "../../load/cpu-counters.ts";
import { ClusterLab } from "../cluster/cluster-lab.ts";
import { guardLab } from "../guard.ts";
import { labDown, type Progress } from "../lab.ts";
import { ended, nodeProgram, spawnDaemon, spawnIn } from "../namespace.ts";
import { waitReady } from "../node-processes.ts";
import { claimLab, type LabProcess, logFile } from "../state.ts";
import { clientNames, HTTP_PORT, type LabSpec, VIP } from "../topology.ts";
import { expect, type Verdict, Verdicts } from "../verdicts.ts";
import { enterGroup, groupOf, limitCpu } from "./cpu-groups.ts";
import { type Evenness, evenness, type UnevenStep } from "./evenness.ts";
import type { PacedJob, PacedReport } from "./paced-client.ts";
import { CAPACITIES, COST_US, DEMAND, STEP_SECONDS, UNIT, unevenWanted } from "./uneven-config.ts";

export interface UnevenRun {
  readonly hosts: readonly { readonly name: string; readonly capacity: number }[];
  readonly stepSeconds: number;
  readonly steps: readonly UnevenStep[];
  readonly evenness: Evenness;
  readonly verdicts: readonly Verdict[];
}

/** Steps over which the end is judged. */
export const LAST = 8;
/** A request may wait behind what a host got that was too much for it. */
const TIMEOUT_MS = 20_000;
/** The first requests are dearer, and less of a step would be measured. */
const WARM_MS = 2_000;

async function serveLimited(spec: LabSpec, host: string, capacity: number): Promise<readonly LabProcess[]> {
  const group = groupOf(spec.name, host);
  limitCpu(group, capacity * UNIT);
  const args = [host, String(HTTP_PORT), String(COST_US), ...Object.values(VIP)];
  const program = nodeProgram("lab/uneven/burner.ts", args);
  const pid = await spawnDaemon(spec.name, host, program, logFile(spec.name, host, "server"));
  const server: LabProcess = { node: host, role: "server", pid };
  await waitReady(spec.name, server);
  // Not earlier: starting Node takes seconds of so little CPU.
  enterGroup(group, pid);
  return [server];
}

/** Requests of all clients, and what became of them since it was asked last. */
function pacedLoad(spec: LabSpec): { since(): PacedReport; stop(): Promise<void> } {
  const clients = clientNames(spec);
  const perSecond = (CAPACITIES.reduce((a, b) => a + b, 0) * UNIT * 1e6 * DEMAND) / COST_US / clients.length;
  const job: PacedJob = { targets: Object.values(VIP), port: HTTP_PORT, perSecond, timeoutMs: TIMEOUT_MS };
  let [answered, failed] = [0, 0];
  const loads = clients.map((client) => {
    const command = nodeProgram("lab/uneven/paced-client.ts", [JSON.stringify(job)]);
    const child = spawnIn(spec.name, client, command, { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin!.on("error", () => {});
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const report = JSON.parse(line) as PacedReport;
      answered += report.answered;
      failed += report.failed;
    });
    const done = ended(child);
    done.catch(() => {});
    return { child, done };
  });
  return {
    since: () => {
      const report = { answered, failed };
      [answered, failed] = [0, 0];
      return report;
    },
    stop: async () => {
      for (const { child } of loads) child.stdin!.end();
      await Promise.all(loads.map(({ done }) => done));
    },
  };
}

/** Weights of the hosts in the newest generation that the store has. */
async function weightsOf(lab: ClusterLab): Promise<number[]> {
  const record = (await lab.records("generations", lab.keys.generations("web"))).get("web");
  const newest = new Map((record?.generations[0]?.hosts ?? []).map(({ name, weight }) => [name, weight]));
  return lab.hosts.map((host) => newest.get(host) ?? 0);
}

/** What the kernel counts of a host. Throws when its group is gone. */
function countersOf(lab: ClusterLab, host: string): Counters {
  const at = Math.round(performance.now() * 1000);
  const counters = groupCounters(KERNEL_FILES, groupOf(lab.spec.name, host), 1, at);
  if (counters === null) throw new Error(`the control group of ${host} is gone`);
  return counters;
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`.padStart(5);

function stepLine(lab: ClusterLab, number: number, { uses, weights, answered, failed }: UnevenStep): string {
  const all = weights.reduce((a, b) => a + b, 0);
  const hosts = lab.hosts.map((host, i) => `${host}${percent(uses[i]!)} of${percent(weights[i]! / all)}`);
  return `${String(number).padStart(3)}  ${hosts.join("   ")}   ${answered} answered${failed > 0 ? `, ${failed} failed` : ""}`;
}

/** Measures so many steps. It does not look at what agents report, but at what the kernel counts. */
async function measure(lab: ClusterLab, count: number, progress: Progress, signal?: AbortSignal): Promise<UnevenStep[]> {
  const load = pacedLoad(lab.spec);
  const steps: UnevenStep[] = [];
  try {
    await sleep(WARM_MS, undefined, { signal });
    load.since();
    let before = lab.hosts.map((host) => countersOf(lab, host));
    while (steps.length < count) {
      await sleep(STEP_SECONDS * 1000, undefined, { signal });
      const now = lab.hosts.map((host) => countersOf(lab, host));
      const uses = now.map((counters, i) => loadBetween(before[i]!, counters)!.cpu);
      before = now;
      steps.push({ uses, weights: await weightsOf(lab), ...load.since() });
      progress(stepLine(lab, steps.length, steps.at(-1)!));
    }
    return steps;
  } finally {
    await load.stop();
  }
}

/** The largest use over the mean that is even enough; and how uneven it must have been to say anything. */
const EVEN = 1.15;
const UNEVEN = 1.3;
/** What measurements that differ from one step to the next may move a weight at the end. */
const REST = 1.2;

async function judge(found: Evenness, verdicts: Verdicts): Promise<void> {
  const { startSpread, endSpread, uses, meanUse, swing, moves, lateMoves, failed, lateFailed } = found;
  const spread = (x: number): string => `largest over mean ${x.toFixed(2)}`;
  await verdicts.step("use is uneven while weights are equal", () => {
    expect(startSpread >= UNEVEN, `${spread(startSpread)}: less than ${UNEVEN}`);
    return spread(startSpread);
  });
  await verdicts.step("hosts have something to do at the end", () => {
    expect(meanUse >= 0.35 && meanUse <= 0.8, `mean use ${percent(meanUse).trim()}`);
    return `mean use ${percent(meanUse).trim()}`;
  });
  await verdicts.step("use is even at the end", () => {
    const text = `${spread(endSpread)} (${uses.map((use) => percent(use).trim()).join(", ")})`;
    expect(endSpread <= EVEN, `${text}: more than ${EVEN}`);
    return text;
  });
  await verdicts.step("weights have come to rest", () => {
    const text = `${moves} changes, ${lateMoves} of them in the last ${LAST} steps, by ${percent(swing - 1).trim()} at most`;
    expect(swing <= REST, text);
    return text;
  });
  await verdicts.step("no request fails", () => {
    expect(failed === 0, `${failed} failed, ${lateFailed} of them in the last ${LAST} steps`);
    return "all were answered";
  });
}

/**
 * Raises a lab of its own, lets it run for so many steps of the controller, takes it down. Throws when the lab cannot be raised; use that
 * does not become even is a verdict.
 */
export async function runUneven(spec: LabSpec, count: number, progress: Progress, signal?: AbortSignal): Promise<UnevenRun> {
  claimLab(spec.name);
  const guard = guardLab(spec.name);
  try {
    const capacityOf = (host: string): number => CAPACITIES[Number(host.slice(1)) - 1]!;
    const wants = {
      wanted: unevenWanted(spec),
      serve: (host: string) => serveLimited(spec, host, capacityOf(host)),
    };
    const lab = await ClusterLab.raise(spec, progress, signal, wants);
    await lab.until("a conductor that has heard of the load of every host", async () => {
      const reports = await lab.records("hostReport", lab.keys.allHosts);
      return (await lab.conductor()) !== null && lab.hosts.every((host) => (reports.get(host)?.load ?? null) !== null);
    });
    progress("load; of each host: use of its CPU time, share of the weights");
    const steps = await measure(lab, count, progress, signal);
    const verdicts = new Verdicts(progress);
    const found = evenness(steps, LAST);
    await judge(found, verdicts);
    const hosts = lab.hosts.map((name) => ({ name, capacity: capacityOf(name) }));
    return { hosts, stepSeconds: STEP_SECONDS, steps, evenness: found, verdicts: verdicts.list };
  } finally {
    progress("taking the lab down");
    await labDown(spec.name);
    await guard.release();
  }
}
