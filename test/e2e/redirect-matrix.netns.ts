/**
 * The matrix of the kernel's self-test for Cloudflare's redirector (test_cls_redirect) against a running agent: sockets that
 * were connected before the agent began, so that only the kernel knows of them, and GUE from a peer, which is the next hop too.
 *
 *     neighbour, peer "s2": 10.9.9.2, fd09::2 ---- up0 10.9.9.1, fd09::1 (this namespace: agent "s1", sockets on the VIPs)
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket as Stream } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { readStatus } from "../../src/control/status.ts";
import { AgentProcess } from "../support/agent.ts";
import { ip, until } from "../support/netns.ts";
import * as make from "../support/packets.ts";
import { agentFolder } from "../support/unprivileged.ts";

const CONFIG = `cluster: test
seed: 0123456789abcdef0123456789abcdef
hosts:
  - { name: s1, dip: [10.9.9.1, "fd09::1"] }
  - { name: s2, dip: [10.9.9.2, "fd09::2"] }
services:
  - { name: web, vips: [192.0.2.10, "2001:db8::10"], ports: { tcp: [8080], udp: [8053] }, pool: { s1: 1 }, udp: flow, health: off }
table: { size: 1009 }
io: { mode: af-packet, uplink: up0, workers: 2 }
`;
const FAMILIES = [
  { name: "IPv4", vip: "192.0.2.10", self: "10.9.9.1", peer: "10.9.9.2", stranger: "203.0.113.9", outer: 28 },
  { name: "IPv6", vip: "2001:db8::10", self: "fd09::1", peer: "fd09::2", stranger: "2001:db8:c::9", outer: 48 },
] as const;
type Family = (typeof FAMILIES)[number];

/** Port of the peer's end of every connected socket. */
const CLIENT_PORT = 7000;
const [SYN, ACK] = [0x02, 0x10];

/** Connects, says so, then sends what it is told as GUE and tells what GUE it gets. */
const PEER = `
  const dgram = require("node:dgram"), net = require("node:net");
  const gue = {};
  for (const [address, type] of [["10.9.9.2", "udp4"], ["fd09::2", "udp6"]]) {
    gue[address] = dgram.createSocket(type).on("message", () => console.log("gue"));
    gue[address].bind(6080, address);
  }
  require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
    const [from, to, hex] = line.split(" ");
    gue[from].send(Buffer.from(hex, "hex"), 6080, to);
  });
  for (const [localAddress, host] of [["10.9.9.2", "192.0.2.10"], ["fd09::2", "2001:db8::10"]])
    net.connect({ host, port: 8080, localAddress, localPort: ${CLIENT_PORT} }).on("connect", () => console.log("connected")).on("error", () => {});
`;

let dir = "";
let space: ChildProcess;
let peer: ChildProcess;
let agent: AgentProcess;
let forwarded = 0;
let datagrams = 0;
let connected = 0;
const sockets: Socket[] = [];
const accepted: Stream[] = [];
const server = createServer();

const nsenter = (...command: string[]): string[] => ["-t", String(space.pid), "-n", ...command];

async function udpSocket(f: Family, connectedTo: string | null): Promise<void> {
  const socket = createSocket({ type: f.name === "IPv6" ? "udp6" : "udp4", reuseAddr: true });
  socket.on("message", () => datagrams++);
  socket.bind(8053, f.vip);
  await once(socket, "listening");
  if (connectedTo !== null) {
    socket.connect(CLIENT_PORT, connectedTo);
    await once(socket, "connect");
  }
  sockets.push(socket);
}

