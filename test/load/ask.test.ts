import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ServiceLoadConfig } from "../../src/control/config-load.ts";
import { askLoad } from "../../src/load/ask.ts";
import { until } from "../support/netns.ts";

const NAMES = { host: "s1", service: "web" };
const TIMES = { intervalSeconds: 10, timeoutSeconds: 5 };
const command = (...words: string[]): ServiceLoadConfig => ({ command: words, prometheus: null, query: null, ...TIMES });
const shell = (text: string): ServiceLoadConfig => command("sh", "-c", text, "{host}", "{service}");

test("what a command prints is the load; names are filled in", async () => {
  assert.equal(await askLoad(shell("echo 0.25"), NAMES), 0.25);
  assert.equal(await askLoad(shell('[ "$0 $1" = "s1 web" ] && echo 1e-1'), NAMES), 0.1);
});

test("commands that fail, are late, or print something else are named", async () => {
  const cases: [ServiceLoadConfig, RegExp][] = [
    [shell("echo busy"), /^"busy" is not a load \(a number from 0 on; 1 is full\)$/],
    [shell("echo -1"), /^"-1" is not a load/],
    [shell("true"), /^"" is not a load/],
    [shell("echo no >&2; exit 3"), /^sh failed: 3: no$/],
    [command("/no/such/program"), /^\/no\/such\/program cannot be run: ENOENT$/],
    [{ ...shell("exec sleep 60"), timeoutSeconds: 0.2 }, /^sh did not end within 0\.2 s$/],
  ];
  for (const [how, text] of cases) await assert.rejects(askLoad(how, NAMES), { message: text });
});

test("a command that is late, or given up, ends with all that it has started", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-ask-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "pid");
  const how = shell(`sleep 600 & echo $! >${file}; wait`);
  const started = (): Promise<void> => until("it runs", () => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"));
  const gone = (): boolean => !existsSync(`/proc/${readFileSync(file, "utf8").trim()}/exe`);
  // Long enough for it to have started, on a busy machine as well.
  await assert.rejects(askLoad({ ...how, timeoutSeconds: 3 }, NAMES), { message: "sh did not end within 3 s" });
  await until("what it started is gone", gone);
  rmSync(file);
  const over = new AbortController();
  const asked = assert.rejects(askLoad({ ...how, timeoutSeconds: 600 }, NAMES, over.signal));
  await started();
  over.abort();
  await asked;
  await until("what it started is gone", gone);
});

let server: Server;
let asked = "";
let answer: { status: number; body: string } = { status: 200, body: "" };
before(async () => {
  server = createServer((request, response) => {
    asked = request.url!;
    response.writeHead(answer.status).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => server.close());

const query = (path = ""): ServiceLoadConfig => ({
  command: null,
  prometheus: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
  query: 'busy{instance="{host}"}',
  ...TIMES,
});
const data = (resultType: string, result: unknown): string => JSON.stringify({ status: "success", data: { resultType, result } });

test("a Prometheus is asked by its API: a vector of one, or a scalar", async () => {
  answer = { status: 200, body: data("vector", [{ metric: {}, value: [1, "0.75"] }]) };
  assert.equal(await askLoad(query(), NAMES), 0.75);
  assert.equal(asked, `/api/v1/query?query=${encodeURIComponent('busy{instance="s1"}').replaceAll("%20", "+")}`);
  answer = { status: 200, body: data("scalar", [1, "2"]) };
  assert.equal(await askLoad(query("/prom"), NAMES), 2);
  assert.match(asked, /^\/prom\/api\/v1\/query\?/);
});

test("a Prometheus that does not answer keeps nobody waiting who has given up", async (t) => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  t.after(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  const over = new AbortController();
  const how: ServiceLoadConfig = {
    command: null,
    prometheus: `http://127.0.0.1:${port}`,
    query: "x",
    ...TIMES,
    timeoutSeconds: 600,
  };
  const asked = assert.rejects(askLoad(how, NAMES, over.signal));
  await once(silent, "request");
  over.abort();
  await asked;
});

test("answers that are none are named", async () => {
  const cases: [number, string, RegExp][] = [
    [200, data("vector", []), /answered 200 with 0 values \(the query must give one\)$/],
    [200, data("vector", [{ value: [1, "1"] }, { value: [1, "2"] }]), /with 2 values/],
    [200, data("matrix", []), /with 0 values/],
    [200, data("vector", [{ value: [1, "NaN"] }]), /^"NaN" is not a load/],
    [200, data("vector", [{}]), /^"undefined" is not a load/],
    [200, data("vector", null), /with no values/],
    [200, "null", /answered 200: no success$/],
    [400, JSON.stringify({ status: "error", error: "parse error" }), /answered 400: parse error$/],
    [502, "<html>", /answered 502, not as a Prometheus does$/],
  ];
  for (const [status, body, text] of cases) {
    answer = { status, body };
    await assert.rejects(askLoad(query(), NAMES), { message: text }, body);
  }
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  await new Promise((resolve) => other.close(resolve));
  const nobody: ServiceLoadConfig = { command: null, prometheus: `http://127.0.0.1:${port}`, query: "x", ...TIMES };
  await assert.rejects(askLoad(nobody, NAMES), { message: `127.0.0.1:${port} cannot be asked: ECONNREFUSED` });
});
