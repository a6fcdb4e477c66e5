/**
 * The nftables rules by which programs of this host send from shared egress IPs, within the slices the host owns. Pure.
 *
 * Source NAT, because it works for every program that binds the IP and connects. The socket option IP_LOCAL_PORT_RANGE needs
 * a change to each program or eBPF, knows one range only, and no kernel before 6.3 has it; net.ipv4.ip_local_port_range counts
 * for all addresses of a namespace. A program's own choice of port stays if it is in a slice; else it is mapped, per connection:
 * the same port serves any number of destinations.
 *
 *     output       `bound`   a new connection beyond one per port to a destination: refused, counted as exhausted
 *     postrouting  `source`  the source port goes into a slice; the kernel drops what finds no free one at its first packet
 *     postrouting  `guard`   whatever leaves with another port (state lost, no ports, another table's NAT) is dropped
 *     prerouting   `uplink`  the kernel's copy on the uplink stays unknown to connection tracking: in TUN mode its port would be
 *                            mapped back before we see it, in af-packet mode every packet would count twice
 *     prerouting   `stale`   a reply that tracking calls invalid would meet no socket, and be answered with a reset
 *
 * The kernel tries 128 + 64 + 32 + 16 ports, each from a random place, before it gives a packet up. Above about 97 % of a
 * large slice that may fail while a port is free; TCP tries again after a second.
 */
import { type Ports, portCount } from "../steering/slices.ts";
import { type Address, formatAddress } from "../wire/address.ts";

/** An egress IP and the ports of it that this host owns; none: packets to it are only passed on. */
export interface OwnPorts {
  readonly ip: Address;
  /** Ascending, disjoint. */
  readonly ranges: readonly Ports[];
}

/** What the rules count for an egress IP: connections refused because all ports are taken, packets kept from leaving. */
export interface EgressCounts {
  readonly exhausted: number;
  readonly strayed: number;
}

/** Destinations whose connections are counted, for each IP; beyond them only `source` notices that ports run out. */
const DESTINATIONS = 65_535;

/** Part of the names that belong to an IP; a colon cannot be in them. */
export const ruleKey = (ip: Address): string => formatAddress(ip).replaceAll(":", "_");

const span = ({ from, to }: Ports): string => `${from}-${to}`;

/** Rules that spread connections over ranges in turn, so that a packet tried again meets another one. */
function spread(ranges: readonly Ports[], key: string, snat: (range: Ports) => string): { rule: string; chains: string[] } {
  if (ranges.length === 1) return { rule: snat(ranges[0]!), chains: [] };
  // In units of the smallest range, at most 64 turns; every range gets one.
  const least = Math.max(Math.min(...ranges.map((r) => portCount([r]))), portCount(ranges) / 64);
  let turn = 0;
  const turns = ranges.map((range, i) => {
    const first = turn;
    turn += Math.max(1, Math.round(portCount([range]) / least));
    return `${first === turn - 1 ? first : `${first}-${turn - 1}`} : goto source-${key}-${i}`;
  });
  const chains = ranges.map((range, i) => `chain source-${key}-${i} { ${snat(range)}; }`);
  return { rule: `numgen inc mod ${turn} vmap { ${turns.join(", ")} }`, chains };
}

function rulesOf({ ip, ranges }: OwnPorts): string[] {
  const key = ruleKey(ip);
  const [family, type, icmp, errors] =
    ip.family === 4
      ? ["ip", "ipv4_addr", "icmp", "destination-unreachable, time-exceeded, parameter-problem"]
      : ["ip6", "ipv6_addr", "icmpv6", "destination-unreachable, packet-too-big, time-exceeded, parameter-problem"];
  const ports = "meta l4proto { tcp, udp }";
  const snat = (range: Ports): string =>
    `${ports} snat ${family} to ${ip.family === 4 ? "" : "["}${formatAddress(ip)}${ip.family === 4 ? "" : "]"}:${span(range)}`;
  const { rule, chains } = spread(ranges, key, snat);
  const chain = (name: string, rules: readonly string[]): string => `chain ${name}-${key} { ${rules.join("; ")}; }`;
  // An element of the set keeps the limit it was made with, hence a set for each limit.
  const busy = `busy-${portCount(ranges)}-${key}`;
  const limit = `add @${busy} { meta l4proto . ${family} daddr . th dport ct count over ${portCount(ranges)} }`;
  return [
    `counter exhausted-${key} { }`,
    `counter strayed-${key} { }`,
    `set ${busy} { type inet_proto . ${type} . inet_service; size ${DESTINATIONS}; flags dynamic; }`,
    chain("bound", [`${limit} counter name exhausted-${key} goto refuse`]),
    ...chains,
    chain("source", [
      ...(ranges.length > 1 ? ranges.map((r) => `${ports} th sport ${span(r)} ${snat(r).slice(ports.length + 1)}`) : []),
      rule,
    ]),
    chain("guard", [
      `${ports} th sport { ${ranges.map(span).join(", ")} } accept`,
      `${icmp} type { ${errors} } accept`,
      `counter name strayed-${key} drop`,
    ]),
  ];
}

/**
 * The text that makes the table of that name what it has to be, all at once. Of one that is there it replaces the rules, while
 * counters and known connections stay.
 */
export function egressRules(table: string, uplinks: readonly string[], all: readonly OwnPorts[]): string {
  const own = all.filter(({ ranges }) => ranges.length > 0);
  const from = ({ ip }: OwnPorts): string => `${ip.family === 4 ? "ip" : "ip6"} saddr ${formatAddress(ip)} oifname != "lo"`;
  const to = ({ ip }: OwnPorts): string => `${ip.family === 4 ? "ip" : "ip6"} daddr ${formatAddress(ip)}`;
  const base = (name: string, hook: string, rules: readonly string[]): string[] => [
    `chain ${name} {`,
    `  type ${hook}; policy accept;`,
    ...rules.map((rule) => `  ${rule}`),
    "}",
  ];
  const body = [
    "chain refuse { meta l4proto tcp reject with tcp reset; reject; }",
    ...own.flatMap((one) => rulesOf(one)),
    ...base(
      "uplink",
      "filter hook prerouting priority raw",
      own.flatMap((one) => uplinks.map((uplink) => `iifname "${uplink}" ${to(one)} notrack`)),
    ),
    ...base(
      "stale",
      "filter hook prerouting priority mangle",
      own.map((one) => `${to(one)} ct state invalid drop`),
    ),
    ...base(
      "bound",
      "filter hook output priority filter",
      own.map((one) => `ct state new meta l4proto { tcp, udp } ${from(one)} goto bound-${ruleKey(one.ip)}`),
    ),
    ...base(
      "source",
      "nat hook postrouting priority srcnat - 1",
      own.map((one) => `${from(one)} goto source-${ruleKey(one.ip)}`),
    ),
    ...base(
      "guard",
      "filter hook postrouting priority srcnat + 1",
      own.map((one) => `${from(one)} goto guard-${ruleKey(one.ip)}`),
    ),
  ];
  return [
    `table inet ${table}`,
    `flush table inet ${table}`,
    `table inet ${table} {`,
    ...body.map((line) => `  ${line}`),
    "}",
    "",
  ].join("\n");
}

/** The text that takes the table away. */
export const removeRules = (table: string): string => `delete table inet ${table}`;
