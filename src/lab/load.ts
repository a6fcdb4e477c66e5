/** Load from a lab's clients: starts client.ts in their namespaces and reads what they report. */
import { createInterface } from "node:readline";
import type { FlowResult, LoadJob } from "./flows.ts";
import { ended, nodeProgram, spawnIn } from "./namespace.ts";
import { addressOf, ECHO_PORT, type Family, HTTP_PORT, VIP } from "./topology.ts";

const FIRST_PORT = 20_000;
const TIMEOUT_MS = 5_000;

/** A job with the lab's addresses filled in: HTTP GET or UDP echo to the VIP of a family. */
export function job(
  client: string,
  protocol: "tcp" | "udp",
  family: Family,
  count: number | null,
  options: Partial<Pick<LoadJob, "concurrency" | "firstPort" | "ports" | "timeoutMs">> = {},
): LoadJob {
  const targetPort = protocol === "tcp" ? HTTP_PORT : ECHO_PORT;
  return {
    protocol,
    family,
    target: VIP[family],
    targetPort,
    source: addressOf(client, family),
    firstPort: FIRST_PORT,
    ports: count ?? 40_000,
    count,
    concurrency: 16,
    timeoutMs: TIMEOUT_MS,
    ...options,
  };
}

export interface Load {
  /** Settles when all jobs are done; rejects when the client process failed. */
  readonly done: Promise<void>;
  /** Nothing new is begun; what is under way is still reported. */
  stop(): void;
}

/** Starts the jobs of one client in one process. `onResult` is called with each result as it comes. */
export function startLoad(lab: string, client: string, jobs: readonly LoadJob[], onResult: (result: FlowResult) => void): Load {
  const command = nodeProgram("lab/client.ts", [JSON.stringify(jobs)]);
  const child = spawnIn(lab, client, command, { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stderr!.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  // Stopping a client that has just ended breaks the pipe; its exit code says what matters.
  child.stdin!.on("error", () => {});
  const lines = createInterface({ input: child.stdout! });
  const drained = new Promise((resolve) => lines.once("close", resolve));
  lines.on("line", (line) => onResult(JSON.parse(line) as FlowResult));
  const done = (async () => {
    const code = await ended(child);
    await drained;
    if (code !== 0) throw new Error(`client ${client} ended with ${code}: ${said.trim().split("\n").at(-1)}`);
  })();
  return { done, stop: () => child.stdin!.end() };
}

/** Runs the jobs of several clients at the same time, to the end. */
export async function runLoad(
  lab: string,
  jobs: Readonly<Record<string, readonly LoadJob[]>>,
  onResult: (result: FlowResult) => void,
  signal?: AbortSignal,
): Promise<void> {
  const loads = Object.entries(jobs).map(([client, list]) => startLoad(lab, client, list, onResult));
  const stop = (): void => loads.forEach((load) => void load.stop());
  signal?.addEventListener("abort", stop);
  try {
    await Promise.all(loads.map((load) => load.done));
  } finally {
    stop();
    signal?.removeEventListener("abort", stop);
  }
}
