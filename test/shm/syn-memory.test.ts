import assert from "node:assert/strict";
import { test } from "node:test";
import { rememberSyn, SYNS_BYTES, synSeen, viewSyns } from "../../src/shm/syn-memory.ts";
import { seededRandom } from "../support/random.ts";

const NOW = 1_700_000_040;

test("a SYN is remembered for at least a minute, and for two at most", () => {
  const words = viewSyns(new ArrayBuffer(SYNS_BYTES));
  rememberSyn(words, 0x12345678, -5, NOW);
  assert.ok(synSeen(words, 0x12345678, -5, NOW));
  assert.ok(!synSeen(words, 0x12345678, 5, NOW));
  rememberSyn(words, 1, 1, NOW + 60);
  assert.ok(synSeen(words, 0x12345678, -5, NOW + 60));
  rememberSyn(words, 1, 1, NOW + 120);
  assert.ok(!synSeen(words, 0x12345678, -5, NOW + 120));
  assert.ok(synSeen(words, 1, 1, NOW + 120));
});

test("without SYNs for long nothing old is believed", () => {
  const words = viewSyns(new ArrayBuffer(SYNS_BYTES));
  rememberSyn(words, 0x70000000, 0x11110000, NOW);
  assert.ok(synSeen(words, 0x70000000, 0x11110000, NOW + 60));
  assert.ok(!synSeen(words, 0x70000000, 0x11110000, NOW + 600));
  rememberSyn(words, 0x08880000, 0x22220000, NOW + 600);
  assert.ok(!synSeen(words, 0x70000000, 0x11110000, NOW + 600));
});

test("strangers are rarely taken for known", () => {
  const words = viewSyns(new ArrayBuffer(SYNS_BYTES));
  const random = seededRandom(2);
  for (let i = 0; i < 100_000; i++) rememberSyn(words, random(2 ** 32) | 0, random(2 ** 32) | 0, NOW);
  let wrong = 0;
  for (let i = 0; i < 20_000; i++) if (synSeen(words, random(2 ** 32) | 0, random(2 ** 32) | 0, NOW)) wrong++;
  assert.ok(wrong < 40, `${wrong} of 20,000`);
});
