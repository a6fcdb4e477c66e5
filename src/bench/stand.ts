/**
 * The test stand: a lab without the lab's own servers, in which every way that packets may take has hosts of its own, so that nothing
 * is started or stopped between measurements and no agent listens on a host that is measured without one.
 *
 *      c1  client, MTU 1500              iperf3, wrk, echo client
 *       |
 *       r  router ("generate" sends small packets from here, on the link to a director)
 *       |
 *     ==+==+=======+=======+== MTU 1600: room for the GUE wrapper
 *       s1 s2    s3->s4  s5->s6 ...
 *
 *     s1  server without agent: iperf3, nginx, echo; "sink", where small packets end
 *     s2  balancer without agent: HAProxy (with and without splice), nginx stream, floor, the director by hand; all forward to s1
 *     s3  director, s4 target and server: agents with as many workers as they choose, or are asked for     VIP 192.0.2.10
 *     s5, s6 the same: agents with one worker                                         VIP 192.0.2.11
 *     s7, s8 the same: agents with two workers                                        VIP 192.0.2.12
 *     s9, s10 the same: agents with one worker that polls busily                      VIP 192.0.2.13
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { parseConfig } from "../control/config.ts";
import { type Guard, guardLab } from "../lab/guard.ts";
import { labDown } from "../lab/lab.ts";
import { nodeProgram, runScript, spawnDaemon } from "../lab/namespace.ts";
import { waitReady } from "../lab/node-processes.ts";
import { claimLab, labDir, logFile, runtimeDir } from "../lab/state.ts";
import { addressOf, hostNames, UPLINK } from "../lab/topology.ts";
import { type Place, runOn, startOn } from "./namespace-process.ts";
import { awaitListening, BALANCERS, startPeers, startWebServer } from "./peers.ts";
import { findTool } from "./tools.ts";

export const CLIENT = "c1";
export const ROUTER = "r";
export const SERVER = "s1";
export const BALANCER = "s2";
export const HTTP_PORT = 80;
export const BULK_PORT = 5201;
export const ECHO_PORT = 7;
/** A port that nobody listens on. */
export const SMALL_PORT = 9;
export const GUE_PORT = 6080;
/** What small packets are sent to; its one owner is s1, which has no agent but a sink. */
export const SMALL_VIP = "192.0.2.20";
/** Taken by the director that is written by hand, on s2; its owner is s4. */
export const BY_HAND_VIP = "192.0.2.30";
/**
 * How long a busy polling worker looks for packets before it sleeps, microseconds: longer than an idle echo leaves it alone. There is
 * one worker an agent: more threads that never sleep than processors get in the way of everybody.
 */
const BUSY_US = 300;
const SEED = "4861666c696e67657242656e63685365";

/** A director and a target with agents of a kind. */
export interface Pair {
  readonly director: string;
  readonly target: string;
  readonly vip: string;
  readonly io: Readonly<Record<string, number>>;
}

/** All there may be, in order of their hosts. `workers` null: what the agents choose. */
export function pairsOf(workers: number | null): readonly [Pair, Pair, Pair, Pair] {
  return [
    { director: "s3", target: "s4", vip: "192.0.2.10", io: workers === null ? {} : { workers } },
    { director: "s5", target: "s6", vip: "192.0.2.11", io: { workers: 1 } },
    { director: "s7", target: "s8", vip: "192.0.2.12", io: { workers: 2 } },
    { director: "s9", target: "s10", vip: "192.0.2.13", io: { workers: 1, busyPollUs: BUSY_US } },
  ];
}

const MOST_HOSTS = 2 + 2 * pairsOf(null).length;

/** The config of the agents of a pair: one cluster for all, apart from how they move packets. */
function standConfig(io: Pair["io"]): string {
  const services = [
    ...pairsOf(null).map(({ target, vip }) => ({ name: target, vips: [vip], ports: { tcp: "any" }, pool: [target] })),
    { name: "small", vips: [SMALL_VIP], ports: { tcp: "any" }, pool: [SERVER] },
    { name: "by-hand", vips: [BY_HAND_VIP], ports: { tcp: "any" }, pool: ["s4"] },
  ];
  return stringify(
    {
      cluster: "bench",
      seed: SEED,
      hosts: hostNames({ hosts: MOST_HOSTS }).map((name) => ({ name, dip: addressOf(name, 4) })),
      services,
      gue: { port: GUE_PORT },
      io: { mode: "af-packet", uplink: UPLINK, ...io },
    },
    { aliasDuplicateObjects: false },
  );
}

