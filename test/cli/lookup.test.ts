/** `hafl lookup` in the files of an agent, and what it prints. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createLookup, liveLookup } from "../../src/cli/lookup.ts";
import { explain } from "../../src/cli/lookup-text.ts";
import { replayRules } from "../../src/control/drop-rules.ts";
import { readLiveTables } from "../../src/control/live-tables.ts";
import { Publisher } from "../../src/control/publish.ts";
import { native } from "../../src/io/native.ts";
import { limitsPath, writeRules } from "../../src/io/rule-files.ts";
import { flowsPath, historyPath, mapRegion, synsPath } from "../../src/io/runtime-files.ts";
import { craftPacket } from "../../src/replay/craft.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { BUCKETS_BYTES, BUCKETS_LAYOUT } from "../../src/shm/bucket-layout.ts";
import { flowTableBytes, rememberFlow, viewFlows } from "../../src/shm/flow-table.ts";
import { rememberSyn, SYNS_BYTES, viewSyns } from "../../src/shm/syn-memory.ts";
import { type Flow, parseFlow } from "../../src/steering/flow.ts";
import { parsePrefix } from "../../src/wire/address.ts";
import { SYN } from "../../src/wire/tcp.ts";
import { hafl } from "../support/command.ts";
import { CONFIG, configOf, HOST } from "../support/fixture.ts";
import { libpcapObstacle } from "../support/libpcap.ts";

const FLOW = "tcp 198.51.100.7:1234 > 192.0.2.10:80";
/** Seconds. */
const NOW = 1_700_000_000;
const MTU = 1500;

function flowOf(text: string): Flow {
  const flow = parseFlow(text);
  assert.ok(typeof flow !== "string");
  return flow;
}

function directory(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "hafl-lookup-"));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** A pool of s1, s2 and s3 whose members change, and nothing else. */
const pooled = (pool: string, more = ""): string => `cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts: [{ name: s1, dip: 10.0.1.11 }, { name: s2, dip: 10.0.1.12 }, { name: s3, dip: 10.0.1.13 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: [80] }, pool: ${pool} }]
table: { size: 1009, drainSeconds: 60 }
${more}`;

/** The words that a flow is known by. */
function hashOf(dir: string, flow: Flow): { hash: number; hash2: number; hosts: ReadonlyMap<string, number> } {
  const { tables, names } = readLiveTables(dir);
  const host = new OfflineHost(tables, "director");
  host.take(craftPacket(flow));
  const { hash, hash2 } = host.context.parsed;
  return { hash, hash2, hosts: new Map([...names.hosts].map(([id, name]) => [name, id])) };
}

const flowsIn = (dir: string) => viewFlows(native().mapFile(flowsPath(dir), flowTableBytes(1000), false), 10);

test("a look-up in an agent's files says what its flow table knows", (t) => {
  const dir = directory(t);
  Publisher.open(dir, 1, 1000).publish(configOf(CONFIG), HOST, MTU);
  const flow = flowOf(FLOW);
  const { hash, hash2, hosts } = hashOf(dir, flow);
  const flows = flowsIn(dir);
  const ask = (flags?: number) => {
    const shape = flags === undefined ? {} : { flags };
    const { chain, entry, host, verdict, hops, sent } = liveLookup(dir, (NOW + 5) * 1000)(flow, shape);
    return { chain, entry, host, verdict, why: hops[0]?.why, further: sent?.furtherHops };
  };
  const unknown = { chain: ["s2"], entry: null, host: "s2", verdict: "forwarded", why: "newest owner", further: [] };
  assert.deepEqual(ask(), unknown);
  rememberFlow(flows, hash, hash2, hosts.get("s3")!, false, NOW);
  const guess = { host: "s3", certain: false, idleSeconds: 5 };
  const led = { chain: ["s3", "s2"], entry: guess, host: "s3", verdict: "forwarded", why: "flow table", further: ["s2"] };
  assert.deepEqual(ask(), led);
  assert.deepEqual(ask(SYN), { ...unknown, entry: guess }, "a SYN begins a flow of its own");
  assert.deepEqual(ask(), led, "nothing was touched");
  rememberFlow(flows, hash, hash2, hosts.get("s1")!, true, NOW);
  const certain = { host: "s1", certain: true, idleSeconds: 5 };
  const own = { chain: ["s1"], entry: certain, host: "s1", verdict: "delivered", why: "flow table", further: undefined };
  assert.deepEqual(ask(), own);
  assert.deepEqual(ask(SYN).chain, ["s1", "s2"], "a SYN that is sent again goes where it went before");
});

