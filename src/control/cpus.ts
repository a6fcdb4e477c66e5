/** Which CPUs the workers may be kept on. */
import { readFileSync } from "node:fs";
import { Failure } from "./failure.ts";

/** CPU numbers in the kernel's list format, as "0-2,5". */
export function readCpuList(text: string): Set<number> {
  const numbers = text.split(",").flatMap((part) => {
    const [from, to = from] = part.split("-").map(Number);
    return Array.from({ length: to! - from! + 1 }, (_, i) => from! + i);
  });
  return new Set(numbers);
}

/** Throws a Failure when `cpus` has one that this process may not run on. `file` is the config, for the message. */
export function requireCpus(file: string, cpus: readonly number[] | null): void {
  const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (cpus === null || list === undefined) return;
  const allowed = readCpuList(list);
  const missing = cpus.find((cpu) => !allowed.has(cpu));
  if (missing !== undefined)
    throw new Failure(`${file}: io.cpus: there is no CPU ${missing} for us here (choose from ${list})`, 2);
}
