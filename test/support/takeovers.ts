/** Agents that take over from each other on a host with one neighbour (one-host.ts), for tests of what may go wrong with that. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { readStatus } from "../../src/control/status.ts";
import { CHURN_PORT, type Place, type SessionEvent } from "../../src/lab/churn-session.ts";
import { AgentProcess } from "./agent.ts";
import { until } from "./netns.ts";
import { answering, CONFIG as ONE_PORT, onNeighbour, VIPS } from "./one-host.ts";

/** Serves the churn lab's sessions too. */
export const CONFIG = ONE_PORT.replace("{ tcp: [8080] }", `{ tcp: [8080, ${CHURN_PORT}], udp: [${CHURN_PORT}] }`);
const program = (path: string): string => fileURLToPath(new URL(`../../${path}.js`, import.meta.url));
/** How long anything may take on a busy machine. */
export const PATIENCE_MS = 20_000;

/** Runs something that outlives no test, with the lines it prints. */
export class Program {
  readonly child: ChildProcess;
  readonly lines: string[] = [];

  constructor(command: readonly string[]) {
    this.child = spawn("setpriv", ["--pdeathsig", "KILL", ...command], { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.child.stdout! }).on("line", (line) => this.lines.push(line));
  }

  async said(line: string | RegExp): Promise<string> {
    const found = (): string | undefined => this.lines.find((one) => (typeof line === "string" ? one === line : line.test(one)));
    await until(`${line} in ${this.lines.join(" | ")}`, () => found() !== undefined, PATIENCE_MS);
    return found()!;
  }

  async killed(): Promise<void> {
    const gone = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await gone;
  }
}

/** The command line of a compiled program of ours. */
export const node = (path: string, ...args: string[]): string[] => [process.execPath, program(path), ...args];

/** A process that takes over by hand, and goes no further than a step (taker.ts). */
export const taker = (runtime: string, step: string): Program => new Program(node("test/support/taker", runtime, step));

/** Waits until the agent has logged a message like that once more than `before` times. */
export async function logsAgain(agent: AgentProcess, pattern: RegExp, before: number): Promise<string> {
  const found = (): string[] => agent.messages.map(({ msg }) => msg).filter((msg) => pattern.test(msg));
  await until(`${pattern} in ${agent.lines.join("\n")}`, () => found().length > before, PATIENCE_MS);
  return found().at(-1)!;
}

/** Starts an agent in the place of one that runs, and looks that it ends as it should. `args` are those of a start without takeover. */
export async function takenOver(args: readonly string[], from: AgentProcess): Promise<AgentProcess> {
  const next = new AgentProcess([...args, "--takeover"]);
  await next.logged(new RegExp(`^took over from pid ${from.pid}, gap [0-9.]+ ms, \\d+ packets dropped .*: ready$`));
  assert.equal(await from.ended(), 0, from.lines.join("\n"));
  assert.ok(from.messages.some(({ msg }) => msg === `handed over to pid ${next.pid}`));
  return next;
}

/** Stops an agent that has all there is to stop. */
export async function stopped(agent: AgentProcess): Promise<void> {
  agent.signal("SIGTERM");
  assert.equal(await agent.ended(), 0, agent.lines.join("\n"));
  assert.match(agent.messages.at(-1)!.msg, /^stopped, the host's network is as it was$/);
}

/** Looks that the VIPs and these addresses answer: a busy machine has a few tries. */
export async function serves(more: readonly string[] = []): Promise<void> {
  const wanted = [...VIPS, ...more];
  let answered: string[] = [];
  for (let tries = 0; tries < 5 && answered.length < wanted.length; tries++) answered = await answering(wanted);
  assert.deepEqual(answered, wanted);
}

/** Sessions of both protocols and families that exchange messages the whole time. Gives what is to be called in the end. */
export async function sessions(): Promise<() => Promise<void>> {
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

/** The agent that others see in a runtime directory. */
export const pidIn = (runtime: string): number => readStatus(runtime).pid;
