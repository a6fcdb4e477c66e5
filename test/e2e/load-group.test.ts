/** A real control group with a CPU limit, as those of the lab's hosts: its use is that of the limit, and being throttled shows as pressure. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pollFor } from "../../src/lab/poll.ts";
import { type Counters, KERNEL_FILES, loadBetween, readCounters } from "../../src/load/cpu-counters.ts";

const ROOT = KERNEL_FILES.cgroups;
const GROUP = `hafl-test-${process.pid}`;
const isV1 = existsSync(join(ROOT, "cpu", "cpu.shares")) || existsSync(join(ROOT, "cpu", "cpu.cfs_quota_us"));
const isV2 = (path: string): boolean => existsSync(path) && readFileSync(path, "utf8").includes("cpu");
const folders = isV1 ? [join(ROOT, "cpu", GROUP), join(ROOT, "cpuacct", GROUP)] : [join(ROOT, GROUP)];

/** Makes a group that may use a tenth of a CPU. */
function makeGroup(): void {
  for (const folder of folders) if (!existsSync(folder)) mkdirSync(folder);
  if (isV1) {
    writeFileSync(join(folders[0]!, "cpu.cfs_period_us"), "100000");
    writeFileSync(join(folders[0]!, "cpu.cfs_quota_us"), "10000");
  } else writeFileSync(join(folders[0]!, "cpu.max"), "10000 100000");
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => ((child.exitCode ?? child.signalCode) === null ? child.once("exit", () => resolve()) : resolve()));

const read = (): Counters => readCounters(KERNEL_FILES, GROUP, availableParallelism(), Math.round(performance.now() * 1000))!;

const possible = process.getuid?.() === 0 && (isV1 || isV2(join(ROOT, "cgroup.subtree_control")));

test("a group that uses all of its tenth of a CPU is full and waits", {
  skip: possible ? false : "no control groups",
}, async () => {
  let busy: ChildProcess | undefined;
  try {
    makeGroup();
    const idle = read();
    const idleLater = await pollFor(() => (performance.now() * 1000 - idle.at > 300_000 ? read() : null), 60_000);
    assert.deepEqual(loadBetween(idle, idleLater!), { cpu: 0, pressure: 0 });
    const enter = folders.map((folder) => `echo $$ > ${join(folder, "cgroup.procs")};`).join(" ");
    busy = spawn("sh", ["-c", `${enter} while :; do :; done`], { stdio: "ignore" });
    const first = await pollFor(() => (read().used > idle.used + 10_000 ? read() : null), 60_000);
    const load = await pollFor(() => {
      const now = loadBetween(first!, read());
      return now !== null && now.cpu > 0.8 && now.pressure > 0.3 ? now : null;
    }, 60_000);
    assert.ok(load !== null, JSON.stringify(loadBetween(first!, read())));
  } finally {
    if (busy !== undefined) {
      busy.kill("SIGKILL");
      await ended(busy);
    }
    for (const folder of folders) await pollFor(() => removed(folder), 10_000);
  }
});

/** The kernel needs a moment to forget who was in a group. */
function removed(folder: string): true | null {
  try {
    if (existsSync(folder)) rmdirSync(folder);
    return true;
  } catch {
    return null;
  }
}
