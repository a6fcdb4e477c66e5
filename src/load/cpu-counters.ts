/**
 * What the kernel counts of the work of a host, or of a control group: time of CPUs used, time in which work waited. All only grow;
 * what happened in between is the difference of two readings.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One reading. */
export interface Counters {
  /** When, microseconds of a clock that never goes back. */
  readonly at: number;
  /** CPU time used, and CPU time there was, both in one unit. */
  readonly used: number;
  readonly there: number;
  /** Time in which work waited for a CPU, and in which all work waited for memory, microseconds; 0 where the kernel does not count it. */
  readonly waited: number;
  readonly thrashed: number;
}

/** Where the kernel's files are; others in tests. */
export interface KernelFiles {
  readonly proc: string;
  readonly cgroups: string;
}

export const KERNEL_FILES: KernelFiles = { proc: "/proc", cgroups: "/sys/fs/cgroup" };

export interface Load {
  /** Share of the CPU time there was that was used. */
  readonly cpu: number;
  /** Share of time in which work waited for a CPU, or all of it for memory, whichever is more. */
  readonly pressure: number;
}

function text(...path: readonly string[]): string | null {
  try {
    return readFileSync(join(...path), "utf8");
  } catch {
    return null;
  }
}

/** Total of a line `some avg10=... total=N` of pressure stall information, microseconds; 0 where there is none. */
export function stalled(psi: string | null, line: "some" | "full"): number {
  return Number(new RegExp(`^${line} .*total=(\\d+)`, "m").exec(psi ?? "")?.[1] ?? 0);
}

/** Jiffies of all CPUs by /proc/stat. Time that the hypervisor took away is used: nobody else can have it. */
export function hostTime(stat: string): { used: number; there: number } | null {
  // user nice system idle iowait irq softirq steal; guests' time is in user and nice already.
  const fields = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.trim().split(" ").slice(0, 8).map(Number);
  if (fields === undefined || fields.length < 8) return null;
  const there = fields.reduce((a, b) => a + b, 0);
  return { there, used: there - fields[3]! - fields[4]! };
}

const field = (lines: string, name: string): number => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(lines)?.[1] ?? 0);

/** A reading of the whole host; null when /proc cannot be read. */
export function hostCounters({ proc }: KernelFiles, at: number): Counters | null {
  const time = hostTime(text(proc, "stat") ?? "");
  if (time === null) return null;
  const waited = stalled(text(proc, "pressure", "cpu"), "some");
  return { at, ...time, waited, thrashed: stalled(text(proc, "pressure", "memory"), "full") };
}

/**
 * A reading of a control group, by its path below the root of its hierarchy, held against its CPU limit, or all `cpus` where it has none.
 * Version 2, or 1, which has no pressure: there the time counts in which the group was throttled. null when there is no such group.
 */
export function groupCounters({ cgroups }: KernelFiles, group: string, cpus: number, at: number): Counters | null {
  const first = (file: string): string | null => text(cgroups, "cpu", group, file) ?? text(cgroups, "cpu,cpuacct", group, file);
  const nanoseconds = text(cgroups, "cpuacct", group, "cpuacct.usage") ?? first("cpuacct.usage");
  const stat1 = first("cpu.stat");
  if (nanoseconds !== null && stat1 !== null) {
    const [quota, period] = [Number(first("cpu.cfs_quota_us") ?? -1), Number(first("cpu.cfs_period_us") ?? 100_000)];
    const waited = field(stat1, "throttled_time") / 1000;
    return { at, used: Number(nanoseconds) / 1000, there: at * (quota > 0 ? quota / period : cpus), waited, thrashed: 0 };
  }
  const root = [cgroups, join(cgroups, "unified")].find((path) => existsSync(join(path, group, "cpu.stat")));
  if (root === undefined) return null;
  const used = field(text(root, group, "cpu.stat") ?? "", "usage_usec");
  const [quota, period] = (text(root, group, "cpu.max") ?? "max").trim().split(" ");
  const limit = quota === "max" ? cpus : Number(quota) / Number(period);
  const waited = stalled(text(root, group, "cpu.pressure"), "some");
  return { at, used, there: at * limit, waited, thrashed: stalled(text(root, group, "memory.pressure"), "full") };
}

/**
 * Whether what this process takes for the machine is a container with a CPU limit: the root of the hierarchy that it sees has one, which
 * no machine's own root has. Then the limit is what the "host" has, and /proc/stat tells of somebody else's machine.
 */
export function isLimited({ cgroups }: KernelFiles): boolean {
  const max = text(cgroups, "cpu.max");
  if (max !== null) return !max.startsWith("max");
  return Number(text(cgroups, "cpu", "cpu.cfs_quota_us") ?? -1) > 0;
}

/** A reading of what counts as this host: the group if one is named, the container, or the machine. */
export function readCounters(files: KernelFiles, group: string | null, cpus: number, at: number): Counters | null {
  if (group !== null) return groupCounters(files, group, cpus, at);
  return isLimited(files) ? groupCounters(files, "", cpus, at) : hostCounters(files, at);
}

/** The load between two readings; null when they say nothing: too near, or of other things. */
export function loadBetween(from: Counters, to: Counters): Load | null {
  const [time, there, used] = [to.at - from.at, to.there - from.there, to.used - from.used];
  if (time <= 0 || there <= 0 || used < 0) return null;
  const share = (part: number): number => Math.min(1, Math.max(0, part));
  const pressure = Math.max(to.waited - from.waited, to.thrashed - from.thrashed) / time;
  return { cpu: share(used / there), pressure: share(pressure) };
}
