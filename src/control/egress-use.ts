/** How much of its slices a host uses, asked of the kernel that runs the agent: connection tracking and the rules' counters. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Names } from "../shm/forwarding-table.ts";
import { type Ports, portsOfSlice } from "../steering/slices.ts";
import { formatAddress, parseAddress } from "../wire/address.ts";
import { type EgressCounts, ruleKey } from "./egress-rules.ts";
import { askCounts, readCounts } from "./nft.ts";

export interface SliceUse extends Ports {
  /** Tracked connections that are not over. */
  readonly connections: number;
  /** Ports that have any, TCP and UDP counted apart. */
  readonly ports: number;
}

export interface EgressUse {
  readonly sliceSize: number;
  /** Connections refused because every port was taken toward their destination; null when it cannot be read. */
  readonly exhausted: number | null;
  /** Packets kept from leaving with a port that is not this host's. */
  readonly strayed: number | null;
  /** The host's own slices by number; null when connection tracking cannot be read. */
  readonly slices: Readonly<Record<string, SliceUse | null>>;
}

/** Connections by source IP as the network sees it: how many, by protocol and port such as `tcp 2048`. */
export type PortUse = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Its second pair of addresses is how replies come back: to our IP and the port that stands for the program's own. */
const ENTRY = /^\S+ +\d+ (tcp|udp) +\d+ \d+ .*?src=.*?src=\S+ dst=(\S+) sport=\d+ dport=(\d+)/;
const OVER = / (?:TIME_WAIT|CLOSE) /;

/** Reads the text of /proc/net/nf_conntrack as far as it is about these IPs. */
export function portUse(text: string, ips: readonly string[]): PortUse {
  const uses = new Map(ips.map((ip) => [ip, new Map<string, number>()]));
  const known = new Map<string, Map<string, number> | undefined>();
  for (const line of text.split("\n")) {
    const [, protocol, ip, port] = ENTRY.exec(line) ?? [];
    if (ip === undefined || OVER.test(line)) continue;
    // IPv6 addresses are written out in full there.
    if (!known.has(ip)) known.set(ip, uses.get(formatAddress(parseAddress(ip)!)));
    const use = known.get(ip);
    const key = `${protocol} ${port}`;
    use?.set(key, (use.get(key) ?? 0) + 1);
  }
  return uses;
}

function useOfSlice(slice: number, sliceSize: number, use: ReadonlyMap<string, number>): SliceUse {
  const { from, to } = portsOfSlice(slice, sliceSize);
  const counts = [...use].filter(([key]) => {
    const port = Number(key.split(" ")[1]);
    return port >= from && port <= to;
  });
  return { from, to, ports: counts.length, connections: counts.reduce((sum, [, count]) => sum + count, 0) };
}

/** An egress IP of which a host owns slices. */
interface Owned {
  readonly ip: string;
  readonly sliceSize: number;
  readonly slices: readonly number[];
}

function ownedBy(names: Names, host: string): Owned[] {
  const id = [...names.hosts].find(([, name]) => name === host)?.[0];
  const own = names.egress.map(({ ip, sliceSize, owners }) => ({
    ip,
    sliceSize,
    slices: owners.filter(([, owner]) => owner === id).map(([slice]) => slice),
  }));
  return own.filter(({ slices }) => slices.length > 0);
}

/** From the text of /proc/net/nf_conntrack and the counters of the rules, either null where it cannot be read. */
function useOf(owned: readonly Owned[], text: string | null, counts: ReadonlyMap<string, EgressCounts> | null) {
  const ips = owned.map(({ ip }) => ip);
  const use = text === null ? null : portUse(text, ips);
  return Object.fromEntries(
    owned.map(({ ip, sliceSize, slices }): [string, EgressUse] => {
      const { exhausted = null, strayed = null } = counts?.get(ruleKey(parseAddress(ip)!)) ?? {};
      const bySlice = slices.map((n) => [n, use === null ? null : useOfSlice(n, sliceSize, use.get(ip)!)] as const);
      return [ip, { sliceSize, exhausted, strayed, slices: Object.fromEntries(bySlice) }];
    }),
  );
}

/**
 * The use of a host's slices by egress IP. `names` are those of its forwarding tables, `pid` its agent's, `table` the name of
 * its rules. Empty where it owns none. What the caller may not read is null.
 */
export function egressUse(names: Names, host: string, pid: number, table: string): Record<string, EgressUse> {
  const owned = ownedBy(names, host);
  return owned.length === 0 ? {} : useOf(owned, tracked(pid), readCounts(table, pid));
}

/** The same of this process's host, without waiting for `nft` or the kernel in this thread. Never rejects. */
export async function askEgressUse(names: Names, host: string, table: string): Promise<Record<string, EgressUse>> {
  const owned = ownedBy(names, host);
  if (owned.length === 0) return {};
  const text = readFile("/proc/self/net/nf_conntrack", "utf8").catch(() => null);
  return useOf(owned, await text, await askCounts(table));
}

function tracked(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/net/nf_conntrack`, "utf8");
  } catch {
    return null;
  }
}
