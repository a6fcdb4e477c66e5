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
import { AgentProcess } from "../support/agent.ts";
import { prepared, unharmed, useOneHost } from "../support/one-host.ts";
import { CONFIG, logsAgain, type Program, pidIn, serves, sessions, stopped, takenOver, taker } from "../support/takeovers.ts";

useOneHost();

const replace = (file: string, text: string): void => {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
};

for (const mode of ["af-packet", "tun"]) {
  test(`${mode}: the new process is killed at any step, or falls silent: the agent goes on; then it is taken over from`, () =>
    unharmed(async () => {
      const text = CONFIG.replace("af-packet", mode);
      const { args, file, runtime } = prepared(text);
      const agent = new AgentProcess(args);
      await agent.logged(/^ready/);
      const settle = await sessions();
      const goesOn = async (double: Program): Promise<void> => {
        await logsAgain(agent, new RegExp(`^pid ${double.child.pid} has not taken over: `), 0);
        assert.ok(!agent.over);
        assert.equal(pidIn(runtime), agent.pid);
        await serves();
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
      // Whether the device is a TUN makes no difference to that.
      for (const step of mode === "tun" ? [] : ["ready", "claimed"]) {
        const silent = taker(runtime, step);
        await silent.said(step);
        await silent.said(/^{"type":"refused","why":"nothing heard for 3 s"}$/);
        await goesOn(silent);
        await silent.killed();
      }
      const warnings = agent.messages.filter(({ level }) => level === "warn");
      assert.equal(warnings.length, mode === "tun" ? 4 : 6, agent.lines.join("\n"));
      const next = await takenOver(args, agent);
      const last = await takenOver(args, next);
      assert.equal(pidIn(runtime), last.pid);
      assert.equal(readStatus(runtime).generation, 2, "nothing was published");
      await serves();
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
      await serves();
      await settle();
      const last = await takenOver(args, next);
      assert.equal(pidIn(runtime), last.pid);
      await stopped(last);
    }));
}
