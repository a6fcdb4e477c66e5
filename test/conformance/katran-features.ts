/** Rows of the cases of single features: prefixes, path MTU, server ids of other kinds, decapsulation, health checks. */
import { inGueInstead, NO_SERVICE } from "./katran-balancing.ts";
import {
  type Case,
  DELIVERED,
  different,
  dropped,
  FRAGMENTED,
  KERNEL,
  notApplicable,
  type Row,
  rows,
  same,
  sent,
  sentTo,
} from "./katran-row.ts";

const PREFIXES = rows("cidr-vip", [
  same("TCP to an address of an IPv6 prefix, all ports", sent(6)),
  same("another address of it, another port", sent(6)),
  same("a third one", sent(6)),
  same("TCP to a prefix with one port", sent(6)),
  different("another port of it", dropped("no_service"), NO_SERVICE),
  same("UDP to a prefix, all ports", sent(6)),
  same("UDP to a prefix with one port", sent(6)),
  different("another port of it", dropped("no_service"), NO_SERVICE),
  same("an address outside of all prefixes", KERNEL),
]);

const NO_ROUTES =
  "Hosts are chosen by hash and weight alone: tables are a pure function of the pool, and `hash: source` keeps a client on one host.";
const SOURCE_ROUTES = rows("lpm-src-lookup", [
  different("client in a routed /17, known flow", sent(4), NO_ROUTES, { key: "first" }),
  different("client in a routed /17", sent(4, "first"), NO_ROUTES),
  different("client in a routed /24", sent(4), NO_ROUTES),
  same("client of no route: by hash", sent(4)),
  different("client in a routed /64", sent(6), NO_ROUTES),
  different("client in a routed /32", sent(6), NO_ROUTES),
  same("IPv6 client of no route: by hash", sent(6)),
  different("client in a routed /64, known flow", sent(6), NO_ROUTES),
]);

const PRE_FRAGMENT = "DF is clear, so nobody needs to be told: the inner packet is fragmented and every fragment wrapped.";
const MTU_FIELD = "The reference holds MTU 0, which no source can use; ours is what fits.";
const TOO_BIG = [
  ...rows("icmp-too-big", [
    different("UDP of 1528 bytes, DF clear", FRAGMENTED, PRE_FRAGMENT),
    same("TCP over IPv6 of 1560 bytes: packet too big, MTU 1500, from the VIP", { kind: "told", mtu: 1500 }),
  ]),
  ...rows("icmp-too-big-origin-gue", [
    different("UDP of 1528 bytes, DF clear", FRAGMENTED, PRE_FRAGMENT),
    different("TCP over IPv6 of 1560 bytes: packet too big from the VIP", { kind: "told", mtu: 1500 - 52 }, MTU_FIELD),
  ]),
];

const DOWN = "A host that is down gets nothing, whatever the service; one that is to keep its flows is `draining`.";
const migration = (again: boolean): Case[] => {
  const [host, family] = again ? (["r62", 6] as const) : (["r42", 4] as const);
  const when = again ? "after its host went down" : "before";
  const move = (what: string): Case => same(`${what}, ${when}`, sentTo(family, host));
  const stay = (what: string): Case => (again ? different(`${what}, ${when}`, sentTo(family, host), DOWN) : move(what));
  return [
    move("UDP to a VIP whose flows may move"),
    move("UDP to a VIP with a server id in the payload"),
    stay("UDP to a VIP whose flows may not move"),
    stay("TCP to a VIP"),
  ];
};
const MIGRATION = [...rows("udp-flow-migration-1", migration(false)), ...rows("udp-flow-migration-2", migration(true))];

/** The header of stable routing reads like a QUIC short header, a server id behind the first octet of its ID. */
const STABLE = rows("udp-stable-routing", [
  same("payload with server id 0: by hash", sent(6), { key: "zero" }),
  same("payload with a host's server id", sentTo(6, "r63")),
  same("the same from another port", sentTo(6, "r63")),
  same("the same from another address", sentTo(6, "r63")),
  same("server id 0 again, with its flow", sent(6, "zero")),
]);

const NO_OPTION =
  "No server id is read from TCP: the flow table and the chain of hosts keep a connection on its host without the server's help. By flow, option untouched.";
const option = (what: string, family: 4 | 6, like?: string, key = ""): Case =>
  different(`server id option: ${what}`, sent(family, like), NO_OPTION, { key });
const ignored = (what: string, family: 4 | 6, like?: string, key = ""): Case =>
  same(`server id option: ${what}`, sent(family, like), { key });
const SERVER_ID_OPTION: readonly Case[] = [
  ignored("on a SYN, ignored", 4, undefined, "four"),
  option("of a host", 4, "four"),
  option("of a host, VIP with all ports", 4),
  option("of a host, IPv4 VIP with IPv6 hosts", 6, undefined, "mixed"),
  option("of a host, IPv6 VIP", 6, undefined, "six"),
  ignored("none, known flow", 4, "four"),
  option("of a host, known flow", 4, "four"),
  ignored("none but other options, known flow", 6, "six"),
  ignored("0, known flow", 6, "six"),
  ignored("of a wrong length, known flow", 6, "six"),
  option("of a host, known flow over IPv6", 6, "six"),
  ignored("of nobody, new flow", 6),
  option("of a host, behind 14 NOPs", 6, "six"),
  ignored("none, VIP hashed by destination port", 4, undefined, "port"),
  option("of a host, VIP hashed by destination port, another client", 4, "port"),
  ignored("behind the end of options, known flow", 6, "six"),
  ignored("of nobody, known flow", 6, "mixed"),
];

