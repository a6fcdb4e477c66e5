/** The benchmarks that need no network, each in a process of its own, as part of a run in the lab. */
import { spawn } from "node:child_process";
import { ended, nodeProgram } from "../lab/namespace.ts";
import type { Measurement } from "./measure.ts";

/** What `hafl bench` calls them. */
export const ALONE = ["hot-path", "table", "flows", "offload"] as const;
export type AloneName = (typeof ALONE)[number];
export type Alone = Readonly<Partial<Record<AloneName, Readonly<Record<string, Measurement>>>>>;

/** What makes them small. */
const SMOKE: Readonly<Record<AloneName, readonly string[]>> = {
  "hot-path": [],
  table: ["--hosts", "50"],
  flows: ["--flows", "20000"],
  offload: [],
};

/** Runs one of them, with as many rounds as it takes by itself. Throws with its last line when it fails. */
export async function runAlone(
  name: AloneName,
  smoke: boolean,
  signal: AbortSignal,
): Promise<Readonly<Record<string, Measurement>>> {
  const short = smoke ? ["--rounds", "1", ...SMOKE[name]] : [];
  const [command, ...args] = nodeProgram("cli/main.ts", ["bench", name, "--json", ...short]);
  const child = spawn(command!, args, { stdio: ["ignore", "pipe", "pipe"], signal });
  let out = "";
  let error = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    error += chunk.toString();
  });
  if ((await ended(child)) !== 0) throw new Error(`hafl bench ${name}: ${error.trim().split("\n").at(-1)}`);
  return JSON.parse(out) as Record<string, Measurement>;
}
