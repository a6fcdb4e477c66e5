/** Commands that read and change what is wanted: the same with the file of a host as its store, and with etcd. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { EtcdStore } from "../../src/store/etcd-store.ts";
import { type ClusterKeys, clusterKeys } from "../../src/store/keys.ts";
import { type HostReport, type RecordOf, writeRecord } from "../../src/store/records.ts";
import type { Store } from "../../src/store/store.ts";
import { hafl, type Outcome } from "../support/command.ts";
import { startEtcd } from "../support/etcd.ts";

const LOCAL = "cluster: lab\nseed: 0123456789abcdef0123456789abcdef\n";
const SHARED = `# the machines
hosts:
  - {name: s1,   dip: 10.0.1.11}   # first
  - { name: s2, dip: 10.0.1.12 }
services:
  - { name: web, vips: [192.0.2.10], ports: { tcp: [80] } }
table: { size: 1009, drainSeconds: 60 }
`;

interface World {
  /** Path of this host's config. */
  readonly config: string;
  /** Writes a file and gives its path. */
  file(name: string, text: string): string;
  /** Runs a command on this host. */
  run(...args: string[]): Promise<Outcome>;
  /** The wanted parts as they are stored. */
  wanted(): Promise<string>;
}

function place(t: TestContext): { dir: string; file: World["file"] } {
  const dir = mkdtempSync(join(tmpdir(), "hafl-wanted-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  return { dir, file };
}

function inWorld(config: string, file: World["file"]): World {
  const run = (...args: string[]): Promise<Outcome> => hafl(...args, "--config", config);
  return { config, file, run, wanted: async () => (await run("show")).stdout };
}

async function fileWorld(t: TestContext): Promise<World> {
  const { file } = place(t);
  return inWorld(file("c.yaml", LOCAL + SHARED), file);
}

async function etcdWorld(t: TestContext): Promise<World & { store: Store; keys: ClusterKeys }> {
  const { endpoint } = await startEtcd(t);
  const { file } = place(t);
  const world = inWorld(file("c.yaml", `${LOCAL}store: { kind: etcd, endpoints: ["${endpoint}"] }\n`), file);
  const store = new EtcdStore({
    endpoints: [endpoint],
    tls: { ca: null, cert: null, key: null },
    user: null,
    passwordFile: null,
  });
  t.after(() => store.close());
  const { code, stderr } = await world.run("apply", file("first.yaml", SHARED), "-m", "the first");
  assert.deepEqual([code, stderr], [0, ""]);
  return { ...world, store, keys: clusterKeys("lab") };
}

/** What `run` printed, of a command that has to succeed. */
async function good(outcome: Promise<Outcome>): Promise<string> {
  const { code, stdout, stderr } = await outcome;
  assert.deepEqual([code, stderr], [0, ""], stdout);
  return stdout;
}

for (const [kind, open] of [
  ["file", fileWorld],
  ["etcd", etcdWorld],
] as const) {
  test(`${kind}: a file is compared, becomes what is wanted, and what was before can be had again`, async (t) => {
    const world = await open(t);
    const { run, file } = world;
    const next = file("next.yaml", SHARED.replace("10.0.1.12 }", "10.0.1.12, weight: 3 }"));
    const dry = JSON.parse(await good(run("diff", next, "--json")));
    assert.deepEqual(dry.changes, [
      { path: "hosts.s2.weight", before: 1, after: 3 },
      { path: "services.web.pool.s2", before: 1, after: 3 },
    ]);
    const [{ pool, buckets, moved, moves }] = dry.pools;
    assert.deepEqual([pool, buckets, moves[0].from, moves[0].to], ["web", 1009, "s1", "s2"]);
    assert.ok(Math.abs(moved / buckets - 0.25) < 0.02, `${moved}`);
    const before = await world.wanted();
    assert.match(await good(run("apply", next, "--dry-run")), /nothing is written/);
    assert.equal(await world.wanted(), before);

    assert.match(await good(run("apply", next, "-m", "more of s2")), /^~ hosts\.s2\.weight: 1 -> 3$[\s\S]*^change 2 is written/m);
    assert.match(await world.wanted(), /weight: 3/);
    assert.match(await good(run("apply", next)), /change 2 says the same/);
    assert.match(await good(run("rollback", "1", "-m", "too much")), /change 3 is written/);
    assert.equal(await world.wanted(), before);
    const history = JSON.parse(await good(run("history", "--json", "-n", "2")));
    assert.deepEqual(
      history.map(({ change, why }: { change: number; why: string }) => [change, why]),
      [
        [3, "back to change 1: too much"],
        [2, "more of s2"],
      ],
    );
    assert.match(history[0].who, /^.+@.+$/);
    assert.match(await good(run("show", "2")), /weight: 3/);
  });

  test(`${kind}: what is wrong is refused in full, and nothing is written`, async (t) => {
    const world = await open(t);
    const { run, file } = world;
    const before = await world.wanted();
    const refused: [string, RegExp][] = [
      [SHARED.replace("10.0.1.12", "10.0.1"), /^\S+bad.yaml: hosts\[1\]\.dip: /],
      [SHARED.replace("[192.0.2.10]", "[10.0.1.11]"), /^\S+bad.yaml: services\[0\]\.vips\[0\]: .*DIP/],
      [`${SHARED}drop: [{ name: a, match: "no such thing" }]\n`, /^\S+bad.yaml: drop\[0\]\.match: /],
      ["hosts: [", /bad.yaml:1:\d+: not YAML/],
      [`seed: ffffffffffffffffffffffffffffffff\n${SHARED}`, /^\S+bad.yaml: seed: is a part that each host has of its own/],
      [SHARED.replace("1009", "1013"), /^\S+bad.yaml: table\.size: cannot change from 1009 to 1013/],
    ];
    for (const [text, error] of refused) {
      const { code, stdout, stderr } = await run("apply", file("bad.yaml", text));
      assert.deepEqual([code, stdout], [2, ""], stderr);
      assert.match(stderr, error);
      assert.doesNotMatch(stderr, /ffffffff/);
    }
    assert.equal((await run("apply", "/no/such/file")).code, 2);
    assert.equal((await run("rollback", "9")).code, 2);
    for (const command of [
      ["drain", "s9", "--no-wait"],
      ["undrain", "s9"],
      ["weight", "s9", "1"],
    ]) {
      const { code, stderr } = await run(...command);
      assert.deepEqual([code, /no host is named "s9"/.test(stderr)], [2, true], stderr);
    }
    assert.equal((await run("weight", "s1", "-2")).code, 2);
    assert.equal(await world.wanted(), before);
    // This host's own parts may stand in the file.
    await good(run("apply", file("same.yaml", LOCAL + SHARED.replace("10.0.1.12 }", "10.0.1.12, weight: 3 }"))));
    assert.doesNotMatch(await world.wanted(), /seed/);
  });

  test(`${kind}: drain, undrain and weight change what they say, and not a character more`, async (t) => {
    const world = await open(t);
    const { run } = world;
    const before = await world.wanted();
    assert.match(
      await good(run("drain", "s1", "--no-wait")),
      /change 2: s1 gets no new flows\nwhat it has stays its own for 1 min/,
    );
    assert.equal(await world.wanted(), before.replace("10.0.1.11}", "10.0.1.11, state: draining}"));
    assert.match(await good(run("drain", "s1", "--no-wait", "--for", "30s")), /being drained already/);
    assert.match(await good(run("drain", "s1", "--no-wait", "--for", "2h")), /stays its own for 2 h/);
    assert.match(await world.wanted(), /state: draining, drainSeconds: 7200}/);
    await good(run("undrain", "s1"));
    assert.equal(await world.wanted(), before);
    assert.match(await good(run("undrain", "s1")), /is not drained/);
    await good(run("weight", "s2", "2"));
    assert.equal(await world.wanted(), before.replace("10.0.1.12 }", "10.0.1.12, weight: 2 }"));
    assert.match(await good(run("weight", "s2", "2")), /already/);
    if (kind === "file") assert.equal(readFileSync(world.config, "utf8"), LOCAL + (await world.wanted()));
  });
}

function report(host: string, changes: Partial<HostReport>): string {
  const about = { host, when: 0, version: "0", change: 1, generation: 7, ageSeconds: 0.5, serials: {}, refused: null };
  const found = { problems: {}, services: {}, load: { cpu: 0.25, pressure: 0, services: {} }, flows: 0, announced: [] };
  return writeRecord("hostReport", { ...about, ...found, ...changes });
}

test("a drain waits until the host that goes by it has no flows left, and fails when the time is over before", async (t) => {
  const { run, store, keys } = await etcdWorld(t);
  const put = (changes: Partial<HostReport>) => store.commit([], [{ key: keys.host("s1"), value: report("s1", changes) }]);
  // Without flows, but by the change before: new ones still come.
  await put({ change: 1, flows: 0 });
  let { code, stdout, stderr } = await run("drain", "s1", "--for", "1s");
  assert.deepEqual([code, /0 flows left, it still goes by change 1/.test(stdout)], [1, true], stdout);
  await put({ change: 2, flows: 12 });
  ({ code, stderr } = await run("drain", "s1", "--for", "1s"));
  assert.deepEqual([code, stderr.startsWith("s1: 12 flows left after 1 s")], [1, true], stderr);
  const draining = run("drain", "s1", "--for", "30s", "--json");
  setTimeout(() => void put({ change: 2, flows: 0 }), 300);
  const lines = (await good(draining)).trim().split("\n");
  assert.deepEqual([lines.length >= 2, lines.map((line) => JSON.parse(line)).at(-1).flows], [true, 0]);
});

test("a drain is not over while others may send the host new flows, nor by what it counted until then", async (t) => {
  const { run, store, keys } = await etcdWorld(t);
  const put = (name: string, changes: Partial<HostReport>) =>
    store.commit([], [{ key: keys.host(name), value: report(name, { change: 2, ...changes }) }]);
  const steer = (serial: number, ...names: string[]) => {
    const hosts = names.map((name) => ({ name, weight: 1 }));
    const facts = { service: "web", serial, change: 2, by: "s2", why: "test" };
    const value = writeRecord("generations", { ...facts, generations: [{ id: serial, time: 0, hosts }] });
    return store.commit([], [{ key: keys.generations("web"), value }]);
  };
  await good(run("drain", "s1", "--no-wait"));
  await steer(1, "s1", "s2");
  await put("s1", { serials: { web: 1 } });
  await put("s2", { serials: { web: 1 } });
  let { code, stderr } = await run("drain", "s1", "--for", "1s");
  assert.deepEqual([code, /the conductor has not taken it out yet/.test(stderr)], [1, true], stderr);
  await steer(2, "s2");
  await put("s1", { serials: { web: 2 } });
  ({ code, stderr } = await run("drain", "s1", "--for", "1s"));
  assert.deepEqual([code, /0 flows left, s2 may still send it new ones/.test(stderr)], [1, true], stderr);
  await put("s2", { serials: { web: 2 } });
  // Who has reported nothing since is waited for as long as may be.
  const seconds = async (time: string): Promise<number> => {
    const lines = (await good(run("drain", "s1", "--for", time, "--json"))).trim().split("\n");
    return JSON.parse(lines.at(-1)!).seconds;
  };
  assert.equal(await seconds("2s"), 2);
  const renewed = setInterval(() => void put("s1", { serials: { web: 2 } }), 200);
  try {
    assert.ok((await seconds("60s")) < 60);
  } finally {
    clearInterval(renewed);
  }
});

test("a store that was turned back is changed only by force, and above all that hosts have applied", async (t) => {
  const { run, file, store, keys } = await etcdWorld(t);
  await store.commit([], [{ key: keys.host("s1"), value: report("s1", { change: 9 }) }]);
  const next = file("next.yaml", SHARED.replace("10.0.1.12 }", "10.0.1.12, weight: 3 }"));
  for (const command of [
    ["apply", next],
    ["drain", "s1", "--no-wait"],
    ["rollback", "1"],
  ]) {
    const { code, stderr } = await run(...command);
    assert.deepEqual(
      [code, /is at change 1, but hosts have applied 9: the store was turned back/.test(stderr)],
      [1, true],
      stderr,
    );
  }
  assert.match(await good(run("apply", next, "--force")), /change 10 is written/);
});

test("hosts: what hosts say, what those say who probe them, and what the conductor made of it", async (t) => {
  const { run, store, keys } = await etcdWorld(t);
  const ill = { healthy: false, reason: "nothing listens" };
  const probes = (host: string, of: string, found: RecordOf<"probes">["hosts"][string][string]) =>
    writeRecord("probes", { host, when: 0, hosts: { [of]: { web: found } } });
  const generations = [{ id: 3, time: 5, hosts: [{ name: "s1", weight: 1 }] }];
  await store.commit(
    [],
    [
      {
        key: keys.host("s1"),
        value: report("s1", { flows: 1234, announced: ["192.0.2.10/32"], refused: "hafl: half a record" }),
      },
      { key: keys.host("s2"), value: report("s2", { change: 0, problems: { tun: "TUN is gone" } }) },
      { key: keys.probes("s2"), value: probes("s2", "s1", { healthy: true, reason: "" }) },
      { key: keys.probes("s1"), value: probes("s1", "s2", ill) },
      {
        key: keys.generations("web"),
        value: writeRecord("generations", { service: "web", serial: 1, change: 1, by: "s1", why: "", generations }),
      },
      { key: keys.conductor, value: writeRecord("conductor", { host: "s1", pid: 77, since: 5 }) },
      { key: keys.decisions, value: "{}" },
    ],
  );
  const view = JSON.parse(await good(run("hosts", "--json")));
  assert.deepEqual([view.cluster, view.change, view.conductor], ["lab", 1, { host: "s1", pid: 77, since: 5 }]);
  assert.match(view.refused[0], /decisions: format missing/);
  const [s1, s2] = view.hosts;
  assert.deepEqual(
    [s1.report.flows, s1.services],
    [1234, [{ name: "web", healthy: true, cause: "healthy", reason: "", takes: true }]],
  );
  assert.deepEqual([s2.services[0].healthy, s2.services[0].cause, s2.services[0].takes], [false, "TUN down", false]);
  const text = await good(run("hosts"));
  assert.match(text, /s1 conducts \(pid 77\)/);
  assert.match(text, /^s1 +active +1 +1 +0\.5 s +7 +1,234 +25 % \/ 0 % +192\.0\.2\.10\/32 +web ok$/m);
  assert.match(text, /^s1: refuses what the store has: hafl: half a record$/m);
  assert.match(text, /^s2: goes by change 0, wanted is 1$/m);
  assert.match(text, /^s2: tun: TUN is gone$/m);
  assert.match(text, /^s2: web: TUN down: TUN is gone$/m);
});

test("a store that nobody answers for is one line, in bounded time; without an instance the config has to be named", async (t) => {
  const { file } = place(t);
  const taken = new Set<Socket>();
  const silent = createServer((socket) => void taken.add(socket.on("error", () => {}))).listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  t.after(() => {
    for (const socket of taken) socket.destroy();
    silent.close();
  });
  const { port } = silent.address() as { port: number };
  for (const at of [port, 1]) {
    const config = file("c.yaml", `${LOCAL}store: { kind: etcd, endpoints: ["http://127.0.0.1:${at}"] }\n`);
    const begin = performance.now();
    const { code, stdout, stderr } = await hafl("hosts", "--config", config);
    assert.deepEqual([code, stdout, stderr.trim().split("\n").length], [1, "", 1], stderr);
    assert.match(stderr, /^store http:\/\/127\.0\.0\.1:\d+: cannot be reached: /);
    assert.ok(performance.now() - begin < 30_000);
  }
  assert.match((await hafl("hosts", "--runtime-dir", "/no/such")).stderr, /name the config file with --config/);
});
