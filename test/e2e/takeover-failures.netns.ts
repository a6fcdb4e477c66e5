/**
 * Takeovers on a host with one neighbour (support/one-host.ts), which keeps sessions open all the time: whoever dies or falls silent at
 * whatever step, one agent goes on, and no session breaks.
 */
import assert from "node:assert/strict";
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readStatus } from "../../src/control/status.ts";
import { CHURN_PORT, type Place, type SessionEvent } from "../../src/lab/churn-session.ts";
import { AgentProcess, runToEnd } from "../support/agent.ts";
import { until } from "../support/netns.ts";
import { answering, onNeighbour, prepared, unharmed, useOneHost, VIPS } from "../support/one-host.ts";
import { CONFIG, logsAgain, node, PATIENCE_MS, Program, stopped, takenOver, taker } from "../support/takeovers.ts";

useOneHost();

/** Sessions of both protocols and families that exchange messages the whole time. Gives what is to be called in the end. */
async function sessions(): Promise<() => Promise<void>> {
  const server = new Program(node("src/lab/churn-server", "s1", `${CHURN_PORT}`, "192.0.2.10", "2001:db8::10"));
  await server.said("ready");
  const places = (["tcp", "udp"] as const).flatMap((protocol) =>
    ([4, 6] as const).flatMap((family) =>
      [0, 1].map((i): Place => {
        const [target, source] = family === 4 ? ["192.0.2.10", "10.9.9.2"] : ["2001:db8::10", "fd09::2"];
        return { protocol, family, target, source, port: 20_000 + 10 * family + i, step: 100, lifeMs: null };
      }),
    ),
  );
  const client = new Program(onNeighbour(node("src/lab/churn-client", JSON.stringify(places), "10000")));
  const events = (): SessionEvent[] => client.lines.map((line) => JSON.parse(line) as SessionEvent);
  await until("all sessions", () => events().length >= places.length, PATIENCE_MS);
  return async () => {
    client.child.stdin!.end();
    await client.said(/"end"/);
    const [end] = events().splice(-1);
    assert.deepEqual(
      events().filter(({ event }) => event !== "open" && event !== "end"),
      [],
    );
    assert.ok(end?.event === "end" && end.answered > 8 * 10, JSON.stringify(end));
    await server.killed();
  };
}

const replace = (file: string, text: string): void => {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
};

const pidIn = (runtime: string): number => readStatus(runtime).pid;

for (const mode of ["af-packet", "tun"]) {
  test(`${mode}: the new process is killed at any step, or falls silent: the agent goes on; then it is taken over from`, () =>
    unharmed(async () => {
      const text = CONFIG.replace("af-packet", mode);
      const { args, file, runtime } = prepared(text);
      const agent = new AgentProcess(args);
      await agent.logged(/^ready/);
      const settle = await sessions();
      let failures = 0;
      const goesOn = async (double: Program): Promise<void> => {
        await logsAgain(agent, new RegExp(`^pid ${double.child.pid} has not taken over: `), 0);
        failures++;
        assert.ok(!agent.over);
        assert.equal(pidIn(runtime), agent.pid);
        assert.deepEqual(await answering(VIPS), VIPS);
      };
      for (const step of ["connected", "hello", "descriptors", "ready", "claimed"]) {
        const double = taker(runtime, step);
        await double.said(step);
        // What is asked for meanwhile waits.
        if (step === "hello") {
          replace(file, text.replace("table:", "drop: []\ntable:").replace("8080,", "8080, 8081,"));
          await sleep(400);
          assert.equal(readStatus(runtime).generation, 1);
        }
        await double.killed();
        if (step !== "connected") await goesOn(double);
        if (step === "hello") await agent.logged(/^generation 2: /);
      }
      for (const step of ["ready", "claimed"]) {
        const silent = taker(runtime, step);
        await silent.said(step);
        await silent.said(/^{"type":"refused","why":"nothing heard for 3 s"}$/);
        await goesOn(silent);
        await silent.killed();
      }
      assert.equal(failures, 6);
      assert.equal(agent.messages.filter(({ level }) => level === "warn").length, 6, agent.lines.join("\n"));
      const next = await takenOver(args, agent);
      const last = await takenOver(args, next);
      assert.equal(pidIn(runtime), last.pid);
      assert.equal(readStatus(runtime).generation, 2, "nothing was published");
      assert.deepEqual(await answering(VIPS), VIPS);
      await settle();
      await stopped(last);
      assert.ok(!existsSync(join(runtime, "takeover")) && !existsSync(join(runtime, "instance.json")));
    }));

  test(`${mode}: the agent is killed while it hands over: the new one goes on without it`, () =>
    unharmed(async () => {
      const { args, runtime } = prepared(CONFIG.replace("af-packet", mode));
      const agent = new AgentProcess(args);
      await agent.logged(/^ready/);
      const settle = await sessions();
      const next = new AgentProcess([...args, "--takeover"]);
      await agent.logged(new RegExp(`^handing over to pid ${next.pid}$`));
      agent.signal("SIGKILL");
      await agent.ended();
      await next.logged(new RegExp(`^pid ${agent.pid} ended while it was taken over: going on without it$`));
      await next.logged(
        /^took over from pid \d+, which was killed meanwhile, unknown packets dropped by the kernel meanwhile: ready$/,
      );
      assert.deepEqual(await answering(VIPS), VIPS);
      await settle();
      const last = await takenOver(args, next);
      assert.equal(pidIn(runtime), last.pid);
      await stopped(last);
    }));
}

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
