import assert from "node:assert/strict";
import { test } from "node:test";
import { diffOutputs } from "../../src/replay/diff.ts";

const leaving = (verdict: string, ...bytes: number[]) => ({ verdict, bytes: Uint8Array.from(bytes) });
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test("equal outputs have no difference", () => {
  assert.deepEqual(diffOutputs([leaving("forwarded", 1, 2)], [bytes(1, 2)]), []);
  assert.deepEqual(diffOutputs([], []), []);
});

test("the first difference of each verdict is named, the others counted", () => {
  const now = [leaving("forwarded", 1, 2, 3), leaving("forwarded", 1, 9, 3), leaving("delivered", 5), leaving("forwarded", 0)];
  const before = [bytes(1, 2, 3), bytes(1, 2, 3), bytes(5, 6), bytes(1)];
  assert.deepEqual(diffOutputs(now, before), [
    { verdict: "forwarded", packet: 2, count: 2, what: "from byte 1 on 0203 before, 0903 now" },
    { verdict: "delivered", packet: 3, count: 1, what: "2 bytes before, 1 now; equal as far as both go" },
  ]);
});

test("packets that only one of them has are differences", () => {
  assert.deepEqual(
    diffOutputs([leaving("delivered", 1, 2)], []).map((d) => d.what),
    ["2 bytes that did not leave before"],
  );
  assert.deepEqual(diffOutputs([], [bytes(1), bytes(2)]), [
    { verdict: "missing", packet: 1, count: 2, what: "1 bytes that left before do not leave now" },
  ]);
});
