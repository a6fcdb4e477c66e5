/** Takeovers on a host with one neighbour (support/one-host.ts) in which one does not hear from the other in time, or is told to stop. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentProcess, runToEnd } from "../support/agent.ts";
import { type Between, between } from "../support/between.ts";
import { prepared, unharmed, useOneHost } from "../support/one-host.ts";
import { CONFIG, pidIn, serves, sessions, stopped, taker } from "../support/takeovers.ts";

useOneHost();

/** A takeover with somebody in between, during sessions. Gives what came of it: the agent that goes on. */
async function interfered(
  hold: Parameters<typeof between>[1],
  follow: (agent: AgentProcess, next: AgentProcess, middle: Between) => Promise<AgentProcess>,
): Promise<void> {
  const { args, runtime } = prepared(CONFIG);
  const agent = new AgentProcess(args);
  await agent.logged(/^ready/);
  const settle = await sessions();
  const middle = await between(runtime, hold);
  const next = new AgentProcess([...args, "--takeover"]);
  const winner = await follow(agent, next, middle);
  assert.equal(pidIn(runtime), winner.pid);
  await serves();
  await settle();
  middle.cut();
  await stopped(winner);
}

const gaveUp = async (next: AgentProcess, why: RegExp): Promise<void> => {
  assert.equal(await next.ended(), 1);
  // What it logs until then is not what it has to say.
  const said = next.lines.filter((line) => !line.startsWith("{"));
  assert.equal(said.length, 1, next.lines.join("\n"));
  assert.match(said[0]!, /: instance "s1" with pid \d+ was not taken over, nothing has changed: /);
  assert.match(said[0]!, why);
};

test("the new one hears too late that it may run: the agent has gone on, and stays", () =>
  unharmed(() =>
    interfered(
      (type) => (type === "released" ? 4_000 : type === "refused" ? null : 0),
      async (agent, next) => {
        await agent.logged(/has not taken over: nothing heard for 3 s$/);
        await gaveUp(next, /: it did not wait any longer$/);
        return agent;
      },
    ),
  ));

test("the agent does not hear that the new one runs: it takes its place back, and the new one gives way", () =>
  unharmed(() =>
    interfered(
      (type) => (type === "running" ? null : 0),
      async (agent, next) => {
        await agent.logged(/has not taken over: nothing heard for 3 s$/);
        await gaveUp(next, /: (nothing heard for 3 s)$/);
        return agent;
      },
    ),
  ));

test("the new one does not hear that the agent has ended: it forwards, and is the agent when the other is gone", () =>
  unharmed(() =>
    interfered(
      (type) => (type === "done" ? null : 0),
      async (agent, next, middle) => {
        assert.equal(await agent.ended(), 0, agent.lines.join("\n"));
        await serves();
        assert.ok(!next.messages.some(({ msg }) => msg.startsWith("took over")), next.lines.join("\n"));
        middle.cut();
        await next.logged(/^took over from pid \d+, gap /);
        return next;
      },
    ),
  ));

test("the agent is told to stop while it hands over: it does, and says so to the other", () =>
  unharmed(async () => {
    const { args, runtime } = prepared(CONFIG);
    for (const step of ["hello", "descriptors"]) {
      const agent = new AgentProcess(args);
      await agent.logged(/^ready/);
      const double = taker(runtime, step);
      await double.said(step);
      await stopped(agent);
      await double.said('{"type":"refused","why":"its agent was told to stop"}');
      await double.killed();
    }
    const agent = new AgentProcess(args);
    await agent.logged(/^ready/);
    const next = new AgentProcess([...args, "--takeover"]);
    await agent.logged(/^handing over/);
    await stopped(agent);
    assert.equal(await next.ended(), 1);
    assert.match(
      next.lines.at(-1)!,
      /instance "s1" with pid \d+ was not taken over, nothing has changed: its agent was told to stop$/,
    );
  }));

test("the agent is told to stop when its workers have stopped already: it waits for what comes of it", () =>
  unharmed(async () => {
    const { args, runtime } = prepared(CONFIG);
    const agent = new AgentProcess(args);
    await agent.logged(/^ready/);
    const double = taker(runtime, "ready");
    await double.said("ready");
    agent.signal("SIGTERM");
    await sleep(300);
    assert.ok(!agent.over);
    await double.killed();
    assert.equal(await agent.ended(), 0);
    assert.match(agent.messages.at(-1)!.msg, /^stopped, /);
    // Handed over for good: it undoes nothing, though it was told to stop.
    const again = new AgentProcess(args);
    await again.logged(/^ready/);
    const claims = taker(runtime, "running");
    await claims.said("running");
    again.signal("SIGTERM");
    assert.equal(await again.ended(), 0);
    assert.equal(again.messages.at(-1)!.msg, "stopping");
    await claims.killed();
    assert.deepEqual((await runToEnd(["down", "--runtime-dir", runtime])).code, 0);
  }));
