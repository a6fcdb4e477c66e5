/** What a look-up says against what a replay of the same packet does, over flows and packets at random; and what it says alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createLookup } from "../../src/cli/lookup.ts";
import { replayRules } from "../../src/control/drop-rules.ts";
import { configTables } from "../../src/control/offline.ts";
import { LINKTYPE_RAW } from "../../src/io/pcap.ts";
import type { Shape } from "../../src/replay/craft.ts";
import type { LookupResult } from "../../src/replay/lookup-result.ts";
import { replay } from "../../src/replay/replay.ts";
import { type Flow, formatFlow, parseFlow } from "../../src/steering/flow.ts";
import { configOf } from "../support/fixture.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import * as make from "../support/packets.ts";
import { seededRandom } from "../support/random.ts";

const SERVERS = `cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts:
  - { name: s1, dip: [10.0.1.11, "fd00:1::11"], serverId: 0x0101 }
  - { name: s2, dip: [10.0.1.12, "fd00:1::12"], serverId: 0x0102, state: draining }
  - { name: s3, dip: "fd00:1::13", serverId: 0x0103, state: draining }
  - { name: s4, dip: [10.0.1.14, "fd00:1::14"], serverId: 0x0104 }
  - { name: s5, dip: [10.0.1.15, "fd00:1::15"], serverId: 0x0105, state: down }
services:
  - { name: web, vips: [192.0.2.10, "2001:db8::10"], ports: { tcp: [80, 8000-8100], udp: [53] } }
  - { name: plain, vips: [192.0.2.11, "2001:db8::11"], ports: { udp: any }, udp: stateless, hash: source }
  - { name: four, vips: [192.0.2.12, "2001:db8::12"], ports: { tcp: any }, pool: [s1, s2, s4], hash: source-port }
  - { name: h3, vips: [192.0.2.13, "2001:db8::13"], ports: { udp: [443] }, udp: quic, quic: { offset: 1, length: 2 } }
  - { name: nobody, vips: [192.0.2.14, "2001:db8::14"], ports: { tcp: any }, pool: [] }
egress:
  - { ip: 198.51.100.1, sliceSize: 1024, owners: { s1: [2, 3], s4: [5], s5: [6] } }
  - { ip: "2001:db8:e::1", sliceSize: 1024, owners: { s1: [2], s3: [3, 4] } }
table: { size: 1009 }
`;
const RULES = `drop:
  - { name: small, match: "udp and len < 40" }
  - { name: sources, match: "src net 203.0.113.0/25 or src net 2001:db8:c::/64", limit: { pps: 5, per: /24 }, sample: 10 }
  - { name: syn, match: "tcp[tcpflags] = tcp-syn or (ip6[6] = 6 and ip6[53] = 2)" }
  - { name: large, match: "greater 1400", sample: 100 }
`;
const HOSTS = ["s1", "s2", "s3", "s4"];
const MTU = 1500;
const SYN = 2;
const ACK = 16;
const CONNECTION = make.bytes(0x40, 7, 1, 4, 9, 9);

interface Case {
  readonly flow: Flow;
  readonly shape: Shape;
  readonly packet: Uint8Array;
}

function flowOf(text: string): Flow {
  const flow = parseFlow(text);
  assert.ok(typeof flow !== "string", `${text}: ${flow}`);
  return flow;
}

/** A flow and its packet, written without a line of the product's code. */
function randomCase(random: (limit: number) => number): Case {
  const v4 = random(2) === 0;
  const pick = <T>(...list: readonly T[]): T => list[random(list.length)]!;
  const from = v4 ? `203.0.113.${random(256)}` : `2001:db8:${pick("c", "d")}:${random(4)}::${random(256).toString(16)}`;
  const vip = pick(10, 11, 12, 13, 14, 20);
  const egress = random(4) === 0;
  const to = v4 ? (egress ? "198.51.100.1" : `192.0.2.${vip}`) : egress ? "2001:db8:e::1" : `2001:db8::${vip}`;
  const protocol = pick("tcp", "tcp", "udp", "udp", "icmp");
  const [sport, dport] = [1024 + random(60_000), egress ? 1024 + random(6000) : pick(80, 443, 53, 8050, 9)];
  const end = (address: string, port: number): string => (v4 ? `${address}:${port}` : `[${address}]:${port}`);
  const flow = flowOf(`${protocol} ${end(from, sport)} > ${end(to, dport)}`);
  const flags = pick(undefined, SYN, ACK, SYN | ACK);
  const known = protocol === "udp" && random(2) === 0 ? CONNECTION : undefined;
  const headers = (v4 ? 20 : 40) + (protocol === "tcp" ? 20 : 8) + (known?.length ?? 0);
  const length = pick(undefined, headers + random(1600));
  const payload = make.concat(known ?? make.bytes(), new Uint8Array((length ?? headers) - headers));
  const shape: Shape = {
    ...(protocol === "tcp" && flags !== undefined ? { flags } : {}),
    ...(known === undefined ? {} : { payload: known }),
    ...(length === undefined ? {} : { length }),
  };
  const ip = { df: true };
  if (protocol === "udp") return { flow, shape, packet: make.udp([from, sport], [to, dport], payload, ip) };
  if (protocol === "tcp") {
    return { flow, shape, packet: make.tcp([from, sport], [to, dport], payload, { flags: flags ?? ACK, ip }) };
  }
  return { flow, shape, packet: make.icmp(from, to, v4 ? 8 : 128, 0, [sport >> 8, sport & 255, 0, 1], payload, ip) };
}

