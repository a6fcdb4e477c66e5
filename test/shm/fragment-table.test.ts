import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createDecision,
  FRAGMENTS_BYTES,
  findFragment,
  REMEMBERED_MS,
  rememberFragment,
  viewFragments,
} from "../../src/shm/fragment-table.ts";

const decision = (n: number) => ({
  action: 1 + (n & 0xff),
  hosts: Int32Array.of(n, n + 1, 0xffff, n + 3, 0xfffe),
  flow: n * -7,
  firstBytes: n,
});

test("what was decided is found for 5 seconds, also when the clock comes round", () => {
  for (const start of [1000, 0x3fffffff - 100]) {
    const table = viewFragments(new ArrayBuffer(FRAGMENTS_BYTES));
    const out = createDecision();
    rememberFragment(table, 11, -22, start, decision(3));
    assert.ok(findFragment(table, 11, -22, (start + REMEMBERED_MS) & 0x3fffffff, out));
    assert.deepEqual(out, decision(3));
    assert.ok(!findFragment(table, 11, -22, (start + REMEMBERED_MS + 1) & 0x3fffffff, out));
    assert.ok(!findFragment(table, 12, -22, start, out));
    assert.ok(!findFragment(table, 11, -21, start, out));
  }
});

test("a datagram has one entry; in a full set the oldest makes room", () => {
  const table = viewFragments(new ArrayBuffer(FRAGMENTS_BYTES));
  const out = createDecision();
  // The same top bits of the second hash: one set, of 4.
  for (let i = 1; i <= 4; i++) rememberFragment(table, i, i, i, decision(i));
  rememberFragment(table, 1, 1, 10, decision(100));
  rememberFragment(table, 5, 5, 11, decision(5));
  const found = [1, 2, 3, 4, 5].filter((i) => findFragment(table, i, i, 12, out));
  assert.deepEqual(found, [1, 3, 4, 5]);
  findFragment(table, 1, 1, 12, out);
  assert.equal(out.firstBytes, 100);
});

test("an entry of which a word has been changed is nobody's", () => {
  const out = createDecision();
  for (let word = 0; word < 8; word++) {
    const table = viewFragments(new ArrayBuffer(FRAGMENTS_BYTES));
    rememberFragment(table, 7, 8, 1000, decision(9));
    const entry = table.indexOf(7);
    table[entry + word] = table[entry + word]! ^ 4;
    // The time alone is not vouched for: here it lies ahead, which counts as long ago.
    assert.ok(!findFragment(table, 7, 8, 1000, out), `word ${word}`);
  }
});
