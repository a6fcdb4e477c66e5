import assert from "node:assert/strict";
import { test } from "node:test";
import { diagnose } from "../../src/health/diagnose.ts";
import type { HostReport, Outcome, Probed } from "../../src/store/records.ts";

const GOOD: Probed = { healthy: true, reason: "", outcome: "answered" };
const bad = (outcome: Outcome, reason: string = outcome): Probed => ({ healthy: false, reason, outcome });
const report = (problems: Record<string, string> = {}, reason = ""): HostReport =>
  ({ problems, services: { web: { healthy: reason === "", reason } } }) as unknown as HostReport;

const CASES: [what: string, report: HostReport | null, probes: Probed[], text: string][] = [
  ["all is well", report(), [GOOD, GOOD], "healthy"],
  ["nobody knows it", null, [], "unknown: it does not report, and nobody probes it"],
  ["it does not report, and is well", null, [GOOD], "healthy"],
  ["the service is down", report({}, "nothing listens"), [bad("refused")], "service down: nothing listens"],
  ["only its own check says so", report({}, "nothing listens"), [GOOD], "service down: nothing listens"],
  [
    "only the probes say so",
    report(),
    [bad("refused", "nothing listens on its VIP")],
    "service down: nothing listens on its VIP",
  ],
  ["a wrong response", report({}, "HTTP 503"), [bad("wrong", "HTTP 503")], "service wrong: HTTP 503"],
  ["a slow one", report({}, "late"), [bad("slow", "no answer")], "service slow: no answer"],
  ["the VIP is missing", report({ vips: "192.0.2.10 missing" }, "not here"), [bad("silent")], "VIP missing: 192.0.2.10 missing"],
  ["the TUN is down", report({ tun: "is down" }), [bad("silent")], "TUN down: is down"],
  ["rp_filter", report({ rp_filter: "is 1" }), [bad("silent")], "rp_filter: is 1"],
  ["workers", report({ workers: "worker 0 is stuck" }), [bad("silent")], "workers stuck: worker 0 is stuck"],
  ["the way is closed", report(), [bad("silent", "nothing came back")], "GUE port filtered: nothing came back"],
  [
    "the agent is gone",
    null,
    [bad("gue-refused", "nothing listens on UDP port 6080")],
    "agent not running: it does not report, and nothing listens on UDP port 6080",
  ],
  ["the agent is gone, its last report is not", report({}, "old"), [bad("gue-refused", "refused")], "agent not running: refused"],
  ["the host is gone", null, [bad("unreachable", "silence")], "host unreachable: it does not report, and silence"],
  ["a prober of several is cut off", report(), [GOOD, bad("unreachable"), GOOD], "healthy"],
  [
    "most probers find the same",
    report(),
    [bad("unreachable", "a"), bad("silent", "b"), bad("silent", "c"), GOOD],
    "GUE port filtered: b (3 of 4 probers)",
  ],
  ["something else is wrong with it", report({ overload: "CPU 99 %", store: "gone" }), [GOOD], "host unfit: gone"],
  ["it has too much to do, and is fit", report({ overload: "CPU 99 %" }), [GOOD], "overloaded: CPU 99 %"],
  ["a record without an outcome", report(), [{ healthy: false, reason: "failed" }], "host unfit: failed"],
];

for (const [what, said, probes, expected] of CASES) {
  test(what, () => {
    const { cause, text } = diagnose("web", said, probes);
    assert.equal(text || cause, expected);
    assert.ok(expected.startsWith(cause));
  });
}
