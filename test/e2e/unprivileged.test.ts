/**
 * Agents as an ordinary user with two capabilities and no others, as the systemd unit runs them. All end-to-end tests can be run so:
 * HAFL_UNPRIVILEGED=1 node dist/test/support/run.js e2e/
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { createLookup } from "../../src/cli/lookup.ts";
import { readAgentCounts } from "../../src/cli/stats.ts";
import { runDemo } from "../../src/lab/demo.ts";
import { AGENT_UID, unprivilegedObstacle } from "../../src/lab/unprivileged.ts";
import { labObstacle, labSpec, withLab } from "../support/lab.ts";
import { runInNamespace } from "../support/netns.ts";

const skip = labObstacle || (unprivilegedObstacle() ?? false);
/** CAP_NET_ADMIN and CAP_NET_RAW. */
const TWO = (1n << 12n) | (1n << 13n);

/** A line of /proc/PID/status. */
const field = (status: string, name: string): string => new RegExp(`^${name}:(.*)$`, "m").exec(status)![1]!.trim();

test("an agent has two capabilities, and no way to more", { skip, timeout: 60_000 }, async () => {
  const spec = labSpec({ name: `e2e-two-${process.pid}`, hosts: 1, clients: 1, unprivileged: true });
  await withLab(spec, async ({ processes }) => {
    const { pid } = processes.find(({ role }) => role === "agent")!;
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const ids = new Array(4).fill(AGENT_UID).join("\t");
    assert.deepEqual([field(status, "Uid"), field(status, "Gid"), field(status, "Groups")], [ids, ids, ""]);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      assert.equal(BigInt(`0x${field(status, set)}`), TWO, set);
    assert.equal(field(status, "NoNewPrivs"), "1");
  });
});

for (const io of ["af-packet", "tun"] as const) {
  test(`${io}: the demo`, { skip, timeout: 60_000 }, async () => {
    const spec = labSpec({ name: `e2e-user${io === "tun" ? "t" : "p"}-${process.pid}`, io, unprivileged: true });
    const report = await runDemo(spec, { createLookup, readCounts: readAgentCounts }, 500, () => {});
    assert.deepEqual([report.answered, report.failures, report.mismatches], [1_000, [], []]);
  });
}

test("its ends and errors, in a namespace", { skip }, () => {
  runInNamespace(new URL("./agent-errors.netns.js", import.meta.url), { HAFL_UNPRIVILEGED: "1" });
});
