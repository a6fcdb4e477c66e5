/** A real control group with a CPU limit, as those of the lab's hosts: its use is that of the limit, and being throttled shows as pressure. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, rmdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { pollFor } from "../../src/lab/poll.ts";
import { enterGroup, groupFolders, groupsObstacle, limitCpu } from "../../src/lab/uneven/cpu-groups.ts";
import { type Counters, KERNEL_FILES, loadBetween, readCounters } from "../../src/load/cpu-counters.ts";

const GROUP = `hafl-test-${process.pid}`;

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => ((child.exitCode ?? child.signalCode) === null ? child.once("exit", () => resolve()) : resolve()));

const read = (): Counters => readCounters(KERNEL_FILES, GROUP, availableParallelism(), Math.round(performance.now() * 1000))!;

const obstacle = process.getuid?.() === 0 ? groupsObstacle() : "not root";

test("a group that uses all of its tenth of a CPU is full and waits", {
  skip: obstacle ?? false,
}, async () => {
  let busy: ChildProcess | undefined;
  try {
    limitCpu(GROUP, 0.1);
    const idle = read();
    const idleLater = await pollFor(() => (performance.now() * 1000 - idle.at > 300_000 ? read() : null), 60_000);
    assert.deepEqual(loadBetween(idle, idleLater!), { cpu: 0, pressure: 0 });
    busy = spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" });
    enterGroup(GROUP, busy.pid!);
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
    for (const folder of groupFolders(GROUP)) await pollFor(() => removed(folder), 10_000);
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