before(async () => {
  dir = agentFolder("hafl-matrix-");
  ip("link set lo up");
  space = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", "--net", "sleep", "300"], { stdio: "ignore" });
  const there = (line: string): boolean =>
    spawnSync("nsenter", nsenter("ip", ...line.split(" ")), { stdio: "ignore" }).status === 0;
  const apart = (): boolean =>
    readlinkSync("/proc/self/ns/net") !== readlinkSync(`/proc/${space.pid}/ns/net`) && there("link set lo up");
  await until("the neighbour's namespace", apart);
  ip(`link add up0 type veth peer name n0 netns ${space.pid}`);
  ip("link set up0 up");
  ip("addr add 10.9.9.1/24 dev up0");
  ip("-6 addr add fd09::1/64 dev up0 nodad");
  for (const line of [
    "link set n0 up",
    "addr add 10.9.9.2/24 dev n0",
    "-6 addr add fd09::2/64 dev n0 nodad",
    "route add 192.0.2.0/24 via 10.9.9.1",
    "-6 route add 2001:db8::/64 via fd09::1",
  ])
    assert.ok(there(line), line);
  // Before the agent: connections that it has seen nothing of.
  ip("addr add 192.0.2.10/32 dev lo");
  ip("-6 addr add 2001:db8::10/128 dev lo nodad");
  server.on("connection", (socket) => accepted.push(socket.on("error", () => {})));
  server.listen(8080, "::");
  await once(server, "listening");
  for (const f of FAMILIES) {
    await udpSocket(f, null);
    await udpSocket(f, f.peer);
  }
  peer = spawn("nsenter", nsenter(process.execPath, "-e", PEER), { stdio: ["pipe", "pipe", "inherit"] });
  createInterface({ input: peer.stdout! }).on("line", (line) => {
    if (line === "gue") forwarded++;
    else connected++;
  });
  await until("connections", () => connected === 2, 5000);
  writeFileSync(join(dir, "config.yaml"), CONFIG);
  agent = new AgentProcess(["run", "--config", join(dir, "config.yaml"), "--host", "s1", "--runtime-dir", join(dir, "run")]);
  await agent.logged(/^ready/);
});

after(async () => {
  agent.signal("SIGTERM");
  await agent.ended();
  peer.kill("SIGKILL");
  space.kill("SIGKILL");
  for (const socket of sockets) socket.close();
  for (const socket of accepted) socket.destroy();
  server.close();
  rmSync(dir, { recursive: true });
});

/** TCP segments that the kernel has taken in, good and bad, both families. */
function segments(): number {
  const rows = readFileSync("/proc/self/net/snmp", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"));
  const [names, values] = rows.map((line) => line.split(" "));
  return Number(values![names!.indexOf("InSegs")]);
}

interface Seen {
  readonly delivered: number;
  readonly next_hop: number;
  readonly kernel: boolean;
  readonly forwarded: number;
}

/** Sends one packet in GUE with so many hops and looks what becomes of it: by the agent, in the kernel, at the next hop. */
async function inject(f: Family, packet: Uint8Array, hops: number, protocol: string): Promise<Seen> {
  const taken = (): number => (protocol === "UDP" ? datagrams : segments());
  const verdicts = (): Record<string, number> => readStatus(join(dir, "run")).verdicts;
  const [was, wasTaken, wasForwarded] = [verdicts(), taken(), forwarded];
  const payload = make.gue(f.peer, f.self, packet, { hops: new Array<string>(hops).fill(f.peer) }).subarray(f.outer);
  peer.stdin!.write(`${f.peer} ${f.self} ${Buffer.from(payload).toString("hex")}\n`);
  const sum = (v: Record<string, number>): number => Object.values(v).reduce((a, b) => a + b, 0);
  await until("a verdict", () => sum(verdicts()) > sum(was), 3000);
  // What did not happen is not seen at once.
  await until("the effect", () => taken() > wasTaken || forwarded > wasForwarded, 3000);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const now = verdicts();
  const more = (name: "delivered" | "next_hop"): number => Number((now[name] ?? 0) > (was[name] ?? 0));
  return {
    delivered: more("delivered"),
    next_hop: more("next_hop"),
    kernel: taken() > wasTaken,
    forwarded: forwarded - wasForwarded,
  };
}

let port = 20_000;
// Unknown ones first: the kernel's answers to known ones bring more packets.
for (const known of [false, true]) {
  for (const f of FAMILIES) {
    for (const hops of [1, 0]) {
      for (const what of ["ACK", "no flags", "SYN", "UDP"]) {
        const mine = known || hops === 0 || what === "SYN";
        const title = `${f.name}: ${what} of ${known ? "a known" : "an unknown"} connection with ${hops} hops is ${mine ? "accepted" : "forwarded"}`;
        test(title, async () => {
          const from = known ? ([f.peer, CLIENT_PORT] as const) : ([f.stranger, port++] as const);
          const flags = what === "SYN" ? SYN : what === "ACK" ? ACK : 0;
          const body = make.filler(4);
          const packet = what === "UDP" ? make.udp(from, [f.vip, 8053], body) : make.tcp(from, [f.vip, 8080], body, { flags });
          const seen = await inject(f, packet, hops, what);
          assert.deepEqual(seen, {
            delivered: Number(mine),
            next_hop: Number(!mine),
            kernel: mine,
            forwarded: Number(!mine),
          });
        });
      }
    }
  }
}
