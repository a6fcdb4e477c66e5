/** The server beside an agent that is not there: its files are, and somebody who writes on its board. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import pino from "pino";
import type { AgentView } from "../../src/control/attendant.ts";
import { type Config, parseConfig } from "../../src/control/config.ts";
import { FitnessBoard } from "../../src/control/fitness.ts";
import { Publisher } from "../../src/control/publish.ts";
import { ruleCountersPath } from "../../src/io/rule-files.ts";
import { countersPath, mapKept, mapRegion } from "../../src/io/runtime-files.ts";
import { MetricsServer } from "../../src/metrics/server.ts";
import {
  COUNTERS_LAYOUT,
  countBurst,
  counterAt,
  countersBytes,
  countSent,
  countVerdict,
  workerBlock,
} from "../../src/shm/counters.ts";
import { RULE_COUNTERS_LAYOUT, ruleCountersBytes } from "../../src/shm/rules.ts";
import { FORWARDED } from "../../src/shm/verdict.ts";
import { until } from "../support/netns.ts";

const CONFIG = `cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }, { name: s2, dip: 10.0.1.12 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: 80 } }]
table: { size: 101 }
io: { workers: 2 }
metrics: { listen: 127.0.0.1:0 }
`;

function configOf(text: string): Config {
  const result = parseConfig(text, "test");
  if ("errors" in result) throw new Error(result.errors.join("\n"));
  return result.config;
}

const dir = mkdtempSync(join(tmpdir(), "hafl-metrics-"));
const board = new FitnessBoard();
const lines: { msg: string; level: number; where?: string }[] = [];
const log = pino({ base: null }, { write: (line: string) => lines.push(JSON.parse(line)) });
const config = configOf(CONFIG);
const place = {
  config,
  host: config.hosts[0]!,
  instance: "s1",
  uplink: { device: "up0", link: 1 },
  mtu: 1500,
} as AgentView["place"];
const view: AgentView = {
  log,
  place,
  runtimeDir: dir,
  board,
  config: () => config,
  network: () => assert.fail("metrics do not look at it"),
  generation: () => publisher.generation,
};
let publisher: Publisher;
let server: MetricsServer;

/** Where the server that has been started last listens. */
async function listening(): Promise<string> {
  await until("a server", () => lines.at(-1)?.msg.startsWith("metrics: http") === true);
  return `http://${lines.at(-1)!.where}`;
}

async function get(path: string, method = "GET"): Promise<[status: number, text: string]> {
  const response = await fetch(`${await listening()}${path}`, { method });
  return [response.status, await response.text()];
}

before(() => {
  publisher = Publisher.open(dir, 2, 1024);
  publisher.publish(config, "s1", 1500);
  mapRegion(ruleCountersPath(dir), ruleCountersBytes(2), RULE_COUNTERS_LAYOUT);
  server = new MetricsServer(view, {
    more: [{ name: "hafl_more", help: "Another part's", type: "gauge", labels: ["of"], read: () => [[7, 'a "b"\n']] }],
  });
  server.start();
});
after(() => {
  server.stop();
  rmSync(dir, { recursive: true });
});

test("what the workers count is shown, as it is when asked", async () => {
  const counters = mapKept(countersPath(dir), countersBytes(2), COUNTERS_LAYOUT);
  const block = workerBlock(counters, 1);
  countVerdict(block, FORWARDED, 5);
  countSent(block, 1, 3, 300);
  block[counterAt("waits")]! += 4;
  for (const us of [3, 100, 1e6]) countBurst(block, us);
  const text = (await get("/metrics"))[1];
  for (const line of [
    'hafl_verdicts_total{verdict="forwarded"} 5',
    'hafl_worker_waits_total{worker="0"} 0',
    'hafl_worker_waits_total{worker="1"} 4',
    'hafl_host_packets_total{host="s2",direction="sent"} 3',
    'hafl_host_bytes_total{host="s2",direction="sent"} 300',
    'hafl_burst_duration_seconds_bucket{worker="1",le="0.000004"} 1',
    'hafl_burst_duration_seconds_bucket{worker="1",le="0.000064"} 1',
    'hafl_burst_duration_seconds_bucket{worker="1",le="0.000128"} 2',
    'hafl_burst_duration_seconds_bucket{worker="1",le="+Inf"} 3',
    'hafl_burst_duration_seconds_sum{worker="1"} 1.000103',
    'hafl_burst_duration_seconds_count{worker="1"} 3',
    "hafl_table_generation 1",
    'hafl_pool_hosts{pool="web"} 2',
    'hafl_more{of="a \\"b\\"\\n"} 7',
  ])
    assert.ok(text.includes(`\n${line}\n`), `${line} in ${text}`);
  countVerdict(block, FORWARDED, 1);
  assert.match((await get("/metrics"))[1], /^hafl_verdicts_total\{verdict="forwarded"\} 6$/m);
});

