/**
 * An agent that follows a real etcd, on a host with one neighbour (support/one-host.ts). Whatever is put into the store, its data plane
 * goes on with the last good state, and its report says what is wrong.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { EtcdStore } from "../../src/store/etcd-store.ts";
import { clusterKeys } from "../../src/store/keys.ts";
import { type HostReport, MAX_WANTED_BYTES, readRecord, writeRecord } from "../../src/store/records.ts";
import { AgentProcess, MAIN, runToEnd } from "../support/agent.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { answering, DIPS, onNeighbour, prepared, unharmed, useOneHost, VIPS } from "../support/one-host.ts";
import { until } from "../support/store-contract.ts";

useOneHost();

const KEYS = clusterKeys("test");
const GENERATIONS = KEYS.generations("web");
const WANTED = `hosts:
  - { name: s1, dip: [10.9.9.1, "fd09::1"] }
services:
  - name: web
    vips: [192.0.2.10, "2001:db8::10"]
    ports: { tcp: [8080] }
table: { size: 1009 }
conductor: { candidates: [] }
`;
const local = (endpoint: string): string => `cluster: test
seed: 0123456789abcdef0123456789abcdef
io: { mode: af-packet, uplink: up0, workers: 2 }
metrics: off
store: { kind: etcd, endpoints: ["${endpoint}"] }
`;

interface Stand {
  readonly etcd: TestEtcd;
  readonly args: string[];
  readonly file: string;
  readonly runtime: string;
  put(key: string, value: string | null): Promise<void>;
  want(change: number, config?: string): Promise<void>;
  report(): Promise<HostReport | null>;
}

const wantedText = (change: number, config = WANTED): string =>
  writeRecord("wanted", { change, who: "t", when: change, why: "", config });
const generationsText = (serial: number, change: number, host = "s1"): string =>
  writeRecord("generations", {
    service: "web",
    serial,
    change,
    by: "t",
    why: "",
    generations: [{ id: serial, time: 0, hosts: [{ name: host, weight: 1 }] }],
  });

async function stand(t: TestContext): Promise<Stand> {
  const etcd = await startEtcd(t);
  const plain = { tls: { ca: null, cert: null, key: null }, user: null, passwordFile: null };
  const store = new EtcdStore({ ...plain, endpoints: [etcd.endpoint] });
  t.after(() => store.close());
  const { file, runtime, args } = prepared(local(etcd.endpoint));
  const put = async (key: string, value: string | null): Promise<void> => {
    assert.ok((await store.commit([], [{ key, value }])).done);
  };
  return {
    etcd,
    file,
    runtime,
    args,
    put,
    want: (change, config) => put(KEYS.wanted, wantedText(change, config)),
    async report() {
      const { entries } = await store.read(KEYS.host("s1"));
      if (entries.length === 0) return null;
      const read = readRecord("hostReport", KEYS.host("s1"), entries[0]!.value);
      assert.ok("record" in read, JSON.stringify(read));
      return read.record;
    },
  };
}

/** A connection of the neighbour to the VIP, with a request on it every 20 ms. `end` tells how many were answered; null: it broke. */
function connection(t: TestContext): { end(): Promise<number | null> } {
  const program = `
    const socket = require("node:net").connect(8080, "192.0.2.10");
    let asked = 0, answered = 0, over = false;
    const broke = () => { if (!over) { console.log("null"); process.exit(); } };
    socket.on("error", broke); socket.on("close", broke);
    socket.on("data", (bytes) => { answered += bytes.toString("latin1").split("HTTP/1.1 200").length - 1; });
    setInterval(() => { if (asked - answered < 100) { asked++; socket.write("GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"); } }, 20);
    process.on("SIGTERM", () => { over = true; console.log(answered); process.exit(); });`;
  const [command, ...args] = onNeighbour([process.execPath, "-e", program]);
  const child = spawn(command!, args, { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  return {
    async end() {
      child.kill("SIGTERM");
      await until("its word", () => text !== "");
      return JSON.parse(text) as number | null;
    },
  };
}

/** Has an agent run that has applied what is in the store. */
async function running(args: readonly string[], { report }: Stand, change: number): Promise<AgentProcess> {
  const agent = new AgentProcess(args);
  await agent.logged(/^ready/);
  await until(`change ${change} in its report`, async () => (await report())?.change === change);
  return agent;
}

async function end(agent: AgentProcess): Promise<void> {
  agent.signal("SIGTERM");
  assert.equal(await agent.ended(), 0);
}

/** What is put where, and what is said of it. */
const BAD: [what: string, key: string, value: (change: number) => string | null, said: RegExp][] = [
  ["broken YAML", KEYS.wanted, (n) => wantedText(n, "hosts: ["), /^\/hafl\/test\/wanted:\d+:\d+: not YAML: /],
  [
    "an unknown host",
    KEYS.wanted,
    (n) => wantedText(n, WANTED.replace("ports:", "pool: [s7]\n    ports:")),
    /^\/hafl\/test\/wanted: services\[0\]\.pool\[0\]: .*s7/,
  ],
  [
    "a drop rule that does not compile",
    KEYS.wanted,
    (n) => wantedText(n, `${WANTED}drop: [{ name: d, match: "udp and frobnicate" }]\n`),
    /^\/hafl\/test\/wanted: drop\[0\]/,
  ],
  [
    "a part that is the host's own",
    KEYS.wanted,
    (n) => wantedText(n, `${WANTED}cluster: other\n`),
    /cluster: belongs into the file/,
  ],
  [
    "too much",
    KEYS.wanted,
    (n) => wantedText(n, `${WANTED}# ${"x".repeat(MAX_WANTED_BYTES)}`),
    /^\/hafl\/test\/wanted: \d+ bytes, more than the 1048576/,
  ],
  [
    "another format",
    KEYS.wanted,
    (n) => wantedText(n).replace('"format":1', '"format":2'),
    /format 2, this version of hafl reads format 1/,
  ],
  ["half a record", KEYS.wanted, (n) => wantedText(n).slice(0, 80), /^\/hafl\/test\/wanted: not JSON: /],
  ["an older change", KEYS.wanted, () => wantedText(1), /change 1, but here \d+ counts already/],
  ["nothing", KEYS.wanted, () => null, /is not there any more/],
  ["this host taken out", KEYS.wanted, (n) => wantedText(n, WANTED.replace("s1", "s2")), /this host, "s1", is missing/],
  ["a table of another size", KEYS.wanted, (n) => wantedText(n, WANTED.replace("1009", "2003")), /table\.size: cannot change/],
  ["half of generations", GENERATIONS, () => '{"format":1,"service":"web","ser', /generations\/web: not JSON/],
  ["generations of another format", GENERATIONS, () => '{"format":7}', /generations\/web: format 7/],
  ["generations with an unknown host", GENERATIONS, (n) => generationsText(99, n - 1, "s7"), /there is no host "s7"/],
  ["older generations", GENERATIONS, () => generationsText(1, 1), /serial 1, but here 5 counts already/],
];

test("bad content never reaches the data plane; the log names it once, and the report as long as it is there", (t) =>
  unharmed(async () => {
    const all = await stand(t);
    const { args, put, want, report } = all;
    let change = 2;
    await want(change);
    await put(GENERATIONS, generationsText(5, 1));
    const agent = await running(args, all, change);
    const { generation, ...first } = (await report())!;
    assert.deepEqual([first.refused, first.serials, first.host, first.problems], [null, { web: 5 }, "s1", {}]);
    const client = connection(t);
    for (const [what, key, value, said] of BAD) {
      await put(key, value(change + 1));
      await until(`the report on ${what}`, async () => said.test((await report())?.refused ?? ""));
      const now = (await report())!;
      assert.deepEqual([now.change, now.generation, now.serials], [change, generation, { web: 5 }], what);
      const lines = agent.messages.filter(({ level, msg }) => level === "error" && /refused/.test(msg)).map(({ msg }) => msg);
      assert.equal(
        lines.filter((msg) => said.test(msg.replace(/^[^:]*refused[^:]*: /, ""))).length,
        1,
        `${what}: ${lines.join("\n")}`,
      );
      assert.deepEqual(await answering([...VIPS, ...DIPS]), [...VIPS, ...DIPS], what);
      // As it was; where that is a change back by now, a newer one, as an operator would make it: nothing is refused any more.
      await put(key, key === KEYS.wanted ? wantedText(change) : generationsText(5, 1));
      if (key === KEYS.wanted) {
        change += 2;
        await want(change, `${WANTED}# ${what}\n`);
      }
      await until(`${what} put right`, async () => (await report())?.refused === null && (await report())?.change === change);
    }
    const answered = await client.end();
    assert.ok(answered !== null && answered > 100, `answered: ${answered}`);
    await end(agent);
    assert.equal(await report(), null, "the report goes with the agent");
  }));

test("etcd away: the agent serves, and one that is started meanwhile serves as well, by what counted last", (t) =>
  unharmed(async () => {
    const all = await stand(t);
    const { etcd, args, runtime, want, report } = all;
    await want(1);
    const agent = await running(args, all, 1);
    await etcd.kill();
    await agent.logged(/^the store is away, all goes on as it is/);
    assert.deepEqual(await answering([...VIPS, ...DIPS]), [...VIPS, ...DIPS]);
    await end(agent);
    const text = readFileSync(join(runtime, "last-good.json"), "utf8");
    assert.ok(!text.includes("0123456789abcdef"), "the seed is not in it");
    const next = new AgentProcess(args);
    await next.logged(/^the store is away: starting with change 1, which counted here last/);
    await next.logged(/^ready/);
    assert.deepEqual(await answering([...VIPS, ...DIPS]), [...VIPS, ...DIPS]);
    await etcd.start();
    await want(2, WANTED.replace("2001:db8::10", "2001:db8::11"));
    await until("change 2", async () => (await report())?.change === 2, 20_000);
    assert.deepEqual(await answering(VIPS), VIPS.slice(0, 1));
    await end(next);
  }));

test("an agent that finds no good content, and nothing on its disk, says what is wrong and starts nothing", (t) =>
  unharmed(async () => {
    const { args, file, want, etcd } = await stand(t);
    const nothing = await runToEnd(args);
    assert.deepEqual([nothing.code, nothing.lines.length], [1, 1], nothing.lines.join("\n"));
    assert.match(nothing.lines[0]!, /^\/hafl\/test\/wanted: there is nothing \(put it there with `hafl apply FILE`\)$/);
    await want(1, WANTED.replace("8080", "80800"));
    const bad = await runToEnd(args);
    assert.equal(bad.code, 2);
    assert.match(bad.lines.at(-1)!, /^\/hafl\/test\/wanted: services\[0\]\.ports\.tcp\[0\]: /);
    writeFileSync(file, `${local(etcd.endpoint)}${WANTED}`);
    const twice = await runToEnd(args);
    assert.equal(twice.code, 2);
    assert.match(twice.lines[0]!, /: hosts: is kept in the store \(take it out here; `hafl apply FILE` puts it there\)$/);
  }));

test("commands that read a config take what is wanted from the store, or say why not", (t) =>
  unharmed(async () => {
    const { args, file, want, etcd } = await stand(t);
    const said = (...command: string[]): { code: number; out: string; err: string } => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...command], { encoding: "utf8" });
      return { code: status ?? -1, out: stdout, err: stderr };
    };
    const lookup = ["lookup", "--config", file, "--flow", "tcp 198.51.100.7:1234 > 192.0.2.10:8080", "--json"];
    const empty = said("check", file);
    assert.deepEqual([empty.code, empty.out], [0, `${file}: good, as far as it goes: this host's own parts\n`]);
    assert.match(empty.err, /: warning: not checked: \/hafl\/test\/wanted: there is nothing \(put it there with/);
    assert.match(said(...lookup).err, /^\/hafl\/test\/wanted: there is nothing/);

    await want(4);
    const good = said("check", file);
    assert.deepEqual(
      [good.code, good.out, good.err],
      [0, `${file}: good: cluster test, hosts: 1, services: 1, with change 4 in ${etcd.endpoint}\n`, ""],
    );
    assert.match(said("check", file, "--effective").out, /size: 1009\n/);
    assert.equal(JSON.parse(said(...lookup).out).host, "s1");
    assert.match(said(...args, "--dry-run").out, /^ip tuntap add dev hafl-s1 /);

    await want(5, WANTED.replace("192.0.2.10", "10.9.9.1"));
    const bad = said("check", file);
    assert.deepEqual([bad.code, bad.out], [2, ""]);
    assert.match(bad.err, /^\/hafl\/test\/wanted: services\[0\]\.vips\[0\]: 10\.9\.9\.1 is the DIP/);

    await etcd.kill();
    assert.equal(said("check", file).code, 0);
    for (const command of [["check", file, "--effective"], lookup]) {
      const away = said(...command);
      assert.deepEqual([away.code, away.out], [1, ""]);
      assert.match(away.err, /^store http:\S+: .*\(see `store` in \S+\)\n$/);
    }
  }));

test("an agent ends within a few seconds while the store hangs, also one that conducts", async (t) => {
  const stood = await stand(t);
  await stood.want(1, WANTED.replace("candidates: []", "candidates: [s1]"));
  const agent = await running(stood.args, stood, 1);
  await agent.logged(/^elected/);
  stood.etcd.pause();
  await agent.logged(/^the store is away|store does not/);
  const begun = performance.now();
  agent.signal("SIGTERM");
  assert.equal(await agent.ended(), 0);
  const seconds = (performance.now() - begun) / 1000;
  assert.ok(seconds < 8, `${seconds} s`);
  t.diagnostic(`${seconds.toFixed(1)} s`);
});
