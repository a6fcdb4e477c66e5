import assert from "node:assert/strict";
import { test } from "node:test";
import {
  allSeen,
  bankOf,
  CONTROL_BYTES,
  controlWords,
  currentGeneration,
  letRun,
  markIdle,
  markSeen,
  mayRun,
  NOBODY,
  newToken,
  passRun,
  resetWorkers,
  setGeneration,
} from "../../src/shm/control-block.ts";

test("a bank is free when every worker has moved on", () => {
  const words = controlWords(new ArrayBuffer(CONTROL_BYTES));
  setGeneration(words, 7);
  assert.equal(currentGeneration(words), 7);
  assert.equal(allSeen(words, 2, 7), true, "no worker has started");
  markSeen(words, 0, 7);
  markSeen(words, 1, 6);
  assert.equal(allSeen(words, 2, 7), false, "one still reads the other bank");
  markSeen(words, 1, 7);
  assert.equal(allSeen(words, 2, 7), true);
  markSeen(words, 1, 6);
  markIdle(words, 1);
  assert.equal(allSeen(words, 2, 7), true, "one has stopped and reads none");
  assert.notEqual(bankOf(7), bankOf(8));
});

test("workers of one process run at a time", () => {
  const words = controlWords(new ArrayBuffer(CONTROL_BYTES));
  assert.ok(!mayRun(words, 5) && !mayRun(words, 6));
  letRun(words, 5);
  assert.ok(mayRun(words, 5) && !mayRun(words, 6));
  assert.equal(passRun(words, NOBODY, 6), false, "the other has not stopped");
  assert.ok(mayRun(words, 5));
  assert.equal(passRun(words, 5, NOBODY), true);
  assert.ok(!mayRun(words, 5));
  assert.equal(passRun(words, NOBODY, 6), true);
  assert.equal(passRun(words, 5, NOBODY), false, "who has handed over stops nobody");
  assert.ok(mayRun(words, 6));
  letRun(words, 5);
  assert.ok(mayRun(words, 5) && !mayRun(words, 6), "taken back");
});

test("tokens are never nobody's, and hardly ever the same", () => {
  const tokens = Array.from({ length: 1000 }, newToken);
  assert.ok(tokens.every((token) => token !== NOBODY && token === (token | 0)));
  assert.ok(new Set(tokens).size > 990);
});

test("a new process forgets what earlier workers saw", () => {
  const words = controlWords(new ArrayBuffer(CONTROL_BYTES));
  markSeen(words, 63, 3);
  letRun(words, 4711);
  resetWorkers(words);
  assert.equal(mayRun(words, 4711), false);
  assert.equal(allSeen(words, 64, 9), true);
});
