import assert from "node:assert/strict";
import { test } from "node:test";
import { remainder, TransactionFailed, type TransactionStep, tidy, transact } from "../../src/control/transaction.ts";

const NAMES = ["a", "b", "c"];

/** Steps that write down what they do; those named throw. */
function steps(done: string[], fails: { apply?: string; undo?: readonly string[] }): TransactionStep[] {
  return NAMES.map((what) => ({
    what,
    apply: () => {
      done.push(`+${what}`);
      if (fails.apply === what) throw new Error(`no ${what}`);
    },
    undo: () => {
      done.push(`-${what}`);
      if (fails.undo?.includes(what)) throw new Error("stays");
      return what === "a" ? ["half of it stays"] : undefined;
    },
  }));
}

test("all steps are done in their order, and nothing is undone", () => {
  const done: string[] = [];
  transact(steps(done, {}));
  assert.deepEqual(done, ["+a", "+b", "+c"]);
});

test("wherever a step fails, it and all before it are undone, whichever undo fails", () => {
  for (const [at, apply] of NAMES.entries()) {
    for (let mask = 0; mask < 8; mask++) {
      const undo = NAMES.filter((_, i) => mask & (1 << i));
      const done: string[] = [];
      const failed = ((): TransactionFailed => {
        try {
          transact(steps(done, { apply, undo }));
        } catch (error) {
          assert.ok(error instanceof TransactionFailed);
          return error;
        }
        return assert.fail("nothing was thrown");
      })();
      const begun = NAMES.slice(0, at + 1);
      assert.deepEqual(done, [...begun.map((name) => `+${name}`), ...begun.toReversed().map((name) => `-${name}`)]);
      assert.equal(failed.message, `no ${apply}`);
      const remains = begun.toReversed().flatMap((name) => {
        if (undo.includes(name)) return [`${name}: stays`];
        return name === "a" ? ["a: half of it stays"] : [];
      });
      assert.deepEqual(failed.remains, remains);
      assert.match(remainder(failed), remains.length === 0 ? /^nothing changed$/ : /^not all of it could be undone \(/);
    }
  }
});

test("what is left to do is done whatever throws", () => {
  const done: string[] = [];
  const problems = tidy([
    () => {
      done.push("a");
      throw new Error("no a");
    },
    () => ["b half"],
    () => {
      done.push("c");
    },
  ]);
  assert.deepEqual(
    [done, problems],
    [
      ["a", "c"],
      ["no a", "b half"],
    ],
  );
});
