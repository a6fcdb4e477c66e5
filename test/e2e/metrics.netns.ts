/** Metrics of an agent on a host with one neighbour (support/one-host.ts), asked for as Prometheus does. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { AgentProcess } from "../support/agent.ts";
import { CONFIG, onNeighbour, prepared, unharmed, useOneHost } from "../support/one-host.ts";
import { promtool, promtoolObstacle } from "../support/promtool.ts";
import { logsAgain, serves, stopped, takenOver } from "../support/takeovers.ts";

useOneHost();

const AT = "http://127.0.0.1:9608";
const metrics = async (at = AT): Promise<string> => await (await fetch(`${at}/metrics`)).text();

/** The value of a metric, as it is written with its labels; those that are not there are 0. */
const value = (text: string, name: string): number => {
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
};

const WITH_ALL = CONFIG.replace(
  "table:",
  `egress: [{ ip: 198.51.100.1, owners: { s1: [1] } }]\ndrop: [{ name: ntp, match: "udp src port 123" }]\ntable:`,
);

for (const mode of ["af-packet", "tun"]) {
  test(`${mode}: valid, and they count what happens`, { skip: promtoolObstacle }, () =>
    unharmed(async () => {
      const agent = new AgentProcess(prepared(WITH_ALL.replace("af-packet", mode)).args);
      await agent.logged(/^metrics: http:\/\/127\.0\.0\.1:9608\/metrics$/);
      const before = await metrics();
      await serves();
      const after = await metrics();
      for (const text of [before, after]) {
        assert.match(text, /^hafl_info\{/m);
        assert.deepEqual(promtool(text), []);
      }
      const bursts = [0, 1].map((i) => `hafl_burst_duration_seconds_count{worker="${i}"}`);
      const sum = (text: string, names: readonly string[]): number => names.reduce((total, name) => total + value(text, name), 0);
      assert.ok(sum(after, bursts) > sum(before, bursts), "bursts");
      const received = [0, 1].map((i) => `hafl_worker_uplink_packets_total{worker="${i}"}`);
      // Two requests: each at least a SYN, an ACK, the request, and a FIN.
      for (const names of [received, ['hafl_verdicts_total{verdict="delivered"}'], ['hafl_service_packets_total{service="web"}']])
        assert.ok(sum(after, names) - sum(before, names) >= 8, `${names}: ${sum(before, names)}, ${sum(after, names)}`);
      assert.equal(value(after, 'hafl_egress_slice_ports{ip="198.51.100.1",slice="1"}'), 2048);
      assert.equal(value(after, 'hafl_pool_hosts{pool="web"}'), 1);
      await stopped(agent);
    }),
  );
}

test("a mistake in them would be found", { skip: promtoolObstacle }, () => {
  assert.notDeepEqual(promtool("# TYPE hafl_packets counter\nhafl_packets 1\n"), []);
});

test("nobody else reaches them, whoever takes over serves them", () =>
  unharmed(async () => {
    const { args } = prepared();
    const agent = new AgentProcess(args);
    await agent.logged(/^metrics: /);
    const ask = "fetch(process.argv[1]).then(() => console.log('answered'), (e) => console.log(e.cause.code))";
    const [command, ...rest] = onNeighbour([process.execPath, "-e", ask, "http://10.9.9.1:9608/metrics"]);
    assert.equal(execFileSync(command!, rest, { encoding: "utf8" }).trim(), "ECONNREFUSED");
    const next = await takenOver(args, agent);
    await next.logged(/^metrics: /);
    assert.equal((await fetch(`${AT}/ready`)).status, 200);
    assert.match(await metrics(), /^hafl_fit 1$/m);
    await stopped(next);
    assert.deepEqual(
      [...agent.messages, ...next.messages].filter(({ level }) => level !== "info"),
      [],
    );
  }));

test("the port is another program's: one warning; served as soon as it is free, and elsewhere on demand", () =>
  unharmed(async () => {
    const other = createServer().listen(9608, "127.0.0.1");
    await once(other, "listening");
    const agent = new AgentProcess(prepared().args);
    await agent.logged(
      /^metrics are not served at 127\.0\.0\.1:9608: in use by another program \(two agents on a machine: --metrics\)$/,
    );
    other.close();
    await logsAgain(agent, /^metrics: http:\/\/127\.0\.0\.1:9608\/metrics$/, 0);
    assert.equal((await fetch(`${AT}/live`)).status, 200);
    assert.equal(agent.messages.filter(({ level }) => level !== "info").length, 1);
    await stopped(agent);
    const elsewhere = new AgentProcess([...prepared().args, "--metrics", "0"]);
    const [at] = /http:\/\/127\.0\.0\.1:\d+/.exec(await elsewhere.logged(/^metrics: http/))!;
    assert.match(await metrics(at), /^hafl_info/m);
    await stopped(elsewhere);
    const silent = new AgentProcess([...prepared().args, "--metrics", "off"]);
    await silent.logged(/^ready/);
    await assert.rejects(fetch(`${AT}/live`));
    await stopped(silent);
  }));