/** Where a GUE packet goes, by its bytes: DIP, UDP source port, bytes in front of the inner packet, DIPs of further hops. */
function onTheWire(packet: Uint8Array): { to: string; sourcePort: number; overhead: number; hops: string[] } {
  const hex = (from: number, length: number): string => Buffer.from(packet.subarray(from, from + length)).toString("hex");
  const v4 = packet[0]! >> 4 === 4;
  const udp = v4 ? 20 : 40;
  const gue = udp + 8;
  const words = packet[gue]! & 31;
  const size = words > 0 && packet[gue + 5] === 0 ? 4 : 16;
  const count = words === 0 ? 0 : packet[gue + 7]!;
  return {
    to: v4 ? hex(16, 4) : hex(24, 16),
    sourcePort: packet[udp]! * 256 + packet[udp + 1]!,
    overhead: gue + 4 + 4 * words,
    hops: Array.from({ length: count }, (_, i) => hex(gue + 8 + i * size, size)),
  };
}

const MAPPED = "00000000000000000000ffff";
/** The addresses of a host as they stand in headers: IPv4, mapped, IPv6. */
function dipsOf(host: string): string[] {
  const n = host.slice(1);
  const v6 = Buffer.from(make.address(`fd00:1::1${n}`)).toString("hex");
  const v4 = Buffer.from(make.address(`10.0.1.1${n}`)).toString("hex");
  return host === "s3" ? [v6] : [v4, MAPPED + v4, v6];
}

/** Time between packets, microseconds: more than any limit of the rules, and any memory of a flow's socket, lasts. */
const APART = 10_000_000;

/** What an answer says of a packet that was forwarded, against the packet. */
function checkSent(answer: LookupResult, director: string, packet: Uint8Array, left: Uint8Array): void {
  const { to, sourcePort, overhead, hops } = onTheWire(left);
  const { sent, chain, host } = answer;
  assert.ok(sent !== null && dipsOf(sent.to).includes(to), `${sent?.to}: ${to}`);
  assert.deepEqual([answer.sourcePort, sent.overhead, sent.furtherHops.length], [sourcePort, overhead, hops.length]);
  for (const [i, hop] of hops.entries()) assert.ok(dipsOf(sent.furtherHops[i]!).includes(hop), `hop ${i}: ${hop}`);
  assert.deepEqual([answer.pathMtu, answer.largest], [MTU, MTU - overhead]);
  assert.ok(Buffer.from(packet).equals(left.subarray(overhead)));
  assert.ok(chain.includes(sent.to) && host === chain[0]);
  // To another than the first hop it goes from that one itself.
  if (sent.to !== host) assert.deepEqual([host, answer.socket], [director, "not asked"]);
}

/**
 * Asks about packets at random, and holds the answers against a replay of all of them, in which they do not touch each other.
 * Returns how often each verdict was.
 */
