/** Programs in the namespaces of the test stand: run to their end, or kept until their input is closed. */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ended, spawnIn } from "../lab/namespace.ts";
import { pollFor } from "../lab/poll.ts";
import { benchProgram, type ProgramName } from "./programs.ts";

/** How long a program may take until it catches signals. */
const READY_MS = 10_000;

/** Where programs run. When the signal is raised they are ended. */
export interface Place {
  readonly lab: string;
  readonly signal: AbortSignal;
}

/** What a program wrote, complete when it has ended. */
interface Output {
  out: string;
  error: string;
}

function start({ lab, signal }: Place, node: string, command: readonly string[]): { child: ChildProcess; output: Output } {
  const child = spawnIn(lab, node, command, { stdio: ["pipe", "pipe", "pipe"], signal });
  const output: Output = { out: "", error: "" };
  child.stdout!.on("data", (chunk: Buffer) => {
    output.out += chunk.toString();
  });
  child.stderr!.on("data", (chunk: Buffer) => {
    output.error += chunk.toString();
  });
  child.stdin!.on("error", () => {});
  return { child, output };
}

const failed = (node: string, command: readonly string[], code: number, { out, error }: Output): Error =>
  new Error(
    `${command.join(" ")} on ${node} ended with ${code}: ${(error.trim() || out.trim()).split("\n").at(-1) || "it said nothing"}`,
  );

/** Whether a process has a handler for SIGINT: before that it would be killed. */
function catchesInterrupt(pid: number): boolean {
  try {
    const caught = /^SigCgt:\s+([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
    return (Number.parseInt(caught.slice(-8), 16) & (1 << (constants.signals.SIGINT - 1))) !== 0;
  } catch {
    return false; // it has ended
  }
}

/** Asks a process to end by SIGINT, some seconds after it is ready for that. */
async function interruptLater(child: ChildProcess, seconds: number, signal: AbortSignal): Promise<void> {
  const running = (): boolean => child.exitCode === null && child.signalCode === null;
  await pollFor(() => (!running() || catchesInterrupt(child.pid!) ? true : null), READY_MS, 5, signal);
  await sleep(seconds * 1000);
  if (running()) child.kill("SIGINT");
}

/**
 * Runs a program on a node to its end, or until `interruptAfter` seconds, when it is asked to end by SIGINT. Gives what it wrote on
 * standard output; throws with its last line when it fails.
 */
export async function runOn(
  place: Place,
  node: string,
  command: readonly string[],
  interruptAfter = Number.POSITIVE_INFINITY,
): Promise<string> {
  const { child, output } = start(place, node, command);
  if (Number.isFinite(interruptAfter)) void interruptLater(child, interruptAfter, place.signal);
  const code = await ended(child);
  if (code !== 0) throw failed(node, command, code, output);
  return output.out;
}

/** Runs one of our own programs to its end. Gives the object it prints. */
export async function measureOn<T>(
  place: Place,
  node: string,
  name: ProgramName,
  args: readonly (string | number)[],
): Promise<T> {
  return JSON.parse(await runOn(place, node, [benchProgram(name), ...args.map(String)])) as T;
}

/** A program that says "ready" when it is, and ends when its input does. */
export class Running {
  readonly #what: readonly string[];
  readonly #node: string;
  readonly #child: ChildProcess;
  readonly #output: Output;
  readonly #ended: Promise<number>;

  private constructor(place: Place, node: string, command: readonly string[]) {
    const { child, output } = start(place, node, command);
    this.#what = command;
    this.#node = node;
    this.#child = child;
    this.#output = output;
    this.#ended = ended(child);
    this.#ended.catch(() => {});
  }

  /** Resolves when the program is ready; throws with its last line when it ends instead. */
  static async start(place: Place, node: string, command: readonly string[]): Promise<Running> {
    const running = new Running(place, node, command);
    const ready = new Promise<null>((resolve) => {
      running.#child.stdout!.on("data", () => {
        if (running.#output.out.startsWith("ready\n")) resolve(null);
      });
    });
    const code = await Promise.race([ready, running.#ended]);
    if (code !== null) throw failed(node, command, code, running.#output);
    return running;
  }

  /** Ends it. Gives what it wrote after "ready". */
  async stop(): Promise<string> {
    this.#child.stdin!.end();
    const code = await this.#ended;
    if (code !== 0) throw failed(this.#node, this.#what, code, this.#output);
    return this.#output.out.slice("ready\n".length);
  }
}

/** Starts one of our own programs that stay. */
export const startOn = (place: Place, node: string, name: ProgramName, args: readonly (string | number)[]): Promise<Running> =>
  Running.start(place, node, [benchProgram(name), ...args.map(String)]);
