import assert from "node:assert/strict";
import { test } from "node:test";
import type { Logger } from "pino";
import { type Attendant, Attendants } from "../../src/control/attendant.ts";
import { FitnessBoard } from "../../src/control/fitness.ts";

test("an attendant that fails is logged, the others are served, calls keep their order", async () => {
  const said: string[] = [];
  const log = { error: (_: object, text: string) => said.push(text) } as unknown as Logger;
  const calls: string[] = [];
  const good: Attendant = {
    name: "good",
    start: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      calls.push("start");
    },
    leaving: () => void calls.push("leaving"),
    stop: (handedOver) => void calls.push(`stop ${handedOver}`),
  };
  const bad: Attendant = {
    name: "bad",
    start: () => {
      throw new Error("no way");
    },
    stop: () => Promise.reject(new Error("not even that")),
  };
  const all = new Attendants([bad, good], log);
  void all.start();
  void all.leaving();
  await all.stop(true);
  assert.deepEqual(calls, ["start", "leaving", "stop true"]);
  assert.deepEqual(said, ["bad could not start: no way", "bad could not stop: not even that"]);
});

test("the board tells of what is other than before, and of nothing else", () => {
  const board = new FitnessBoard();
  let changes = 0;
  board.on("change", () => changes++);
  board.problem("tun", "is down");
  board.problem("tun", "is down");
  assert.equal(changes, 1);
  board.service("web", { healthy: false, reason: "connection refused" });
  board.service("web", { healthy: false, reason: "connection refused" });
  assert.equal(changes, 2);
  assert.deepEqual([...board.problems], [["tun", "is down"]]);
  board.problem("tun", null);
  board.service("web", null);
  board.service("other", null);
  assert.equal(changes, 4);
  assert.equal(board.problems.size + board.services.size, 0);
});
