import assert from "node:assert/strict";
import { test } from "node:test";
import { evenness, type UnevenStep } from "../../src/lab/uneven/evenness.ts";

const step = (uses: number[], weights: number[], failed = 0): UnevenStep => ({ uses, weights, answered: 10, failed });

test("a run that becomes even and rests", () => {
  const found = evenness(
    [step([1, 0.5], [1, 1], 2), step([0.8, 0.6], [0.8, 1.2]), step([0.72, 0.68], [0.7, 1.3]), step([0.68, 0.72], [0.7, 1.3])],
    2,
  );
  assert.equal(found.startSpread, 4 / 3);
  assert.ok(Math.abs(found.endSpread - 1) < 1e-9, "noise of single steps is not spread");
  assert.deepEqual(
    found.uses.map((use) => Number(use.toFixed(6))),
    [0.7, 0.7],
  );
  assert.equal(Number(found.meanUse.toFixed(6)), 0.7);
  assert.deepEqual([found.swing, found.moves, found.lateMoves], [1, 2, 1]);
  assert.deepEqual([found.failed, found.lateFailed], [2, 0]);
});

test("a swing shows, a common factor of all weights does not", () => {
  const swinging = evenness([step([1, 1], [1, 1]), step([1, 1], [1, 3]), step([1, 1], [1, 1])], 3);
  assert.equal(swinging.swing, 2);
  assert.equal(swinging.lateMoves, 2);
  assert.equal(evenness([step([1, 1], [1, 3]), step([1, 1], [2, 6])], 2).swing, 1);
});

test("use that stays uneven shows, also with fewer steps than are judged", () => {
  assert.equal(evenness([step([0.9, 0.3], [1, 1], 1)], 8).endSpread, 1.5);
  assert.equal(evenness([step([0.9, 0.3], [1, 1], 1)], 8).lateFailed, 1);
});