test("directors that use no flow table do not follow what it says", (t) => {
  const dir = directory(t);
  Publisher.open(dir, 1, 1000).publish(configOf(`${CONFIG}flowTable: off\n`), HOST, MTU);
  const flow = flowOf(FLOW);
  const { hash, hash2, hosts } = hashOf(dir, flow);
  rememberFlow(flowsIn(dir), hash, hash2, hosts.get("s3")!, true, NOW);
  const { chain, entry, why } = liveLookup(dir, NOW * 1000)(flow);
  assert.deepEqual([chain, entry?.host], [["s2"], "s3"]);
  assert.match(why, /^bucket \d+ of service web belongs to s2$/);
});

test("hops have the generation they are owners by, as the agent's history has it", (t) => {
  const dir = directory(t);
  const publisher = Publisher.open(dir, 1, 1000);
  const pools = ["[s1, s2, s3]", "[s1, s3]", "{ s1: 1, s3: 3 }"];
  pools.forEach((pool, i) => {
    publisher.publish(configOf(pooled(pool)), "s1", new Map([["s3", 1400]]), (NOW + 10 * i) * 1000);
  });
  const time = (seconds: number): string => new Date((NOW + seconds) * 1000).toISOString();
  const seen = new Map<string, string>();
  const lookup = liveLookup(dir, (NOW + 30) * 1000, (NOW + 30) * 1000);
  for (let port = 1024; port < 2500; port++) {
    const { hops, chain } = lookup(flowOf(`tcp 198.51.100.7:${port} > 192.0.2.10:80`));
    assert.deepEqual(
      hops.map(({ host }) => host),
      chain,
    );
    for (const { host, generation, since, age, why, until, mtu } of hops) {
      seen.set(`${host} by ${generation}`, JSON.stringify([since, age, why, until, mtu]));
    }
  }
  assert.deepEqual(Object.fromEntries([...seen].sort()), {
    "s1 by 1": JSON.stringify([time(0), 30, "earlier owner, stays", null, null]),
    "s1 by 2": JSON.stringify([time(10), 20, "earlier owner, stays", null, null]),
    "s1 by 3": JSON.stringify([time(20), 10, "newest owner", null, null]),
    "s2 by 1": JSON.stringify([time(0), 30, "earlier owner, drains", time(70), 1500]),
    "s3 by 3": JSON.stringify([time(20), 10, "newest owner", null, 1400]),
  });
  // An agent of an earlier version has left the history alone.
  const { tables: _, ...history } = JSON.parse(readFileSync(historyPath(dir), "utf8"));
  writeFileSync(historyPath(dir), JSON.stringify(history));
  const { hops, verdict } = liveLookup(dir)(flowOf(FLOW));
  assert.ok(hops.length > 0 && hops.every(({ generation, since, why }) => generation === null && since === null && why === null));
  assert.notEqual(verdict, "no_host");
});

test("an agent's drop rules: who drops, and a limit as far as it is used up", { skip: libpcapObstacle }, (t) => {
  const dir = directory(t);
  const config = configOf(`${CONFIG}drop:
  - { name: gone, match: "tcp src port 9", sample: 100 }
  - { name: syn, match: "tcp[tcpflags] = tcp-syn", limit: { pps: 3, per: /24 } }
`);
  Publisher.open(dir, 1, 1000).publish(config, HOST, MTU);
  const rules = replayRules(config, "c.yaml").map((rule, i) => ({ ...rule, slot: 7 + i, inKernel: rule.limit === null }));
  writeRules(dir, { rules, slots: [...Array(7).fill("old"), "gone", "syn"] });
  const ask = (text: string, shape = {}) => {
    const { drop, verdict } = liveLookup(dir, NOW * 1000)(flowOf(text), shape);
    return { drop, verdict };
  };
  assert.deepEqual(ask("tcp 198.51.100.7:9 > 192.0.2.10:80"), {
    drop: { rule: "gone", passes: false, limit: null, sample: 100, inKernel: true },
    verdict: "drop_rule",
  });
  assert.deepEqual(ask(FLOW), { drop: null, verdict: "forwarded" });
  const limit = { pps: 3, bps: null, prefix4: 24, prefix6: 48 };
  const limited = (passes: boolean) => ({ rule: "syn", passes, limit, sample: null, inKernel: false });
  for (let i = 0; i < 5; i++) assert.deepEqual(ask(FLOW, { flags: SYN }), { drop: limited(true), verdict: "forwarded" });

  const limits = mapRegion(limitsPath(dir), BUCKETS_BYTES, BUCKETS_LAYOUT).buffer;
  const host = new OfflineHost(readLiveTables(dir).tables, "director", { drop: rules, limits });
  host.now = NOW * 1000;
  for (let i = 0; i < 3; i++) host.take(craftPacket(flowOf(FLOW), { flags: SYN }));
  assert.deepEqual(ask(FLOW, { flags: SYN }), { drop: limited(false), verdict: "rate_limited" });
  assert.equal(ask("tcp 198.51.101.7:1234 > 192.0.2.10:80", { flags: SYN }).verdict, "forwarded");
});

