/** Rows of the balancer's cases. The IP-in-IP build of Katran (base) has nearly the same as the GUE build (gue). */
import { type Case, different, dropped, FRAGMENTED, KERNEL, type Row, rows, same, sent, sentTo } from "./katran-row.ts";

export const IP_IN_IP =
  "GUE is what we speak: the same packet goes to a host of the same pool, wrapped in GUE instead of IP-in-IP.";
const ECHO = "The owner's kernel answers, so that an answer says that a server is there, not only a balancer.";
const OPTIONS = "Options are no reason to drop: forwarded untouched.";
export const NO_SERVICE =
  "A VIP is the balancer's on all ports: what no service has is dropped and counted, since this host's kernel, which has the VIP too, would reset it.";
const LONG_HEADER =
  "Long headers go by 5-tuple: an ID in them may be the client's invention, and the flow is remembered, so the handshake stays on its host.";
const KATRAN_ID =
  "Katran's own first layout cuts the server id across octets; ours is QUIC-LB's, so this ID names nobody and goes by flow.";
const ID_ALONE =
  "An ID speaks for its own packet and does not redirect the flow: what names nobody goes where the flow began, in Katran where the last ID led.";
const PRE_FRAGMENT = "DF is clear: the inner packet is fragmented and every fragment wrapped, nothing is lost.";

/** By name, for rows that say where another one's flow goes. */
const CASES = {
  udp4: same("UDP to an IPv4 VIP, IPv4 hosts", sent(4)),
  tcp4: same("TCP to an IPv4 VIP, IPv4 hosts", sent(4)),
  anyPort: same("TCP to a VIP with all ports", sent(4)),
  tcp46: same("TCP to an IPv4 VIP, IPv6 hosts", sent(6)),
  tcp6: same("TCP to an IPv6 VIP, IPv6 hosts", sent(6)),
  echo4: different("ICMP echo request to a VIP", sent(6), ECHO),
  echo6: different("ICMPv6 echo request to a VIP", sent(6), ECHO),
  icmp4: same("fragmentation needed: to the host of the flow it is about", sent(4, "tcp4")),
  icmp6: same("packet too big: to the host of the flow it is about", sent(6, "tcp6")),
  options: different("IPv4 with options", sent(4), OPTIONS),
  fragment4: same("IPv4 fragment whose first never came", dropped("fragment_orphan")),
  fragment6: same("IPv6 fragment whose first never came", dropped("fragment_orphan")),
  otherPort4: different("a port of an IPv4 VIP that nobody serves", dropped("no_service"), NO_SERVICE),
  otherPort6: different("a port of an IPv6 VIP that nobody serves", dropped("no_service"), NO_SERVICE),
  arp: same("ARP", KERNEL),
  again: same("a known flow again", sent(4, "tcp4")),
  port1: same("TCP to a VIP hashed by destination port", sent(4)),
  port2: same("the same port from another client", sent(4, "port1")),
  tunnel44: same("IPv4 in a tunnel over IPv4 for someone else", KERNEL),
  tunnel66: same("IPv6 in a tunnel over IPv6 for someone else", KERNEL),
  tunnel46: same("IPv4 in a tunnel over IPv6 for someone else", KERNEL),
  initial4: same("QUIC: client's Initial, by hash", sent(4)),
  zeroRtt: same("QUIC: 0-RTT, with its flow", sent(4, "initial4")),
  handshake: different("QUIC: Handshake whose ID holds a server id", sent(4, "initial4"), LONG_HEADER),
  retry: different("QUIC: Retry whose ID holds a server id", sent(4, "initial4"), LONG_HEADER),
  initial6: same("QUIC: client's Initial over IPv6", sent(6)),
  noId: different("QUIC: short header without an ID, with its flow", sent(4, "retry"), ID_ALONE),
  idV1: different("QUIC: short header, ID of Katran's first layout", sent(4, "noId"), KATRAN_ID),
  unknownV1: different("QUIC: short header, server id of nobody, with its flow", sent(4, "idV1"), ID_ALONE),
  zeroId: different("QUIC: short header, server id 0, with its flow", sent(4, "unknownV1"), ID_ALONE),
  tos4: same("TOS of IPv4 is copied outside", sent(4, "tcp4")),
  tos6: same("traffic class of IPv6 is copied outside", sent(6, "tcp6")),
  idV2: same("QUIC: short header, ID of Katran's second layout: to the host it names", sentTo(6, "r62")),
  unknownV2: different("QUIC: short header, server id of nobody, after one that named a host", sent(4, "initial4"), ID_ALONE),
  empty4: same("TCP to an IPv4 VIP without hosts", dropped("no_host")),
  empty6: same("UDP to an IPv6 VIP without hosts", dropped("no_host")),
  big: different("UDP of 1501 bytes over a path of 1500", FRAGMENTED, PRE_FRAGMENT),
  migration: same("UDP to a VIP whose flows may move", sent(4)),
} as const satisfies Record<string, Case>;

type Name = keyof typeof CASES;
const named = (names: readonly Name[]): Case[] => names.map((key) => ({ ...CASES[key], key }));

const GUE: readonly Name[] = [
  ...(["udp4", "tcp4", "anyPort", "tcp46", "tcp6", "echo4", "echo6", "icmp4", "icmp6", "options", "fragment4"] as const),
  ...(["fragment6", "otherPort4", "otherPort6", "arp", "again", "port1", "port2", "tunnel44", "tunnel66", "tunnel46"] as const),
  ...(["initial4", "zeroRtt", "handshake", "retry", "initial6", "noId", "idV1", "unknownV1", "zeroId", "tos4", "tos6"] as const),
  ...(["idV2", "unknownV2", "empty4", "empty6"] as const),
];
const BASE: readonly Name[] = [
  ...(["udp4", "tcp4", "tos4", "anyPort", "tcp46", "tcp6", "tos6", "echo4", "echo6", "icmp4", "icmp6", "options"] as const),
  ...(["fragment4", "fragment6", "otherPort4", "otherPort6", "arp", "again", "port1", "port2", "tunnel44", "tunnel66"] as const),
  ...(["tunnel46", "initial4", "zeroRtt", "handshake", "retry", "initial6", "noId", "idV1", "unknownV1", "zeroId"] as const),
  ...(["big", "idV2", "unknownV2", "migration"] as const),
];

/** What would be the same but for the wrapper. */
export const inGueInstead = (c: Case): Case =>
  c.status === "same" && c.expect?.kind === "sent" ? { ...c, status: "different", reason: IP_IN_IP } : c;

export const BALANCING: readonly Row[] = [...rows("base", named(BASE).map(inGueInstead)), ...rows("gue", named(GUE))];
