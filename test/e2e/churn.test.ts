/** A short churn, with the directors' flow tables and without: nothing breaks of hosts that stay, nor of those that drain in time. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { type ChurnOptions, runChurn } from "../../src/lab/churn.ts";
import { renderChurn } from "../../src/lab/churn-report.ts";
import { labDir, namespacesOf } from "../../src/lab/state.ts";
import { labObstacle, labSpec } from "../support/lab.ts";

const OPTIONS = { seconds: 15, connections: 40, everySeconds: 1.5, drainSeconds: 4 };

for (const flowTable of [true, false]) {
  test(`hosts come and go, flow tables ${flowTable ? "on" : "off"}`, { skip: labObstacle, timeout: 90_000 }, async (t) => {
    const spec = labSpec({ name: `e2e-churn${Number(flowTable)}-${process.pid}`, workers: 1 });
    const options: ChurnOptions = { ...OPTIONS, flowTable };
    const report = await runChurn(spec, options, () => {});
    t.diagnostic(renderChurn(report));
    assert.deepEqual([report.broken.staying, report.broken.early], [0, 0], report.faults.join("\n"));
    assert.ok(report.opened >= 2 * OPTIONS.connections && report.answered > 1_000, "too little load to tell");
    assert.ok(report.changes.length >= 4 && report.changes.some(({ moved }) => moved > 0));
    assert.ok(report.drains.length > 0 && report.drains.every(({ sessions, lived }) => sessions > 0 && lived === sessions));
    assert.ok((report.verdicts.next_hop ?? 0) > 0, "no packet took a further hop");
    assert.deepEqual(namespacesOf(spec.name), []);
    assert.ok(!existsSync(labDir(spec.name)));
  });
}
