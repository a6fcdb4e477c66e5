/**
 * Soft-unicast in a lab: s1 and s2 share an egress IP of each family, the router spreads what comes back over all three hosts.
 *
 *   c1 (server) -- r --+-- s1 slices 1 and 3
 *                      +-- s2 slice 2
 *                      +-- s3 none: only passes packets on
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { parse, stringify } from "yaml";
import type { EgressUse } from "../../src/control/egress-use.ts";
import { readStatus, type Status } from "../../src/control/status.ts";
import { recordProcess } from "../../src/lab/lab.ts";
import { runScript } from "../../src/lab/namespace.ts";
import { startAgent, stopProcess, waitReady } from "../../src/lab/node-processes.ts";
import { pollFor } from "../../src/lab/poll.ts";
import { configFile, type LabState, replaceFile, runtimeDir } from "../../src/lab/state.ts";
import { addressOf, FAMILIES, type Family, hostNames } from "../../src/lab/topology.ts";
import { egressObstacle, type Outcome, startClient, startServer } from "../support/egress.ts";
import { labSpec, runOn, withLab } from "../support/lab.ts";
import { until } from "../support/netns.ts";

const EGRESS: Readonly<Record<Family, string>> = { 4: "198.51.100.1", 6: "2001:db8:e::1" };
const [FIRST, SECOND] = [9_000, 9_001];
/** Ports of small slices, and which slices s1 and s2 have then: from that of s1 nothing was sent before. */
const SMALL = 64;
const [S1_SMALL, S2_SMALL] = [200, 40];

type Owners = Readonly<Record<string, readonly number[]>>;
const OWNERS: Owners = { s1: [1, 3], s2: [2] };

const hosts = (state: LabState): string[] => hostNames(state.spec);
const status = (state: LabState, host: string): Status => readStatus(runtimeDir(state.spec.name, host));

/** Gives all agents a config with these slices; they take it up without a restart. */
async function share(state: LabState, sliceSize: number, owners: Owners): Promise<void> {
  const file = configFile(state.spec.name);
  const before = hosts(state).map((host) => status(state, host).generation);
  const egress = FAMILIES.map((family) => ({ ip: EGRESS[family], sliceSize, owners }));
  replaceFile(file, stringify({ ...parse(readFileSync(file, "utf8")), egress }, { aliasDuplicateObjects: false }));
  await until("a new generation", () => hosts(state).every((host, i) => status(state, host).generation > before[i]!), 5_000);
  // The generation changes before what is no longer wanted has been removed.
  await until("rules", () => Object.keys(owners).every((host) => status(state, host).egress[EGRESS[6]]?.exhausted !== null));
}

function assertWithin(ports: readonly number[], sliceSize: number, slices: readonly number[]): void {
  const outside = ports.filter((port) => !slices.includes(Math.floor(port / sliceSize)));
  assert.deepEqual(outside, []);
}

/** 1,000 connections from each owner at the same time. */
async function thousands(t: TestContext, state: LabState, family: Family): Promise<void> {
  const lab = state.spec.name;
  const forwarded = hosts(state).map((host) => status(state, host).verdicts.forwarded!);
  const clients = await Promise.all(
    Object.keys(OWNERS).map((host) => startClient(lab, host, EGRESS[family], addressOf("c1", family), FIRST, 1_000)),
  );
  try {
    for (const [i, [host, slices]] of Object.entries(OWNERS).entries()) {
      const { ports, errors } = clients[i]!;
      assert.deepEqual(errors, [], host);
      assert.equal(new Set(ports).size, 1_000);
      assertWithin(ports, 2_048, slices);
      const use = Object.entries(status(state, host).egress[EGRESS[family]]!.slices);
      assert.deepEqual(
        use.map(([slice]) => Number(slice)),
        slices,
      );
      const [connections, inUse] = (["connections", "ports"] as const).map((k) => use.reduce((sum, [, u]) => sum + u![k], 0));
      assert.deepEqual([connections, inUse], [1_000, 1_000]);
      if (slices.length > 1)
        assert.ok(
          use.every(([, u]) => u!.connections > 100),
          "all slices are used",
        );
    }
    const third = status(state, "s3").verdicts.forwarded! - forwarded[2]!;
    t.diagnostic(`s3, which owns nothing, passed ${third} packets on`);
    assert.ok(third > 1_000);
    for (const host of hosts(state)) assert.equal(status(state, host).verdicts.no_slice, 0);
  } finally {
    await Promise.all(clients.map((client) => client.stop()));
  }
}

