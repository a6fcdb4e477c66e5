/** An agent as a process of its own, in the namespace of whoever starts it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { unprivileged } from "../../src/lab/unprivileged.ts";
import { until } from "./netns.ts";
import { UNPRIVILEGED } from "./unprivileged.ts";

/** The compiled command line. */
export const MAIN = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

export class AgentProcess {
  readonly #child: ChildProcess;
  #output = "";
  #code: number | null = null;

  /** Starts `COMMAND... node main.js ARGS`; the command may be empty, or something like setpriv that runs another. */
  constructor(args: readonly string[], command: readonly string[] = [], more: NodeJS.ProcessEnv = {}) {
    const program = [...command, process.execPath, MAIN, ...args];
    const own = UNPRIVILEGED && command.length === 0;
    // It does not outlive the test, however that ends; a change of user would undo that.
    const mortal = ["setpriv", "--pdeathsig", "KILL", ...program];
    const [first, ...rest] = own ? unprivileged(mortal) : mortal;
    this.#child = spawn(first!, rest, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...more } });
    this.#child.stderr!.on("data", (text) => {
      this.#output += text;
    });
    this.#child.on("exit", (code) => {
      this.#code = code ?? -1;
    });
  }

  /** Of the agent itself: what it is started by becomes it. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** Whether it has ended. */
  get over(): boolean {
    return this.#code !== null;
  }

  /** Lines on stderr so far. */
  get lines(): string[] {
    return this.#output.split("\n").filter((line) => line !== "");
  }

  /** Log messages so far, of lines that are JSON. */
  get messages(): { level: string; msg: string; ready?: boolean }[] {
    return this.lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  }

  /** Resolves when the log has a message like that; throws when there is none for 10 s. */
  async logged(pattern: RegExp): Promise<string> {
    let found: string | undefined;
    const look = (): boolean => {
      if (this.#code !== null) throw new Error(`the agent ended with ${this.#code}: ${this.#output}`);
      found = this.messages.find(({ msg }) => pattern.test(msg))?.msg;
      return found !== undefined;
    };
    await until(`log message ${pattern} in ${this.#output}`, look, 10_000);
    return found!;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves with the exit code, -1 for a signal, when the process has ended and all it said has been read. */
  async ended(): Promise<number> {
    const impatient = setTimeout(() => this.#child.kill("SIGKILL"), 20_000);
    if (this.#code === null) await once(this.#child, "close");
    clearTimeout(impatient);
    return this.#code ?? -1;
  }
}

/** Runs a command line to its end. */
export async function runToEnd(
  args: readonly string[],
  command: readonly string[] = [],
): Promise<{ code: number; lines: string[] }> {
  const agent = new AgentProcess(args, command);
  const code = await agent.ended();
  return { code, lines: agent.lines };
}
