/** Which CPUs the workers may be kept on, and how many workers there are. */
import { readFileSync } from "node:fs";
import type { Config } from "./config.ts";
import { Failure } from "./failure.ts";

/** CPU numbers in the kernel's list format, as "0-2,5". */
export function readCpuList(text: string): Set<number> {
  const numbers = text.split(",").flatMap((part) => {
    const [from, to = from] = part.split("-").map(Number);
    return Array.from({ length: to! - from! + 1 }, (_, i) => from! + i);
  });
  return new Set(numbers);
}

/** What this process may run on, in the kernel's list format; undefined where the kernel does not say. */
const allowedList = (): string | undefined => /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];

/** Throws a Failure when `cpus` has one that this process may not run on. `file` is the config, for the message. */
export function requireCpus(file: string, cpus: readonly number[] | null): void {
  const list = allowedList();
  if (cpus === null || list === undefined) return;
  const allowed = readCpuList(list);
  const missing = cpus.find((cpu) => !allowed.has(cpu));
  if (missing !== undefined)
    throw new Failure(`${file}: io.cpus: there is no CPU ${missing} for us here (choose from ${list})`, 2);
}

/** More are of use only where somebody has measured that. */
const WORKERS_MOST = 8;

/**
 * How many workers there are: one for each of `io.cpus`, else one for two CPUs. A packet's way through the kernel takes ten times as long
 * as ours and is gone on the CPUs that are left, as is the server's work: on 2 CPUs a second worker takes from both what it gains.
 */
export function workersOf({ workers, cpus }: Pick<Config["io"], "workers" | "cpus">, allowed = allowedList()): number {
  if (workers !== "auto") return workers;
  const most = cpus !== null ? new Set(cpus).size : allowed === undefined ? 1 : readCpuList(allowed).size >> 1;
  return Math.max(1, Math.min(WORKERS_MOST, most));
}