/** What programs may ask for: an own port, UDP, no ports at all. */
async function otherWays(state: LabState, family: Family): Promise<void> {
  const lab = state.spec.name;
  const to = addressOf("c1", family);
  const one = async (protocol: "tcp" | "udp", localPort: number): Promise<Outcome> => {
    const client = await startClient(lab, "s2", EGRESS[family], to, SECOND, 1, protocol, localPort);
    await client.stop();
    return client;
  };
  for (const protocol of ["tcp", "udp"] as const) {
    assert.deepEqual((await one(protocol, 5_000)).ports, [5_000], "a port in the own slice stays");
    const [foreign] = (await one(protocol, 2_500)).ports;
    assertWithin([foreign!], 2_048, OWNERS.s2!);
  }
  const many = await startClient(lab, "s1", EGRESS[family], to, SECOND, 200, "udp");
  await many.stop();
  assert.deepEqual(many.errors, []);
  assertWithin(many.ports, 2_048, OWNERS.s1!);
}

/** One small slice: it is used to the last port, then callers get an error; another destination has all ports again. */
async function exhaustion(t: TestContext, state: LabState, family: Family): Promise<void> {
  const lab = state.spec.name;
  const to = addressOf("c1", family);
  const count = (): number => status(state, "s2").egress[EGRESS[family]]!.exhausted!;
  const before = count();
  const full = await startClient(lab, "s2", EGRESS[family], to, FIRST, SMALL + 36);
  const other = await startClient(lab, "s2", EGRESS[family], to, SECOND, SMALL);
  try {
    assert.equal(full.ports.length, SMALL);
    assert.equal(new Set(full.ports).size, SMALL);
    assert.deepEqual([...new Set(full.errors)], ["ECONNREFUSED"]);
    assert.equal(full.errors.length, 36);
    assert.equal(count() - before, 36);
    assert.deepEqual(other.errors, []);
    assert.deepEqual([...other.ports].sort(), [...full.ports].sort(), "the same ports toward another destination");
    assertWithin([...full.ports, ...other.ports], SMALL, [S2_SMALL]);
    const use = status(state, "s2").egress[EGRESS[family]]!.slices[S2_SMALL]!;
    assert.deepEqual(use, { from: S2_SMALL * SMALL, to: S2_SMALL * SMALL + SMALL - 1, connections: 2 * SMALL, ports: SMALL });
    const datagrams = await startClient(lab, "s2", EGRESS[family], to, FIRST, SMALL + 6, "udp");
    await datagrams.stop();
    assert.equal(new Set(datagrams.ports).size, SMALL);
    assertWithin(datagrams.ports, SMALL, [S2_SMALL]);
    assert.equal(datagrams.errors.length, 6);
    for (const error of datagrams.errors) assert.match(error, /EPERM|ECONNREFUSED/);
    t.diagnostic(
      `${full.errors.length} refused, ${status(state, "s2").egress[EGRESS[family]]!.strayed} packets kept from leaving`,
    );
  } finally {
    await Promise.all([full.stop(), other.stop()]);
  }
}

/**
 * Connections that tracking has forgotten: the kernel would send on with the port the program's socket has, which may be in
 * another host's slice. c1 counts what it gets from outside of the slices.
 */
async function forgotten(t: TestContext, state: LabState, family: Family): Promise<void> {
  const lab = state.spec.name;
  const ip = family === 4 ? "ip" : "ip6";
  const slices = [S1_SMALL, S2_SMALL].map((n) => `${n * SMALL}-${n * SMALL + SMALL - 1}`).join(", ");
  const seen = `table inet seen${family} { counter outside { }; chain in { type filter hook prerouting priority -400;
    ${ip} saddr ${EGRESS[family]} meta l4proto tcp tcp sport != { ${slices} } counter name outside; }; }`;
  await runOn(lab, "c1", ["nft", seen]);
  const set = (name: string, value: number): Promise<string> =>
    runOn(lab, "s1", ["sh", "-c", `echo ${value} >/proc/sys/net/netfilter/nf_conntrack_tcp_${name}`]);
  const use = (): EgressUse => status(state, "s1").egress[EGRESS[family]]!;
  const before = use().strayed!;
  await set("timeout_established", 1);
  const client = await startClient(lab, "s1", EGRESS[family], addressOf("c1", family), FIRST, 20);
  try {
    assert.deepEqual(client.errors, []);
    await until("tracking to forget", () => use().slices[S1_SMALL]!.connections === 0, 10_000);
    await set("loose", 0);
    client.poke();
    await until("packets held back", () => use().strayed! - before >= 20, 10_000);
    t.diagnostic(`${use().strayed! - before} packets held back`);
    const outside = await runOn(lab, "c1", ["nft", "list", "counter", "inet", `seen${family}`, "outside"]);
    assert.match(outside, /packets 0 /);
  } finally {
    await set("timeout_established", 432_000);
    await set("loose", 1);
    await client.stop();
  }
}

