/** Load on a lab that goes on while things are done to it: short requests, and downloads that take their time. */

import { formatFlow } from "../steering/flow.ts";
import type { FlowResult } from "./flows.ts";
import { flowOf } from "./flows.ts";
import { job, startLoad } from "./load.ts";
import { ended, spawnIn } from "./namespace.ts";
import { clientNames, FAMILIES, HTTP_PORT, type LabSpec, VIP } from "./topology.ts";

/** A request whose reply is late is as bad as none: but TCP may have to send again what a route that changed has lost. */
const PATIENCE_MS = 10_000;

export interface SteadyLoad {
  /** All that have come to an end until now. */
  readonly results: readonly FlowResult[];
  /** Nothing new is begun; resolves when all is done. */
  stop(): Promise<void>;
}

/** GET / again and again from every client over both families, `concurrency` at a time each. */
export function steadyLoad({ name, clients }: Pick<LabSpec, "name" | "clients">, concurrency: number): SteadyLoad {
  const results: FlowResult[] = [];
  const loads = clientNames({ clients }).map((client) => {
    const jobs = FAMILIES.map((family) => job(client, "tcp", family, null, { concurrency, timeoutMs: PATIENCE_MS }));
    return startLoad(name, client, jobs, (result) => results.push(result));
  });
  return {
    results,
    stop: async () => {
      for (const load of loads) load.stop();
      await Promise.all(loads.map((load) => load.done));
    },
  };
}

/** The requests that failed, one line each. */
export const failures = (results: readonly FlowResult[]): string[] =>
  results.filter(({ host }) => host === null).map((r) => `${formatFlow(flowOf(r))}: ${r.error} after ${r.took.toFixed(0)} ms`);

/** Downloads by curl from a client, of `bytes` each at so many bytes a second; gives what went wrong with each, "" for nothing. */
export async function slowDownloads(
  lab: string,
  client: string,
  count: number,
  bytes: number,
  perSecond: number,
): Promise<string[]> {
  const one = async (i: number): Promise<string> => {
    const host = i % 2 === 0 ? VIP[4] : `[${VIP[6]}]`;
    const url = `http://${host}:${HTTP_PORT}/bytes/${bytes}`;
    const limits = ["--limit-rate", String(perSecond), "--max-time", String(Math.ceil((3 * bytes) / perSecond))];
    const child = spawnIn(lab, client, ["curl", "-sS", "-o", "/dev/null", "-w", "%{size_download}", ...limits, url], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [said, wrong] = ["", ""];
    child.stdout!.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.stderr!.on("data", (chunk: Buffer) => {
      wrong += chunk.toString();
    });
    const code = await ended(child);
    return code === 0 && said === String(bytes) ? "" : wrong.trim() || `curl ended with ${code} after ${said} of ${bytes} bytes`;
  };
  return await Promise.all(Array.from({ length: count }, (_, i) => one(i)));
}
