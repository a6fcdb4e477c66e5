/** Labs come and go by their name: side by side, twice, interrupted, killed; nothing of them stays. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { labDown } from "../../src/lab/lab.ts";
import { ended, nodeProgram } from "../../src/lab/namespace.ts";
import { isRunning, type LabState, labDir, namespacesOf, readState } from "../../src/lab/state.ts";
import { assertNothingLeft, labObstacle } from "../support/lab.ts";
import { until } from "../support/netns.ts";

const COMMAND = nodeProgram("cli/main.ts", ["lab"]);

function start(...args: string[]): ChildProcess {
  return spawn(COMMAND[0]!, [...COMMAND.slice(1), ...args], { stdio: ["ignore", "pipe", "pipe"] });
}

async function lab(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = start(...args);
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout!.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr!.on("data", (chunk: Buffer) => err.push(chunk));
  const code = await ended(child);
  return { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

const SMALL = ["--hosts", "1", "--clients", "1", "--workers", "1"];

test("two labs side by side, one named like the beginning of the other", { skip: labObstacle, timeout: 60_000 }, async (t) => {
  const [a, b] = [`e2e-${process.pid}`, `e2e-${process.pid}-b`];
  t.after(() => Promise.all([labDown(a), labDown(b)]));
  const ups = await Promise.all([a, b].map((name) => lab("up", "--name", name, "--json", ...SMALL)));
  for (const { code, stdout, stderr } of ups) {
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as { whole: boolean }[])[0]!.whole, true);
  }
  const states = [a, b].map((name) => readState(name)!);

  const again = await lab("up", "--name", a, ...SMALL);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^hafl: lab e2e-\d+: is up already \(.*hafl lab down --name e2e-\d+\)\n$/);

  const curl = ["c1", "curl", "-sS", "-m", "5", "http://[2001:db8::10]/"];
  const reply = await lab("exec", "--name", b, ...curl);
  assert.deepEqual([reply.code, reply.stdout], [0, "s1\n"], reply.stderr);
  assert.equal((await lab("exec", "--name", a, "c1", "sh", "-c", "exit 7")).code, 7);
  assert.match((await lab("exec", "--name", a, "c9", "true")).stderr, /has no node c9/);

  assert.equal((await lab("down", "--name", a)).code, 0);
  assertNothingLeft(states[0]!);
  assert.deepEqual(await lab("exec", "--name", b, ...curl), { code: 0, stdout: "s1\n", stderr: "" });
  assert.equal((await lab("status", "--name", a)).code, 1);

  // An agent that ended by itself shows, and does not disturb going down.
  process.kill(states[1]!.processes.find((p) => p.role === "agent")!.pid, "SIGKILL");
  await until("the agent to end", () => !isRunning(states[1]!.processes.find((p) => p.role === "agent")!.pid));
  assert.match((await lab("status", "--name", b)).stdout, /NOT WHOLE[\s\S]*agent ENDED/);
  assert.equal((await lab("down", "--name", b)).code, 0);
  assertNothingLeft(states[1]!);
  assert.equal((await lab("down", "--name", b)).code, 0, "down twice is fine");
});

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGKILL", 128],
] as const) {
  test(`a demo ended by ${signal} leaves nothing`, { skip: labObstacle, timeout: 60_000 }, async (t) => {
    const demo = start("demo", "--requests", "20000", ...SMALL);
    const name = `demo-${demo.pid}`;
    t.after(() => labDown(name));
    await until("the lab to be up", () => readState(name) !== null, 20_000);
    const state: LabState = readState(name)!;
    demo.kill(signal);
    assert.equal(await ended(demo), code);
    const gone = (): boolean =>
      !existsSync(labDir(name)) && namespacesOf(name).length === 0 && !state.processes.some((p) => isRunning(p.pid));
    await until("everything to be gone", gone, 10_000);
  });
}

test("wrong usage is one clear line and exit code 2", async () => {
  for (const [args, line] of [
    [["up", "--name", "A/b"], /a lab's name is 1 to 32 of a-z, 0-9 and -/],
    [["demo", "--weights", "1,x"], /weights look like 3,1,1,1/],
    [["up", "--hosts", "0"], /a whole number from 1 to 64/],
  ] as const) {
    const { code, stderr } = await lab(...args);
    assert.equal(code, 2);
    assert.match(stderr.split("\n")[0]!, line);
  }
});
