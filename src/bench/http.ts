/** Requests for a page of 1 KB: wrk with 64 connections that stay, and with a connection for each request. */
import { runOn } from "./namespace-process.ts";
import { type Part, pick, type Run, type Sample } from "./part.ts";
import { CONNECTIONS, type Path } from "./paths.ts";
import { CLIENT } from "./stand.ts";
import { tool } from "./tools.ts";

const CONNECTIONS_OPEN = 64;
/** Of the requests, those that may fail before the number means something else. */
const FAILED_MOST = 0.01;

async function requests({ stand }: Run, { address }: Path, seconds: number, more: readonly string[]): Promise<number> {
  // wrk counts in whole seconds, but an interrupt ends it in order at any time.
  const args = [...tool("wrk"), "-t", "2", "-c", `${CONNECTIONS_OPEN}`, "-d", `${Math.ceil(seconds) + 10}s`, ...more];
  const text = await runOn(stand, CLIENT, [...args, `http://${address}/`], seconds);
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
  const count = Number(/(\d+) requests in/.exec(text)?.[1]);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1).map(Number) ?? [];
  const failed = errors.reduce((sum, n) => sum + n, Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0));
  if (!(rate > 0)) throw new Error(`wrk ${address}: no answers`);
  if (failed > FAILED_MOST * count) throw new Error(`wrk ${address}: ${failed} of ${count} requests failed`);
  return rate;
}

const paths = pick(CONNECTIONS, "direct", "haflinger", "haproxy", "nginx");

export const keepalive: Part = {
  name: "keepalive",
  title: "1 KB requests, 64 connections kept",
  figures: { keepalive: { unit: "requests/s", better: "more" } },
  needs: ["wrk", "nginx"],
  paths,
  warmUp: 3,
  measure: async (run, path, seconds): Promise<Sample> => ({ keepalive: await requests(run, path, seconds, []) }),
};

export const connections: Part = {
  name: "connections",
  title: "1 KB requests, a connection each",
  figures: { connections: { unit: "requests/s", better: "more" } },
  needs: ["wrk", "nginx"],
  paths,
  warmUp: 3,
  measure: async (run, path, seconds): Promise<Sample> => ({
    connections: await requests(run, path, seconds, ["-H", "Connection: close"]),
  }),
};
