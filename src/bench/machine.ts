/** Where and when something was measured. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, hostname, loadavg, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { findTool, hasByHand, streamModule, type ToolName, versionOf } from "./tools.ts";

export interface Machine {
  readonly host: string;
  /** ISO 8601. */
  readonly date: string;
  readonly processor: string;
  readonly processors: number;
  readonly memory: string;
  readonly kernel: string;
  /** How its TCP controls congestion, as the lab's hosts inherit it. */
  readonly congestion: string;
  readonly versions: Readonly<Record<string, string>>;
  /** The commit that was measured, with "and changes" when the tree had any; null outside a git tree. */
  readonly commit: string | null;
  /** Load averages of 1 and 5 minutes before the run. */
  readonly loadBefore: readonly [number, number];
}

function commit(): string | null {
  const cwd = fileURLToPath(new URL("../../../", import.meta.url));
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no").trim() !== "";
    return `${git("rev-parse", "--short", "HEAD").trim()}${changed ? " and changes" : ""}`;
  } catch {
    return null;
  }
}

/** The host's load average of a minute, just now. */
export const loadNow = (): number => loadavg()[0]!;

export function describeMachine(): Machine {
  const [processor] = cpus();
  const tools = (["iperf3", "wrk", "nginx", "haproxy"] as const satisfies readonly ToolName[]).filter(
    (name) => findTool(name) !== null,
  );
  const [one, five] = loadavg();
  const gcc = (): string => execFileSync("gcc", ["-dumpfullversion"], { encoding: "utf8" }).trim();
  return {
    host: hostname(),
    date: new Date().toISOString(),
    processor: processor?.model.trim() || /model name\s*: (.*)/.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] || "unknown",
    processors: cpus().length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: release(),
    congestion: readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim(),
    versions: { node: process.version.slice(1), gcc: gcc(), ...Object.fromEntries(tools.map((name) => [name, versionOf(name)])) },
    commit: commit(),
    loadBefore: [one!, five!],
  };
}

/** Peers that are to be had on this machine. */
export const availablePeers = (): Set<string> =>
  new Set([
    ...(findTool("haproxy") === null ? [] : ["haproxy"]),
    ...(streamModule() === null ? [] : ["nginx"]),
    ...(hasByHand() ? ["by-hand"] : []),
  ]);