const TTL = "The inner packet arrives byte for byte: its TTL is not lowered, as the balancer is no hop of the client's path.";
const ONCE =
  "What comes in GUE without further hops has been balanced by a peer: it is delivered, not balanced again, and its TTL is not touched.";
const target = (place: "balancer as target" | "inline as target"): { place: typeof place } => ({ place });
const DECAPSULATION = [
  ...rows("decap-stats", [
    different("IPv6 in GUE over IPv6 for us", DELIVERED, TTL, target("balancer as target")),
    different("IPv4 in GUE over IPv6 for us", DELIVERED, TTL, target("balancer as target")),
    same("TCP to an IPv6 VIP", sent(6)),
  ]),
  ...rows("xpop-decap", [
    different("GUE for an inline address, IPv4 VIP with IPv4 hosts", DELIVERED, ONCE, target("inline as target")),
    different("GUE for an inline address, IPv4 VIP with IPv6 hosts", DELIVERED, ONCE, target("inline as target")),
    different("GUE for an inline address, IPv6 VIP", DELIVERED, ONCE, target("inline as target")),
    different("the same with inner TTL 1", DELIVERED, ONCE, target("inline as target")),
    different("the same with inner hop limit 1", DELIVERED, ONCE, target("inline as target")),
    different("GUE for the balancer's own address", DELIVERED, TTL, target("balancer as target")),
    same("GUE for another address", KERNEL, target("balancer as target")),
  ]),
];

const AT_SERVER = { place: "server as target" } as const;
const plain = (what: string): Case => same(what, KERNEL, AT_SERVER);
const unwrapped = (what: string): Case => same(what, DELIVERED, AT_SERVER);
const FIRST = "A first fragment has its ports and is routed by them; the ones that follow go to the same host.";
const fragments = [
  different("first IPv4 fragment", sent(4), FIRST),
  same("IPv6 fragment whose first never came", dropped("fragment_orphan")),
];
const NO_IP_IN_IP = "IP-in-IP, which we do not speak.";
const AT_SERVERS = [
  ...rows("xdpdecap-gue", [
    plain("UDP without payload"),
    plain("IPv4 that is not GUE"),
    plain("IPv6 that is not GUE"),
    ...fragments,
    unwrapped("IPv4 in GUE over IPv4"),
    unwrapped("IPv6 in GUE over IPv6"),
    unwrapped("IPv4 in GUE over IPv6"),
    unwrapped("TCP without payload in GUE over IPv6"),
    plain("ICMP echo request"),
    plain("ICMPv6 echo request"),
    unwrapped("IPv6 in GUE, TCP server id option"),
    unwrapped("IPv6 in GUE, another server id"),
    unwrapped("IPv4 in GUE over IPv6, another server id"),
    unwrapped("IPv4 in GUE over IPv6, SYN with a server id"),
    unwrapped("IPv6 in GUE, SYN with a server id"),
    unwrapped("IPv6 in GUE, PSH with a server id of another"),
  ]),
  ...rows("xdpdecap-ipip", [
    plain("IPv4 that is no tunnel"),
    plain("IPv6 that is no tunnel"),
    ...fragments,
    notApplicable("IPv4 in IPv4", NO_IP_IN_IP),
    notApplicable("IPv6 in IPv6", NO_IP_IN_IP),
    notApplicable("IPv4 in IPv6", NO_IP_IN_IP),
    plain("ICMP echo request"),
    plain("ICMPv6 echo request"),
    plain("ARP"),
  ]),
];

const OUTGOING =
  "Taking what servers send out of GUE and sending it on to the client: with direct server return answers pass no balancer.";
const REWRITE = "Rewriting the inner source to the outer one: no balancing, and the inner packet arrives as it was sent.";
const CHECKS =
  "Health checks that the balancer's own kernel sends, wrapped by firewall mark: nothing of it is in the path of packets.";
const checks = ["IPv4 without a mark", "IPv4, mark 1", "IPv4, mark 2", "IPv6, mark 3"].map((what) =>
  notApplicable(`health check: ${what}`, CHECKS),
);
const OUTSIDE = [
  ...rows("egress-decap", [
    notApplicable("IPv4 of a server in GUE, to the client", OUTGOING),
    notApplicable("IPv6 of a server in GUE, to the client", OUTGOING),
    notApplicable("the same with inner TTL 1", OUTGOING),
  ]),
  ...rows("tc-src-match", [
    notApplicable("GUE on the port whose inner source is rewritten", REWRITE),
    same("GUE on another port, for someone else", KERNEL),
    same("IPv4 for someone else", KERNEL),
    same("TCP over IPv6 for someone else", KERNEL),
    same("UDP over IPv6 that is not GUE", KERNEL),
  ]),
  ...rows("healthcheck", checks),
  ...rows("healthcheck-gue", checks),
];

export const FEATURES: readonly Row[] = [
  ...PREFIXES,
  ...SOURCE_ROUTES,
  ...TOO_BIG,
  ...MIGRATION,
  ...STABLE,
  ...rows("tpr", SERVER_ID_OPTION.map(inGueInstead)),
  ...rows("tpr-gue", SERVER_ID_OPTION),
  ...DECAPSULATION,
  ...AT_SERVERS,
  ...OUTSIDE,
];
