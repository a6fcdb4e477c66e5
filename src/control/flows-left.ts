/**
 * What a host that gets no new flows still has to do: its TCP connections to the VIPs as its kernel knows them, idle ones too; of UDP,
 * where flows have no end, those of the flow table that had a packet lately.
 */
import { createReadStream, existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { addressOf, contains, type Prefix } from "../wire/address.ts";
import type { Config } from "./config.ts";
import type { OwnedFlows } from "./owned-flows.ts";
import { vipsOf } from "./running-config.ts";

/**
 * States of a socket without a connection: SYN_RECV, TIME_WAIT, CLOSE, LISTEN (include/net/tcp_states.h). Of the first there always are
 * some, of probes that go no further.
 */
const OVER: readonly string[] = ["03", "06", "07", "0A"];

/** A line of /proc/net/tcp or tcp6: number, own address and port, the other's, state. */
const SOCKET = /^\s*\d+: ([0-9A-F]+):[0-9A-F]{4} [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2})/;

/** Whether a line of /proc/net/tcp or tcp6 is of a connection to one of the VIPs. */
export function isConnectionTo(vips: readonly Prefix[], line: string): boolean {
  const [, own, state] = SOCKET.exec(line) ?? [];
  if (own === undefined || OVER.includes(state!)) return false;
  // Words as this machine has them in memory: its first byte is the last of the text that a word makes.
  const word = (i: number): number => Buffer.from(own.slice(8 * i, 8 * i + 8), "hex").readUInt32LE();
  const address = own.length === 8 ? addressOf(0, 0, 0xffff, word(0)) : addressOf(word(0), word(1), word(2), word(3));
  return vips.some((vip) => contains(vip, address));
}

/** TCP connections to the VIPs in the network namespace of a process. Rejects when that cannot be read. */
async function connections(proc: string, pid: number, vips: readonly Prefix[]): Promise<number> {
  let count = 0;
  for (const table of ["tcp", "tcp6"]) {
    // A kernel that runs without IPv6 does not have it.
    if (table === "tcp6" && !existsSync(`${proc}/${pid}/net/${table}`)) continue;
    const lines = createInterface({ input: createReadStream(`${proc}/${pid}/net/${table}`) });
    for await (const line of lines) if (isConnectionTo(vips, line)) count++;
  }
  return count;
}

/** Flows of the host that the agent `pid` serves; `owned` are those of its flow table. Rejects when they cannot be counted. */
export async function flowsLeft(config: Config, pid: number, owned: OwnedFlows, proc = "/proc"): Promise<number> {
  const tcp = await connections(proc, pid, vipsOf(config));
  const hasUdp = config.services.some(({ ports, udp }) => ports.udp.length > 0 && udp !== "stateless");
  return hasUdp ? tcp + (await owned.countUdp()) : tcp;
}