/** The address is where slices are, and goes with them; an agent that dies leaves the ports guarded. */
async function comesAndGoes(state: LabState): Promise<void> {
  const lab = state.spec.name;
  const addresses = async (host: string): Promise<boolean[]> => {
    const text = await runOn(lab, host, ["ip", "-o", "addr", "show", "dev", "lo"]);
    return FAMILIES.map((family) => text.includes(` ${EGRESS[family]}/`));
  };
  assert.deepEqual(
    [await addresses("s1"), await addresses("s2"), await addresses("s3")],
    [
      [true, true],
      [true, true],
      [false, false],
    ],
  );
  await share(state, 2_048, { s3: [2], s1: [1] });
  // It is published first and removed then.
  await pollFor(async () => ((await runOn(lab, "s2", ["nft", "list", "tables"])).includes("hafl") ? null : true), 5_000);
  assert.deepEqual(
    [await addresses("s1"), await addresses("s2"), await addresses("s3")],
    [
      [true, true],
      [false, false],
      [true, true],
    ],
  );
  assert.doesNotMatch(await runOn(lab, "s2", ["nft", "list", "tables"]), /hafl/);

  const held = await startClient(lab, "s3", EGRESS[4], addressOf("c1", 4), FIRST, 10);
  const agent = state.processes.find((p) => p.role === "agent" && p.node === "s3")!;
  await stopProcess(lab, agent, "SIGKILL");
  assert.match(await runOn(lab, "s3", ["nft", "list", "tables"]), /hafl-s3/);
  const again = await startAgent(state.spec, "s3");
  recordProcess(state, again);
  await waitReady(lab, again);
  const next = await startClient(lab, "s3", EGRESS[4], addressOf("c1", 4), FIRST, 100);
  assert.deepEqual(next.errors, []);
  assertWithin(next.ports, 2_048, [2]);
  assert.equal(new Set([...held.ports, ...next.ports]).size, 110, "ports of connections that live are not given twice");
  await Promise.all([held.stop(), next.stop()]);
  await stopProcess(lab, again);
  assert.doesNotMatch(await runOn(lab, "s3", ["nft", "list", "tables"]), /hafl/);
  assert.deepEqual(await addresses("s3"), [false, false]);
}

/** A lab with servers on c1 and the egress IPs routed to all hosts. */
async function withSharedIps(io: "af-packet" | "tun", run: (state: LabState) => Promise<void>): Promise<void> {
  await withLab(labSpec({ name: `e2e-egress-${io}-${process.pid}`, hosts: 3, clients: 1, io }), async (state) => {
    const lab = state.spec.name;
    for (const family of FAMILIES) await runScript("lab-route.sh", [lab, EGRESS[family], "1", "2", "3"]);
    const servers = await Promise.all(FAMILIES.map((f) => startServer(lab, "c1", addressOf("c1", f), [FIRST, SECOND])));
    await share(state, 2_048, OWNERS);
    await run(state);
    await Promise.all(servers.map((server) => server.stop()));
  });
}

for (const io of ["af-packet", "tun"] as const) {
  test(`${io}: hosts share egress IPs`, { skip: egressObstacle, timeout: 180_000 }, async (t) => {
    await withSharedIps(io, async (state) => {
      for (const family of FAMILIES) {
        await t.test(`IPv${family}: 1,000 connections from each of two hosts`, (s) => thousands(s, state, family));
        await t.test(`IPv${family}: ports of the program's own choice, and UDP`, () => otherWays(state, family));
      }
      // What follows is between programs and the kernel: how packets come in makes no difference.
      if (io === "tun") return;
      await share(state, SMALL, { s1: [S1_SMALL], s2: [S2_SMALL] });
      for (const family of FAMILIES) {
        await t.test(`IPv${family}: all ports taken`, (s) => exhaustion(s, state, family));
        await t.test(`IPv${family}: connections that tracking has forgotten`, (s) => forgotten(s, state, family));
      }
      await t.test("slices that come and go, and an agent that dies", () => comesAndGoes(state));
    });
  });
}