test("the host itself is first hop: what its SYN memory knows makes an ACK its own", (t) => {
  const dir = directory(t);
  const publisher = Publisher.open(dir, 1, 1000);
  for (const [i, pool] of ["[s2, s3]", "[s1]"].entries()) publisher.publish(configOf(pooled(pool)), "s1", MTU, (NOW + i) * 1000);
  const flow = flowOf(FLOW);
  const ask = () => {
    const { chain, host, verdict, socket, sent } = liveLookup(dir, (NOW + 5) * 1000)(flow);
    assert.deepEqual([host, chain.length, socket], ["s1", 2, "not asked"]);
    return { verdict, onward: sent?.to === chain[1] };
  };
  assert.deepEqual(ask(), { verdict: "forwarded", onward: true });
  const syns = viewSyns(native().mapFile(synsPath(dir), SYNS_BYTES, false));
  const { hash, hash2 } = hashOf(dir, flow);
  rememberSyn(syns, hash, hash2, NOW);
  assert.deepEqual(ask(), { verdict: "delivered", onward: false });
});

test("the host itself is first hop: its kernel is asked for a socket", async (t) => {
  const dir = directory(t);
  const publisher = Publisher.open(dir, 1, 1000);
  for (const [i, pool] of ["[s2, s3]", "[s1]"].entries()) {
    // A config is told that no client reaches such a VIP; this one does.
    const config = configOf(pooled(pool).replace("[80]", "any"));
    const services = config.services.map((service) => ({ ...service, vips: [parsePrefix("127.9.0.10")!] }));
    publisher.publish({ ...config, services }, "s1", MTU, (NOW + i) * 1000);
  }
  const server = createServer().listen(0, "127.9.0.10");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = connect({ host: "127.9.0.10", port, localAddress: "127.0.0.1" });
  await Promise.all([once(client, "connect"), once(server, "connection")]);
  t.after(() => client.destroy());
  const ask = (source: number) => {
    const { socket, verdict } = liveLookup(dir, (NOW + 5) * 1000)(flowOf(`tcp 127.0.0.1:${source} > 127.9.0.10:${port}`));
    return { socket, verdict };
  };
  assert.deepEqual(ask(client.localPort!), { socket: "not asked", verdict: "forwarded" }, "nobody says that this is its host");
  writeFileSync(join(dir, "instance.json"), JSON.stringify({ pid: process.pid }));
  assert.deepEqual(ask(client.localPort!), { socket: "found", verdict: "delivered" });
  assert.deepEqual(ask(port), { socket: "none", verdict: "forwarded" });
});

test("for people: a line for each step, in the order a packet meets them", { skip: libpcapObstacle }, async (t) => {
  const dir = directory(t);
  const file = join(dir, "config.yaml");
  const text = pooled("[s1, s2]", 'drop: [{ name: ntp, match: "udp src port 123" }]\n').replace(
    "s2, dip",
    "s2, state: draining, dip",
  );
  writeFileSync(file, text);
  const lines = async (...args: string[]): Promise<string[]> => {
    const { code, stdout, stderr } = await hafl("lookup", "--config", file, ...args);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.ok(stdout.endsWith("\n"));
    return stdout.trimEnd().split("\n");
  };
  const head = (line: string): string => line.slice(0, 10).trimEnd();
  let port = 1024;
  const json = async (): Promise<{ chain: string[] }> => {
    const { stdout } = await hafl("lookup", "--config", file, "--json", "--flow", `tcp 198.51.100.7:${port} > 192.0.2.10:80`);
    return JSON.parse(stdout);
  };
  while ((await json()).chain.length < 2) port++;
  const told = await lines("--mtu", "1600", "--host", "s3", "--flow", `tcp 198.51.100.7:${port} > 192.0.2.10:80`);
  assert.deepEqual(told.map(head), [
    "flow",
    "asked",
    "packet",
    "drop rule",
    "service",
    "flow table",
    "bucket",
    "chain",
    "  hop 1",
    "  hop 2",
    "host",
    "sent",
    "path MTU",
    "verdict",
  ]);
  const value = (name: string): string => told.find((line) => head(line) === name)!.slice(11);
  assert.equal(value("asked"), `s3, in a cluster that starts now with ${file}`);
  assert.equal(value("packet"), "TCP ACK, 40 bytes, from the router");
  assert.equal(value("drop rule"), "none of 1 matches");
  assert.match(value("  hop 1"), /^s1: newest owner, generation 2 since [-\d]+ [:\d]+ UTC \(\d s\), path MTU 1600$/);
  assert.match(value("  hop 2"), /^s2: earlier owner, until [-\d]+ [:\d]+ UTC, generation 1 since .*, path MTU 1600$/);
  assert.match(value("sent"), /^to s1 in GUE from UDP port \d+, further hop s2$/);
  assert.equal(value("path MTU"), "1600 bytes to s1, 40 bytes of headers: 1560 for the largest inner packet");
  assert.match(value("verdict"), /^forwarded \(bucket \d+ of service web belongs to s1\)$/);

  const dropped = await lines("--flow", "udp 198.51.100.7:123 > 192.0.2.10:80");
  assert.ok(dropped.includes("drop rule  ntp drops it"));
  assert.deepEqual(dropped.map(head), ["flow", "asked", "packet", "drop rule", "service", "host", "sent", "verdict"]);
});

