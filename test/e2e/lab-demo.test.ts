/** The demo in every mode: all requests answered, by the hosts that lookup names, in the proportion of their weights. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { createLookup } from "../../src/cli/lookup.ts";
import { readAgentCounts } from "../../src/cli/stats.ts";
import { renderReport, runDemo } from "../../src/lab/demo.ts";
import { labDir, namespacesOf } from "../../src/lab/state.ts";
import type { LabSpec } from "../../src/lab/topology.ts";
import { labObstacle, labSpec } from "../support/lab.ts";

const CASES: readonly Partial<LabSpec>[] = [
  { io: "af-packet", workers: 2, weights: [3, 1, 1, 1] },
  { io: "af-packet", workers: 1, weights: [1, 1, 1, 1], dips: "6" },
  { io: "tun", workers: 2, weights: [1, 1, 1, 1] },
  { io: "tun", workers: 1, weights: [3, 1, 1, 1] },
];

CASES.forEach((shape, i) => {
  const title = `${shape.io}, ${shape.workers} worker(s), weights ${shape.weights}, DIPs ${shape.dips ?? "of both families"}`;
  test(title, { skip: labObstacle, timeout: 60_000 }, async (t) => {
    const spec = labSpec({ name: `e2e-demo${i}-${process.pid}`, ...shape });
    const report = await runDemo(spec, { createLookup, readCounts: readAgentCounts }, 2_000, () => {});
    t.diagnostic(renderReport(report));
    assert.deepEqual(report.failures, []);
    assert.deepEqual(report.mismatches, []);
    assert.equal(report.answered, 4_000);
    for (const h of report.hosts) {
      assert.ok(Math.abs(h.ofShare - 1) <= 0.15, `${h.host} served ${h.ofShare.toFixed(3)} of its share`);
      // A request is 4 or more packets from the client for HTTP, 1 for an echo; each is delivered where it was answered.
      assert.ok(h.delivered >= 4 * h.http + h.udp, `${h.host} delivered ${h.delivered}`);
      assert.ok(h.forwarded > 0 && h.unwrapped > 0 && h.fromRouter >= h.forwarded);
    }
    const sum = (name: "forwarded" | "unwrapped" | "fromRouter" | "delivered"): number =>
      report.hosts.reduce((total, h) => total + h[name], 0);
    assert.equal(sum("unwrapped"), sum("forwarded"), "what is wrapped is unwrapped");
    assert.equal(sum("delivered"), sum("fromRouter"), "what comes in is delivered");
    assert.deepEqual(namespacesOf(spec.name), []);
    assert.ok(!existsSync(labDir(spec.name)));
  });
});
