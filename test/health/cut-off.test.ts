import assert from "node:assert/strict";
import { test } from "node:test";
import { type Found, nobodyAnswers, othersMeet } from "../../src/health/cut-off.ts";
import type { ProbesRecord } from "../../src/store/records.ts";

const silent = (host: string): Found => ({ host, healthy: false, outcome: "silent" });
const record = (host: string, found: Record<string, boolean>): ProbesRecord => ({
  format: 1,
  host,
  when: 0,
  hosts: Object.fromEntries(Object.entries(found).map(([other, healthy]) => [other, { web: { healthy, reason: "" } }])),
});

test("nobody answers: of several hosts not one, and not for a reason of its own", () => {
  assert.ok(nobodyAnswers([silent("s2"), silent("s3"), { ...silent("s3"), outcome: "unreachable" }]));
  assert.ok(!nobodyAnswers([]));
  assert.ok(!nobodyAnswers([silent("s2")]), "one alone may itself be the one");
  assert.ok(!nobodyAnswers([silent("s2"), silent("s2")]));
  assert.ok(!nobodyAnswers([silent("s2"), { host: "s3", healthy: null, outcome: "answered" }]), "not known yet");
  assert.ok(!nobodyAnswers([silent("s2"), { host: "s3", healthy: true, outcome: "answered" }]));
  assert.ok(!nobodyAnswers([silent("s2"), { ...silent("s3"), outcome: "refused" }]), "who refuses has answered");
});

test("others meet: one finds a third; what is found of us, or by us, says nothing", () => {
  assert.ok(othersMeet("s1", [record("s2", { s1: false, s3: true })]));
  assert.ok(!othersMeet("s1", [record("s2", { s1: true, s3: false })]));
  assert.ok(!othersMeet("s1", [record("s1", { s3: true })]));
  assert.ok(!othersMeet("s1", []));
});
