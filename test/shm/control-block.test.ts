import assert from "node:assert/strict";
import { test } from "node:test";
import {
  allSeen,
  askToStop,
  bankOf,
  CONTROL_BYTES,
  controlWords,
  currentGeneration,
  markSeen,
  resetWorkers,
  setGeneration,
  stopping,
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
  assert.notEqual(bankOf(7), bankOf(8));
});

test("a new process forgets what earlier workers saw", () => {
  const words = controlWords(new ArrayBuffer(CONTROL_BYTES));
  markSeen(words, 63, 3);
  askToStop(words);
  resetWorkers(words);
  assert.equal(stopping(words), false);
  assert.equal(allSeen(words, 64, 9), true);
});
