import assert from "node:assert/strict";
import { test } from "node:test";
import pino from "pino";
import { endInOrder } from "../../src/control/orderly-end.ts";

function logged(): { log: pino.Logger; lines: string[] } {
  const lines: string[] = [];
  const stream = { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) };
  return { log: pino({}, stream), lines };
}

test("an end in order ends nothing by force", async () => {
  const done: string[] = [];
  const { log, lines } = logged();
  const steps = ["a", "b"].map((what) => ({ what, work: async () => void done.push(what) }));
  const exits: number[] = [];
  assert.equal(await endInOrder(steps, log, (code) => exits.push(code), { stepMs: 1000, exitMs: 1 }), true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([done, lines, exits], [["a", "b"], [], []]);
});

test("steps that throw, reject or never end keep none of the others from being done, and the process ends", async () => {
  const done: string[] = [];
  const { log, lines } = logged();
  const steps = [
    {
      what: "throw",
      work: () => {
        throw new Error("EBADF");
      },
    },
    { what: "reject", work: () => Promise.reject(new Error("no")) },
    { what: "hang", work: () => new Promise(() => {}) },
    { what: "end", work: () => void done.push("end") },
  ];
  const exited = new Promise<number>((resolve) => {
    void endInOrder(steps, log, resolve, { stepMs: 20, exitMs: 10 }).then((good) => assert.equal(good, false));
  });
  // The timers of the end do not keep a process alive.
  const alive = setInterval(() => {}, 1000);
  assert.equal(await exited, 1);
  clearInterval(alive);
  assert.deepEqual(done, ["end"]);
  assert.deepEqual(lines, ["could not throw: EBADF", "could not reject: no", "could not hang: not done within 0.02 s"]);
});
