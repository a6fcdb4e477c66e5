/** Running things: the shell scripts that make networks, and programs inside a namespace. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { pollFor } from "./poll.ts";
import { isInside, isRunning } from "./state.ts";
import { namespaceOf } from "./topology.ts";

// Compiled, this file lies in dist/src/lab.
const SCRIPTS = new URL("../../../netns-scripts/", import.meta.url);

/** How long `ip netns exec` may take to enter the namespace. */
const ENTER_MS = 5_000;

/** Path of one of the scripts in netns-scripts/. */
export const scriptPath = (name: string): string => fileURLToPath(new URL(name, SCRIPTS));

/** As the first line of cli/main.ts has it: a young generation that suits programs which allocate little, 12 MB less each. */
const NODE_OPTIONS = ["--max-semi-space-size=1"];

/** The command line of one of our own programs, by its path in src/. */
export function nodeProgram(path: string, args: readonly string[]): string[] {
  return [
    process.execPath,
    ...NODE_OPTIONS,
    fileURLToPath(new URL(`../${path}`.replace(/\.ts$/, ".js"), import.meta.url)),
    ...args,
  ];
}

/** Waits for the end of a process. Gives its exit code; 128 and more when a signal ended it. */
export function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 128));
  });
}

/** Runs a script of netns-scripts/. Throws an error with its last line of output when it fails. */
export async function runScript(name: string, args: readonly string[]): Promise<void> {
  // In a group of its own: an interrupt typed at the terminal is for us, and we end the script's work in order.
  const child = spawn("sh", [scriptPath(name), ...args], { stdio: ["ignore", "ignore", "pipe"], detached: true });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const code = await ended(child);
  if (code !== 0) throw new Error(said.trim().split("\n").at(-1) || `${name} ended with ${code}`);
}

/** Starts a program in the namespace of a node. */
export function spawnIn(lab: string, node: string, command: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn("ip", ["netns", "exec", namespaceOf(lab, node), ...command], options);
}

/** Starts a program in the namespace of a node that outlives us, its output appended to a file. Returns its pid. */
export async function spawnDaemon(lab: string, node: string, command: readonly string[], log: string): Promise<number> {
  const out = openSync(log, "a");
  try {
    const child = spawnIn(lab, node, command, { stdio: ["ignore", out, out], detached: true, cwd: "/" });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    child.unref();
    const pid = child.pid!;
    // Until `ip` has moved it there, going down would not find it.
    await pollFor(() => (isInside(lab, node, pid) || !isRunning(pid) ? true : null), ENTER_MS, 2);
    return pid;
  } finally {
    closeSync(out);
  }
}