test("the bucket is told with what it was chosen by, unless that is the whole flow", () => {
  const services = `  - { name: to, vips: [192.0.2.60], ports: any, hash: destination-port }
  - { name: all, vips: [192.0.2.61], ports: any }
`;
  const base = "cluster: t\nseed: 000102030405060708090a0b0c0d0e0f\nhosts:\n  - { name: s1, dip: 10.0.1.11 }\nservices:\n";
  const lookup = createLookup(configOf(`${base}${services}`));
  const bucketLine = (flow: string): string => {
    const parsed = flowOf(flow);
    return explain(parsed, lookup(parsed), "here").match(/^bucket +(.*)$/m)![1]!;
  };
  const [a, b] = ["tcp 198.51.100.7:1 > 192.0.2.60:5060", "udp 203.0.113.1:9 > 192.0.2.60:5060"].map(bucketLine);
  assert.match(a!, /^\d+, by hash: destination-port$/);
  assert.equal(a, b);
  assert.match(bucketLine("tcp 198.51.100.7:1 > 192.0.2.61:5060"), /^\d+$/);
  assert.equal(lookup(flowOf("tcp 198.51.100.7:1 > 192.0.2.60:5060")).hash, "destination-port");
});

test("scripts read what they always read", async (t) => {
  const dir = directory(t);
  const file = join(dir, "config.yaml");
  writeFileSync(file, CONFIG);
  const { stdout } = await hafl("lookup", "--config", file, "--flow", FLOW, "--json");
  const { service, bucket, chain, host, verdict } = JSON.parse(stdout);
  assert.deepEqual([service, Number.isInteger(bucket), chain, host, verdict], ["web", true, ["s2"], "s2", "forwarded"]);
});

test("wrong usage is one line that says what to write instead", async (t) => {
  const dir = directory(t);
  const config = join(dir, "config.yaml");
  writeFileSync(config, CONFIG);
  const udp = "udp 198.51.100.7:1 > 192.0.2.10:53";
  const wrong: [string[], RegExp][] = [
    [["--flow", FLOW], /either --config or a running agent/],
    [["--flow", FLOW, "--config", config, "--instance", "x"], /either --config or a running agent/],
    [["--flow", FLOW, "--runtime-dir", dir, "--host", "s1"], /--host and --mtu go with --config/],
    [["--flow", FLOW, "--config", config, "--host", "s9"], /no host 's9' for --host \(there are s1, s2, s3\)/],
    [["--flow", FLOW, "--config", config, "--mtu", "9"], /from 576 to 65535/],
    [["--flow", FLOW, "--config", config, "--flags", "sin"], /one or more of fin, syn/],
    [["--flow", udp, "--config", config, "--flags", "syn"], /--flags: a udp packet has none/],
    [["--flow", udp, "--config", config, "--payload", "4"], /hex digits/],
    [["--flow", udp, "--config", config, "--payload", "0x4000", "--length", "29"], /--length: 29 is not from 30 to 65535/],
    [["--flow", udp, "--config", config, "--length", "much"], /from 1 to 65535/],
  ];
  for (const [args, line] of wrong) {
    const { code, stdout, stderr } = await hafl("lookup", ...args);
    assert.deepEqual([code, stdout, stderr.split("\n").length], [2, "", 2], stderr);
    assert.match(stderr, line);
  }
  const missing = await hafl("lookup", "--flow", FLOW, "--runtime-dir", dir);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /no agent's tables can be read here/);
});
