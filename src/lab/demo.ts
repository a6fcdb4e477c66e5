/** The demo: a lab of its own, real requests through it, a table of who did what; and nothing left behind. */
import { loadConfig } from "../control/config.ts";
import { guardLab } from "./guard.ts";
import { labDown, type Progress, raiseLab } from "./lab.ts";
import { claimLab, configFile, runtimeDir } from "./state.ts";
import { textTable } from "./text-table.ts";
import type { LabSpec } from "./topology.ts";
import { type Oracle, runTraffic, type TrafficReport } from "./traffic.ts";

/** HTTP requests, and as many echoes. */
export const DEMO_REQUESTS = 2_000;

/** Lines of failures and of mismatches that are shown; more say nothing new. */
const SHOWN = 10;

/** Whether every request was answered, by the host that lookup names. */
export const allWell = (r: TrafficReport): boolean => r.failures.length === 0 && r.mismatches.length === 0;

/** The report for people. */
export function renderReport(r: TrafficReport): string {
  const header = ["host", "weight", "HTTP", "UDP", "of its share", "from router", "forwarded", "unwrapped", "delivered"];
  const rows = r.hosts.map((h) => [
    h.host,
    h.weight,
    h.http,
    h.udp,
    `${(100 * h.ofShare).toFixed(0).padStart(4)} %`,
    h.fromRouter,
    h.forwarded,
    h.unwrapped,
    h.delivered,
  ]);
  const some = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0
      ? []
      : [`${title}:`, ...lines.slice(0, SHOWN), ...(lines.length > SHOWN ? [`... ${lines.length} in all`] : [])];
  return [
    textTable(header, rows),
    `answered: ${r.answered} of ${r.requests} in ${r.seconds.toFixed(1)} s, failed: ${r.failures.length}`,
    `replies from the host that \`hafl lookup\` names: ${r.asLookedUp} of ${r.answered}`,
    ...some("failed", r.failures),
    ...some("answered by another host", r.mismatches),
    "",
  ].join("\n");
}

/**
 * Raises the lab, sends `requests` HTTP requests and as many echoes, takes the lab down. Throws when the lab cannot be
 * raised; a report of failures is a result.
 */
export async function runDemo(
  spec: LabSpec,
  oracle: Oracle,
  requests: number,
  progress: Progress,
  signal?: AbortSignal,
): Promise<TrafficReport> {
  claimLab(spec.name);
  const guard = guardLab(spec.name);
  try {
    await raiseLab(spec, progress, signal);
    const loaded = loadConfig(configFile(spec.name));
    if ("errors" in loaded) throw new Error(loaded.errors[0]);
    progress(`${requests} HTTP requests and ${requests} UDP echoes, half of each over IPv6`);
    const every = Math.max(1, requests / 2);
    const onProgress = (done: number, of: number): void => {
      if (done % every === 0) progress(`  ${done} of ${of}`);
    };
    return await runTraffic(spec, loaded.config, oracle, (host) => runtimeDir(spec.name, host), requests, onProgress, signal);
  } finally {
    progress("taking the lab down");
    await labDown(spec.name);
    await guard.release();
  }
}
