import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assignSlots,
  decodeRules,
  encodeRules,
  MAX_RULE_SLOTS,
  readRuleCounts,
  ruleBlock,
  ruleCountersBytes,
} from "../../src/shm/rules.ts";

const RULE = { name: "a", slot: 3, program: Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0), sample: 10, limit: null, inKernel: true };

test("rules come out as they went in", () => {
  const limited = { ...RULE, name: "b", limit: { pps: 1, bps: null, prefix4: 24, prefix6: 48 } };
  const file = { rules: [RULE, limited], slots: ["x", "y", "z", "a", "b"] };
  assert.deepEqual(decodeRules(encodeRules(file)), file);
  assert.throws(() => decodeRules("{"));
});

test("a name keeps its slot, whoever comes and goes", () => {
  const first = assignSlots(["a", "b"], [])!;
  const second = assignSlots(["c", "b"], first)!;
  assert.deepEqual(second, ["a", "b", "c"]);
  assert.deepEqual(assignSlots(["a"], second), second);
  assert.equal(
    assignSlots(
      ["new"],
      Array.from({ length: MAX_RULE_SLOTS }, (_, i) => `${i}`),
    ),
    null,
  );
});

test("counts of all workers and of the kernel are summed", () => {
  const buffer = new ArrayBuffer(ruleCountersBytes(2));
  ruleBlock(buffer, 0).set([1, 100, 5, 500], 3 * 4);
  ruleBlock(buffer, 1).set([2, 200, 6, 600], 3 * 4);
  ruleBlock(buffer, 2).set([1000, 64_000], 3 * 4);
  assert.deepEqual(readRuleCounts(buffer, [RULE]), {
    a: { packets: 1003, inKernel: 1000, bytes: 300, inKernelBytes: 64_000, passedPackets: 11, passedBytes: 1100 },
  });
});
