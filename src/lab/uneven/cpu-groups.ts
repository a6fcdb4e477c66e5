/**
 * Control groups that limit the CPU of a lab's hosts, one for each, hafl-lab-LAB.HOST, at the root of the hierarchy that has the CPU
 * controller. netns-scripts/lib.sh removes them by these names when the lab goes down.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KERNEL_FILES } from "../../load/cpu-counters.ts";

const ROOT = KERNEL_FILES.cgroups;
/** Longer than the kernel's own 100 ms: a host with a small share is not throttled by a few requests that come together. */
const PERIOD_US = 500_000;

/** The group of a host; of each, with `{host}`, as a config names it. */
export const groupOf = (lab: string, host: string): string => `hafl-lab-${lab}.${host}`;

const isFirst = (): boolean => existsSync(join(ROOT, "cpu", "cpu.cfs_quota_us")) || existsSync(join(ROOT, "cpu", "cpu.shares"));

/** Directories of a group: version 1 counts and limits in two. */
export const groupFolders = (group: string): string[] =>
  isFirst() ? [join(ROOT, "cpu", group), join(ROOT, "cpuacct", group)] : [join(ROOT, group)];

/** Why this machine cannot limit CPUs by group; null: it can. */
export function groupsObstacle(): string | null {
  const controllers = join(ROOT, "cgroup.subtree_control");
  if (isFirst() || (existsSync(controllers) && readFileSync(controllers, "utf8").split(/\s/).includes("cpu"))) return null;
  return `no control groups with a CPU controller in ${ROOT} (version 2: echo +cpu > ${controllers})`;
}

/** Makes a group that may use a share of one CPU. Throws when it cannot be made. */
export function limitCpu(group: string, share: number): void {
  const folders = groupFolders(group);
  for (const folder of folders) if (!existsSync(folder)) mkdirSync(folder);
  const quota = Math.round(PERIOD_US * share);
  if (!isFirst()) {
    writeFileSync(join(folders[0]!, "cpu.max"), `${quota} ${PERIOD_US}`);
    return;
  }
  writeFileSync(join(folders[0]!, "cpu.cfs_period_us"), String(PERIOD_US));
  writeFileSync(join(folders[0]!, "cpu.cfs_quota_us"), String(quota));
}

/** Puts a process, with all of its threads, into a group. */
export function enterGroup(group: string, pid: number): void {
  for (const folder of groupFolders(group)) writeFileSync(join(folder, "cgroup.procs"), String(pid));
}