/** Whether this version knows what the pair's agents are to do. */
export const isKnown = (pair: Pair): boolean => "config" in parseConfig(standConfig(pair.io), "built-in");

export interface Stand extends Place {
  readonly pairs: readonly Pair[];
  readonly hosts: readonly string[];
  down(): Promise<void>;
}

async function startAgents({ lab, signal }: Place, pair: Pair): Promise<void> {
  const config = join(labDir(lab), `${pair.director}.yaml`);
  writeFileSync(config, standConfig(pair.io));
  const starts = [pair.director, pair.target].map(async (node) => {
    const args = ["run", "--config", config, "--host", node, "--runtime-dir", runtimeDir(lab, node)];
    const pid = await spawnDaemon(lab, node, nodeProgram("cli/main.ts", args), logFile(lab, node, "agent"));
    await waitReady(lab, { node, role: "agent", pid }, signal);
  });
  await Promise.all(starts);
}

/** echo and, where they are to be had, iperf3 and nginx. They end with the lab. */
async function startServers(place: Place, node: string): Promise<void> {
  const iperf3 = findTool("iperf3");
  const web = findTool("nginx") !== null;
  if (iperf3 !== null) await spawnDaemon(place.lab, node, [...iperf3, "-s"], logFile(place.lab, node, "iperf3"));
  if (web) await startWebServer(place, node, HTTP_PORT);
  await startOn(place, node, "echo", ["server", ECHO_PORT]);
  await awaitListening(
    place,
    node,
    [...(iperf3 === null ? [] : [BULK_PORT]), ...(web ? [HTTP_PORT] : [])].map((port) => `:${port}`),
  );
}

/** Connections by the thousand a second need ports, and queues where they begin. */
const SYSCTLS = [
  "ipv4/ip_local_port_range=1024 65535",
  "ipv4/tcp_tw_reuse=1",
  "core/somaxconn=8192",
  "ipv4/tcp_max_syn_backlog=8192",
];

async function setSysctls(place: Place, node: string): Promise<void> {
  const set = SYSCTLS.map((setting) => setting.split("=")).map(([path, value]) => `echo ${value} >/proc/sys/net/${path}`);
  await runOn(place, node, ["sh", "-ec", set.join("\n")]);
}

/** Raises the stand with these pairs and peers. Throws when anything fails, and has then taken it down. */
export async function raiseStand(pairs: readonly Pair[], peers: ReadonlySet<string>, signal: AbortSignal): Promise<Stand> {
  const lab = `bench-${process.pid}`;
  claimLab(lab);
  const guard: Guard = guardLab(lab);
  const down = async (): Promise<void> => {
    await labDown(lab);
    await guard.release();
  };
  const place = { lab, signal };
  try {
    const last = Math.max(2, ...pairs.map(({ target }) => Number(target.slice(1))));
    const hosts = hostNames({ hosts: last });
    mkdirSync(labDir(lab), { recursive: true });
    await runScript("lab-up.sh", [lab, String(last), "1", SMALL_VIP]);
    for (const { vip, director } of pairs) await runScript("lab-route.sh", [lab, vip, director.slice(1)]);
    await runScript("lab-route.sh", [lab, BY_HAND_VIP, BALANCER.slice(1)]);
    await Promise.all([CLIENT, ...hosts].map((node) => setSysctls(place, node)));
    for (const address of Object.values(BALANCERS))
      await runOn(place, BALANCER, ["ip", "address", "add", `${address}/24`, "dev", UPLINK]);
    const servers = [SERVER, ...pairs.map(({ target }) => target)];
    await Promise.all([
      ...pairs.map((pair) => startAgents(place, pair)),
      ...servers.map((node) => startServers(place, node)),
      startPeers(place, BALANCER, addressOf(SERVER, 4), peers, [BULK_PORT, HTTP_PORT, ECHO_PORT]),
    ]);
    return { ...place, pairs, hosts, down };
  } catch (error) {
    await down();
    throw error;
  }
}
