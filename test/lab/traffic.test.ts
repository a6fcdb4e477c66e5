import assert from "node:assert/strict";
import { test } from "node:test";
import { allWell, renderReport } from "../../src/lab/demo.ts";
import type { FlowResult } from "../../src/lab/flows.ts";
import { type AgentCounts, planTraffic, report } from "../../src/lab/traffic.ts";

const SPEC = { name: "t", hosts: 2, clients: 3, io: "tun", workers: 1, weights: [3, 1], dips: "both" } as const;

test("traffic is half IPv6, over all clients, from distinct source ports per protocol", () => {
  for (const clients of [1, 2, 3]) {
    const jobs = Object.values(planTraffic({ ...SPEC, clients }, 2_000)).flat();
    for (const protocol of ["tcp", "udp"] as const) {
      const mine = jobs.filter((job) => job.protocol === protocol);
      const ports = mine.flatMap((job) => Array.from({ length: job.count! }, (_, i) => job.firstPort + (i % job.ports)));
      assert.equal(ports.length, 2_000);
      assert.equal(new Set(ports).size, 2_000);
      const v6 = mine.filter((job) => job.family === 6).reduce((sum, job) => sum + job.count!, 0);
      assert.ok(Math.abs(v6 - 1_000) <= 1, `${v6}`);
    }
  }
});

const result = (sourcePort: number, host: string | null, error: string | null = null): FlowResult => ({
  protocol: sourcePort % 2 === 0 ? "tcp" : "udp",
  source: "203.0.113.11",
  sourcePort,
  target: "192.0.2.10",
  targetPort: 80,
  host,
  error,
  startedAt: 0,
  took: 1,
});

test("a report tells shares, failures, and replies from another host than the one looked up", () => {
  const counts: AgentCounts = { fromRouter: 5, forwarded: 4, unwrapped: 3, delivered: 2 };
  const results = [result(1, "s1"), result(2, "s1"), result(4, "s1"), result(6, "s2"), result(8, null, "no reply")];
  const r = report(results, ["s1", "s2"], [3, 1], [counts, counts], (flow) => ({ host: flow.sourcePort === 4 ? "s2" : "s1" }), 1);
  assert.deepEqual([r.requests, r.answered, r.asLookedUp], [5, 4, 2]);
  assert.deepEqual(r.failures, ["tcp 203.0.113.11:8 > 192.0.2.10:80: no reply"]);
  assert.equal(r.mismatches[0], "tcp 203.0.113.11:4 > 192.0.2.10:80: answered by s1, lookup names s2");
  assert.equal(r.mismatches.length, 2);
  assert.deepEqual([r.hosts[0]!.http, r.hosts[0]!.udp, r.hosts[0]!.ofShare, r.hosts[1]!.ofShare], [2, 1, 1, 1]);
  assert.ok(!allWell(r));
  assert.match(renderReport(r), /answered: 4 of 5 .* failed: 1\n/);
});