function compare(text: string, director: string, count: number): Record<string, number> {
  const config = configOf(text);
  const drop = replayRules(config, "c.yaml");
  const lookup = createLookup(config, { host: director, mtu: MTU, rules: drop });
  const random = seededRandom(Number(director.slice(1)));
  const cases = Array.from({ length: count }, () => randomCase(random));
  const captured = cases.map(({ packet }, i) => {
    return { link: LINKTYPE_RAW, bytes: packet, originalLength: packet.length, time: (i + 1) * APART };
  });
  const done = replay(configTables(config, director, MTU), "director", captured, 0, drop);
  const verdicts: Record<string, number> = {};
  const rules: Record<string, { packets: number }> = Object.fromEntries(drop.map(({ name }) => [name, { packets: 0 }]));
  const left = new Map(done.out.map((out) => [out.time / APART - 1, out]));
  for (const [i, { flow, shape, packet }] of cases.entries()) {
    const answer = lookup(flow, shape);
    verdicts[answer.verdict] = (verdicts[answer.verdict] ?? 0) + 1;
    if (answer.drop?.passes === false) rules[answer.drop.rule]!.packets++;
    const out = left.get(i);
    try {
      assert.equal(
        out?.verdict,
        ["forwarded", "delivered", "too_big"].find((name) => name === answer.verdict),
      );
      if (answer.verdict === "forwarded") checkSent(answer, director, packet, out!.bytes);
      if (answer.verdict === "delivered") assert.deepEqual([answer.host, answer.sent], [director, null]);
    } catch (error) {
      throw new Error(`${formatFlow(flow)} ${JSON.stringify(shape)} at ${director}`, { cause: error });
    }
  }
  assert.deepEqual(verdicts, { ...done.verdicts });
  assert.deepEqual(rules, done.rules);
  return verdicts;
}

/** The same on every host; each of these verdicts must have occurred. */
function compareAll(text: string, expected: readonly string[]): void {
  const all = HOSTS.map((host) => compare(text, host, 500));
  for (const name of expected) {
    const count = all.reduce((sum, verdicts) => sum + (verdicts[name] ?? 0), 0);
    assert.ok(count > 10, `${name}: ${count}`);
  }
}

test("a look-up says what a replay of its packet does", () => {
  compareAll(SERVERS, ["forwarded", "delivered", "not_ours", "no_service", "no_host", "no_slice", "too_big"]);
});

test("the same with drop rules", { skip: libpcapObstacle }, () => {
  compareAll(SERVERS + RULES, ["forwarded", "delivered", "drop_rule"]);
});

/** The first flow of a service whose answer is one that is looked for. */
function find(wanted: (answer: LookupResult) => boolean, to = "tcp 203.0.113.1:PORT > 192.0.2.10:80", host = "s4"): LookupResult {
  const lookup = createLookup(configOf(SERVERS), { host, mtu: MTU });
  for (let port = 1024; port < 3000; port++) {
    const answer = lookup(flowOf(to.replace("PORT", String(port))));
    if (wanted(answer)) return answer;
  }
  return assert.fail("no flow has such an answer");
}

test("each hop has its generation: the owner the newest, a host that drains the one before, until the drain time", () => {
  const { hops, chain, host, bucketHosts } = find(({ chain: c }) => c.join() === "s1,s2");
  const since = hops[0]!.since!;
  assert.ok(Math.abs(Date.parse(since) - Date.now()) < 60_000, since);
  const until = new Date(Date.parse(since) + 300_000).toISOString();
  assert.deepEqual(hops, [
    { host: "s1", generation: 2, since, age: 0, why: "newest owner", until: null, mtu: MTU },
    { host: "s2", generation: 1, since, age: 0, why: "earlier owner, drains", until, mtu: MTU },
  ]);
  assert.deepEqual([chain, host, bucketHosts], [["s1", "s2"], "s1", ["s1", "s2"]]);
});

test("a largest inner packet fits and one byte more does not, whatever its hops take", () => {
  const config = configOf(SERVERS);
  const lookup = createLookup(config, { host: "s4", mtu: MTU });
  for (const to of ["192.0.2.10:80", "192.0.2.12:80"]) {
    for (const port of [1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031]) {
      const flow = flowOf(`tcp 203.0.113.1:${port} > ${to}`);
      const { largest, sent } = lookup(flow);
      if (sent === null) continue;
      assert.equal(lookup(flow, { length: largest! }).verdict, "forwarded");
      assert.equal(lookup(flow, { length: largest! + 1 }).verdict, "too_big");
    }
  }
});

test("without a host to be asked, one is that is not the owner", () => {
  const lookup = createLookup(configOf(SERVERS));
  const answers = Array.from({ length: 100 }, (_, i) => lookup(flowOf(`tcp 203.0.113.1:${1024 + i} > 192.0.2.10:80`)));
  assert.ok(answers.every(({ verdict, director, host }) => verdict === "forwarded" && director !== host));
  assert.deepEqual([...new Set(answers.map(({ host }) => host))].sort(), ["s1", "s4"]);
  assert.equal(answers[0]!.pathMtu, null);
});

test("an owner without the flow sends it on to the host that drains, and the look-up says that it could not ask the kernel", () => {
  const { sent, socket, verdict, why } = find(({ chain }) => chain.join() === "s1,s2", undefined, "s1");
  assert.deepEqual([sent?.to, socket, verdict], ["s2", "not asked", "forwarded"]);
  assert.match(why, /belongs to s1; s1 does not know the flow, so it goes to the next hop$/);
});

