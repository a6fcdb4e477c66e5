/** Smoke run of `hafl bench apply`: real etcd, conductors and agents; the figures mean nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { benchApply } from "../../src/bench/apply.ts";
import { namespacesOf } from "../../src/lab/state.ts";
import { labObstacle } from "../support/lab.ts";

test("changes are applied, and arrive in the tables of every host", { skip: labObstacle }, async () => {
  const { written, first, all } = await benchApply(
    { changes: 3, hosts: 2, members: 1 },
    () => {},
    () => {},
  );
  assert.deepEqual([written.rounds.length, first.rounds.length, all.rounds.length], [3, 3, 3]);
  assert.ok(all.rounds.every((ms, i) => ms >= first.rounds[i]! && first.rounds[i]! > 0));
  assert.deepEqual(namespacesOf(`apply${process.pid}`), []);
});
