/** A service's own measure of its load on this host: what a command prints, or a Prometheus answers. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { ServiceLoadConfig } from "../control/config-load.ts";

const execute = promisify(execFile);

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
 * is a number.
 */
export async function askLoad(how: ServiceLoadConfig, names: Readonly<Record<"host" | "service", string>>): Promise<number> {
  const milliseconds = how.timeoutSeconds * 1000;
  if (how.command !== null) {
    const [program, ...args] = how.command.map((word) => filledIn(word, names));
    return loadFrom(await output(program!, args, milliseconds));
  }
  const url = new URL("api/v1/query", how.prometheus.endsWith("/") ? how.prometheus : `${how.prometheus}/`);
  url.searchParams.set("query", filledIn(how.query, names));
  const response = await fetch(url, { signal: AbortSignal.timeout(milliseconds) }).catch((error: Error) => {
    throw new Error(`${url.host} cannot be asked: ${(error.cause as NodeJS.ErrnoException | undefined)?.code ?? error.message}`);
  });
  const body = (await response.text()).slice(0, MOST_BYTES);
  return loadFrom(sampleOf(body, `${url.host} answered ${response.status}`));
}

async function output(program: string, args: readonly string[], timeout: number): Promise<string> {
  try {
    const options = { timeout, maxBuffer: MOST_BYTES, env: { PATH }, cwd: "/", killSignal: "SIGKILL" } as const;
    return (await execute(program, args, options)).stdout;
  } catch (error) {
    const { code, killed, stderr } = error as NodeJS.ErrnoException & { killed?: boolean; stderr?: string };
    if (killed === true) throw new Error(`${program} did not end within ${timeout / 1000} s`);
    const last = (stderr ?? "").trim().split("\n").at(-1)!.slice(0, 200);
    throw new Error(
      `${program} ${typeof code === "string" ? "cannot be run" : "failed"}: ${code}${last === "" ? "" : `: ${last}`}`,
    );
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
