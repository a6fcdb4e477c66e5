/** A service's own measure of its load on this host: what a command prints, or a Prometheus answers. */
import { type ChildProcess, spawn } from "node:child_process";
import type { ServiceLoadConfig } from "../control/config-load.ts";

/** Bytes of an answer that are read. */
const MOST_BYTES = 65_536;
/** What commands find programs by. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** `{host}` and `{service}` replaced. */
export const filledIn = (text: string, names: Readonly<Record<"host" | "service", string>>): string =>
  text.replace(/\{(host|service)\}/g, (_, name: "host" | "service") => names[name]);

/** A load from text or what JSON has as one: a number from 0 on. Throws when it is none. */
function loadFrom(what: unknown): number {
  const word = String(what).trim();
  const value = Number(word);
  if (word === "" || !Number.isFinite(value) || value < 0)
    throw new Error(`"${word.slice(0, 60)}" is not a load (a number from 0 on; 1 is full)`);
  return value;
}

/**
 * Asks for the load: 0 is idle, 1 full, more than that overloaded. Rejects, in a few words, when there is no answer in time, or none that
 * is a number, and at once when it is `over`.
 */
export async function askLoad(
  how: ServiceLoadConfig,
  names: Readonly<Record<"host" | "service", string>>,
  over: AbortSignal = new AbortController().signal,
): Promise<number> {
  const milliseconds = how.timeoutSeconds * 1000;
  if (how.command !== null) {
    const [program, ...args] = how.command.map((word) => filledIn(word, names));
    return loadFrom(await output(program!, args, milliseconds, over));
  }
  const url = new URL("api/v1/query", how.prometheus.endsWith("/") ? how.prometheus : `${how.prometheus}/`);
  url.searchParams.set("query", filledIn(how.query, names));
  const given = new AbortController();
  const stop = (): void => given.abort(new Error(`no answer within ${how.timeoutSeconds} s`));
  const timer = setTimeout(stop, milliseconds);
  over.addEventListener("abort", stop);
  try {
    const response = await fetch(url, { signal: given.signal }).catch((error: Error) => {
      throw new Error(
        `${url.host} cannot be asked: ${(error.cause as NodeJS.ErrnoException | undefined)?.code ?? error.message}`,
      );
    });
    const body = (await response.text()).slice(0, MOST_BYTES);
    return loadFrom(sampleOf(body, `${url.host} answered ${response.status}`));
  } finally {
    clearTimeout(timer);
    over.removeEventListener("abort", stop);
  }
}

/** What a program prints. It runs in a group of its own, and nothing of that is left when it has ended, is late, or is not waited for. */
function output(program: string, args: readonly string[], milliseconds: number, over: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const cannot = ({ code, message }: NodeJS.ErrnoException): Error => new Error(`${program} cannot be run: ${code ?? message}`);
    let child: ChildProcess;
    try {
      child = spawn(program, args, { env: { PATH }, cwd: "/", detached: true, stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      return reject(cannot(error as NodeJS.ErrnoException));
    }
    let [said, complained] = ["", ""];
    // They are missing where there are no descriptors left for them.
    child.stdout?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(0, MOST_BYTES);
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      complained = (complained + chunk.toString()).slice(-MOST_BYTES);
    });
    const end = (then: () => void): void => {
      clearTimeout(timer);
      over.removeEventListener("abort", giveUp);
      child.stdout?.destroy();
      child.stderr?.destroy();
      killGroup(child.pid);
      then();
    };
    const fail = (why: string): void => end(() => reject(new Error(why)));
    const timer = setTimeout(() => fail(`${program} did not end within ${milliseconds / 1000} s`), milliseconds);
    const giveUp = (): void => fail(`${program} was given up`);
    over.addEventListener("abort", giveUp);
    child.once("error", (error) => end(() => reject(cannot(error))));
    child.once("exit", (code, signal) => {
      const last = complained.trim().split("\n").at(-1)!.slice(0, 200);
      if (code === 0) end(() => resolve(said));
      else fail(`${program} failed: ${signal ?? code}${last === "" ? "" : `: ${last}`}`);
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // They have all ended.
  }
}

interface Answer {
  readonly status?: string;
  readonly error?: string;
  readonly data?: { readonly resultType?: string; readonly result?: unknown };
}

/** The one value in an answer of Prometheus: a scalar, or a vector of one. */
function sampleOf(body: string, answered: string): unknown {
  let answer: Answer;
  try {
    answer = JSON.parse(body) as Answer;
  } catch {
    throw new Error(`${answered}, not as a Prometheus does`);
  }
  if (answer?.status !== "success") throw new Error(`${answered}: ${answer?.error ?? "no success"}`);
  const { resultType, result } = answer.data ?? {};
  const samples = resultType === "scalar" ? [{ value: result }] : resultType === "vector" ? (result as { value: unknown }[]) : [];
  if (!Array.isArray(samples) || samples.length !== 1)
    throw new Error(`${answered} with ${Array.isArray(samples) ? samples.length : "no"} values (the query must give one)`);
  return (samples[0]!.value as unknown[] | undefined)?.[1];
}