test("ready as long as nothing is wrong with the host; live all the time", async () => {
  assert.deepEqual(await get("/ready"), [200, "ready\n"]);
  board.problem("tun", "the device is gone");
  board.problem("store", "not heard for 90 s");
  board.service("web", { healthy: false, reason: "refused" });
  assert.deepEqual(await get("/ready"), [503, "tun: the device is gone\nstore: not heard for 90 s\n"]);
  assert.deepEqual(await get("/live"), [200, "live\n"]);
  const sick = (await get("/metrics"))[1];
  for (const line of ["hafl_fit 0", 'hafl_problem{source="tun"} 1', 'hafl_service_healthy{service="web"} 0'])
    assert.ok(sick.includes(`\n${line}\n`), line);
  board.problem("overload", "more than 95 % of the CPUs is used");
  for (const source of ["tun", "store"]) board.problem(source, null);
  board.service("web", null);
  assert.deepEqual(await get("/ready"), [200, "ready\n"], "too much to do, and nobody else has room");
  assert.match((await get("/metrics"))[1], /^hafl_fit 1$/m);
  board.relieve(true);
  assert.deepEqual(await get("/ready"), [503, "overload: more than 95 % of the CPUs is used\n"]);
  board.problem("overload", null);
  const well = (await get("/metrics"))[1];
  assert.ok(well.includes("\nhafl_fit 1\n") && !well.includes("hafl_problem{") && !well.includes("hafl_service_healthy{"));
  server.leaving();
  assert.deepEqual(await get("/ready"), [503, "the agent stops\n"]);
});

test("other paths and methods are refused", async () => {
  assert.equal((await get("/"))[0], 404);
  assert.equal((await get("/metrics", "POST"))[0], 405);
  assert.deepEqual(await get("/live", "HEAD"), [200, ""]);
});

test("another config: served elsewhere, or not at all", async () => {
  const before = await listening();
  server.changed(configOf(CONFIG.replace("127.0.0.1:0", '"[::1]:0"')));
  await until("the other place", () => lines.at(-1)!.msg.startsWith("metrics: http://[::1]:"));
  await assert.rejects(fetch(`${before}/live`));
  assert.match((await get("/metrics"))[1], /^hafl_config_applied_total 2$/m);
  const there = await listening();
  server.changed(configOf(CONFIG.replace(/metrics:.*/, "metrics: off")));
  await assert.rejects(fetch(`${there}/live`));
});

test("the place is taken: tried again until it is free", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as { port: number };
  const count = lines.length;
  server.changed(configOf(CONFIG.replace(":0", `:${port}`)));
  other.close();
  await until("the place", () => lines.length > count, 10_000);
  assert.equal(await listening(), `http://127.0.0.1:${port}`);
  assert.equal((await get("/live"))[0], 200);
});

test("a connection that the kernel has no descriptor for costs no more than that", async (t) => {
  const listen = t.mock.method(Server.prototype, "listen");
  const before = lines.length;
  server.changed(configOf(CONFIG));
  await until("the place", () => lines.length > before);
  const at = await listening();
  const one = listen.mock.calls[0]!.this as Server;
  const count = lines.length;
  for (let i = 0; i < 2; i++) one.emit("error", Object.assign(new Error("accept EMFILE"), { code: "EMFILE" }));
  assert.equal((await get("/live"))[0], 200);
  assert.deepEqual([lines.length, one.listening, listen.mock.callCount()], [count, true, 1]);
  server.changed(configOf(CONFIG.replace(/metrics:.*/, "metrics: off")));
  await assert.rejects(fetch(`${at}/live`));
});