test("QUIC: the server id in the packet decides, and all ids are told", () => {
  const to = "udp 203.0.113.1:PORT > 192.0.2.13:443";
  const without = find(({ host }) => host === "s1", to);
  const servers = { "0x0101": "s1", "0x0102": "s2", "0x0103": "s3", "0x0104": "s4" };
  assert.deepEqual(without.quic, { byServerId: false, servers });
  const lookup = createLookup(configOf(SERVERS), { host: "s1" });
  const { quic, host, hops, verdict } = lookup(flowOf("udp 203.0.113.1:1024 > 192.0.2.13:443"), { payload: CONNECTION });
  assert.deepEqual([quic?.byServerId, host, hops.length, hops[0]?.why, verdict], [true, "s4", 1, "server id", "forwarded"]);
  assert.equal(find(({ service }) => service === "web").quic, null);
});

test("a shared egress IP: slice, ports and owner", () => {
  const lookup = createLookup(configOf(SERVERS), { host: "s4", mtu: MTU });
  const owned = lookup(flowOf("tcp 203.0.113.1:443 > 198.51.100.1:2049"));
  assert.deepEqual(owned.slice, { ip: "198.51.100.1", number: 2, from: 2048, to: 3071 });
  assert.deepEqual(owned.hops, [
    { host: "s1", generation: null, since: null, age: null, why: "owns the slice", until: null, mtu: MTU },
  ]);
  assert.deepEqual([owned.service, owned.bucket, owned.host, owned.largest], [null, null, "s1", MTU - 32]);
  const lost = lookup(flowOf("tcp 203.0.113.1:443 > 198.51.100.1:6145"));
  assert.deepEqual([lost.slice?.number, lost.host, lost.verdict], [6, null, "no_slice"]);
});

test("ICMP: an echo request by its identifier, to the host that any owner is", () => {
  const { service, packet, sent, bucketHosts } = find(({ chain }) => chain.length > 1, "icmp 203.0.113.1:PORT > 192.0.2.10");
  assert.match(packet, /^echo request \d+, 28 bytes$/);
  assert.deepEqual([service, sent?.furtherHops, sent?.to], ["web", [], bucketHosts[0]]);
});

test("a rule is told with what it does, for the packet it was asked about", { skip: libpcapObstacle }, () => {
  const config = configOf(SERVERS + RULES);
  const lookup = createLookup(config, { rules: replayRules(config, "c.yaml") });
  const flow = flowOf("tcp 203.0.113.200:1024 > 192.0.2.10:80");
  assert.deepEqual([lookup(flow).drop, lookup(flow).rules], [null, 4]);
  const syn = lookup(flow, { flags: SYN });
  assert.deepEqual(syn.drop, { rule: "syn", passes: false, limit: null, sample: null, inKernel: false });
  assert.deepEqual([syn.verdict, syn.why, syn.host === null], ["drop_rule", "rule syn; without it: forwarded", false]);
  assert.deepEqual([lookup(flow, { length: 1400 }).drop?.rule, lookup(flow, { length: 1399 }).drop], ["large", null]);
  const limited = lookup(flowOf("tcp 203.0.113.2:1024 > 192.0.2.10:80"), { flags: SYN });
  const limit = { pps: 5, bps: null, prefix4: 24, prefix6: 48 };
  assert.deepEqual(limited.drop, { rule: "sources", passes: true, limit, sample: 10, inKernel: false });
  assert.equal(limited.verdict, "forwarded");
});

test("each answer stands alone: no limit is used up, no flow and no SYN remembered", { skip: libpcapObstacle }, () => {
  const config = configOf(SERVERS + RULES);
  const lookup = createLookup(config, { host: "s1", rules: replayRules(config, "c.yaml") });
  const begins = flowOf("tcp 203.0.113.2:1024 > 192.0.2.10:80");
  const first = lookup(begins, { flags: SYN });
  for (let i = 0; i < 20; i++) assert.deepEqual(lookup(begins, { flags: SYN }), first);
  // A SYN that had been remembered would make the ACK behind it this host's own.
  const text = (port: number): string => `tcp 203.0.113.200:${port} > 192.0.2.10:80`;
  const port = Array.from({ length: 500 }, (_, i) => 1024 + i).find((p) => lookup(flowOf(text(p))).chain.join() === "s1,s2")!;
  const plain = createLookup(config, { host: "s1" });
  const flow = flowOf(text(port));
  const before = plain(flow);
  assert.equal(plain(flow, { flags: SYN }).verdict, "delivered");
  assert.deepEqual(plain(flow), before);
  assert.equal(before.verdict, "forwarded");
});
