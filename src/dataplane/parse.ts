/** From bytes to a flow. Nothing here throws: what cannot be parsed is a verdict. */
import { EXT_HEADERS, FRAGMENT_BAD, FRAGMENT_ORPHAN, ICMP_OTHER, MALFORMED, OK, TTL_ZERO, UNKNOWN_L4 } from "../shm/verdict.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  P_DESTINATION0,
  P_DESTINATION3,
  P_END,
  P_FRAGMENT,
  P_ICMP_ERROR,
  P_IP,
  P_L4,
  P_META,
  P_PORTS,
  P_PROTOCOL,
  P_SOURCE0,
  P_SOURCE3,
  P_TCP_FLAGS,
  P_TOS,
  P_VERSION,
} from "./parsed.ts";

const MAX_EXTENSIONS = 8;
const MAX_EXTENSION_BYTES = 256;
/** Bytes of a TCP header through its flags; a first fragment with less hides what the packet is (RFC 1858). */
const TCP_THROUGH_FLAGS = 14;

/**
 * Reads the IP header at `ip`, with `available` bytes there. Returns OK or MALFORMED. Sets addresses, version, end and TOS;
 * the rest is parseTransport's.
 */
export function parseNetwork(b: DataView, ip: number, available: number, p: Int32Array): number {
  if (available < 1) return MALFORMED;
  p[P_IP] = ip;
  if (b.getUint8(ip) >>> 4 === 4) {
    if (!ipv4.checkIpv4(b, ip, available)) return MALFORMED;
    p[P_VERSION] = 4;
    p[P_END] = ip + ipv4.totalLength(b, ip);
    p[P_TOS] = ipv4.tos(b, ip);
    setAddresses4(b, ip + ipv4.IPV4_SOURCE, ip + ipv4.IPV4_DESTINATION, p);
    return OK;
  }
  if (!ipv6.checkIpv6(b, ip, available)) return MALFORMED;
  p[P_VERSION] = 6;
  p[P_END] = ip + ipv6.IPV6_HEADER + ipv6.payloadLength(b, ip);
  p[P_TOS] = ipv6.trafficClass(b, ip);
  setAddresses6(b, ip + ipv6.IPV6_SOURCE, ip + ipv6.IPV6_DESTINATION, p);
  return OK;
}

function setAddresses4(b: DataView, source: number, destination: number, p: Int32Array): void {
  p[P_SOURCE3] = b.getInt32(source);
  p[P_DESTINATION3] = b.getInt32(destination);
}

function setAddresses6(b: DataView, source: number, destination: number, p: Int32Array): void {
  for (let i = 0; i < 3; i++) {
    p[P_SOURCE0 + i] = b.getInt32(source + 4 * i);
    p[P_DESTINATION0 + i] = b.getInt32(destination + 4 * i);
  }
  p[P_SOURCE3] = b.getInt32(source + 12);
  p[P_DESTINATION3] = b.getInt32(destination + 12);
}

/** Reads on from the IP header that parseNetwork took, to the flow. Returns OK or why the packet is dropped. */
export function parseTransport(b: DataView, p: Int32Array): number {
  const ip = p[P_IP]!;
  p[P_ICMP_ERROR] = 0;
  p[P_TCP_FLAGS] = 0;
  p[P_FRAGMENT] = FRAGMENT_NONE;
  if (p[P_VERSION] === 4) {
    if (ipv4.ttl(b, ip) === 0) return TTL_ZERO;
    p[P_L4] = ip + ipv4.headerLength(b, ip);
    p[P_PROTOCOL] = ipv4.protocol(b, ip);
    const bits = ipv4.fragmentBits(b, ip);
    if (bits !== 0) p[P_FRAGMENT] = ipv4.fragmentOffset(bits) === 0 ? FRAGMENT_FIRST : FRAGMENT_LATER;
  } else {
    if (ipv6.hopLimit(b, ip) === 0) return TTL_ZERO;
    const walked = walkExtensions(b, ip + ipv6.IPV6_HEADER, p[P_END]!, ipv6.nextHeader(b, ip), p);
    if (walked !== OK) return walked;
  }
  return p[P_FRAGMENT] === FRAGMENT_LATER ? FRAGMENT_ORPHAN : parsePorts(b, p);
}

/** Walks IPv6 extension headers from `at` to the transport header. Sets P_PROTOCOL, P_L4 and P_FRAGMENT. */
function walkExtensions(b: DataView, at: number, end: number, next: number, p: Int32Array): number {
  const limit = at + MAX_EXTENSION_BYTES;
  for (let n = 0; ipv6.isExtension(next); n++) {
    if (n === MAX_EXTENSIONS) return EXT_HEADERS;
    if (at + 8 > end) return MALFORMED;
    const length = ipv6.extensionLength(b, at, next);
    if (at + length > limit) return EXT_HEADERS;
    if (at + length > end) return MALFORMED;
    if (next === ipv6.FRAGMENT) {
      const bits = ipv6.fragmentBits6(b, at);
      // An atomic fragment (RFC 6946) is a whole packet.
      if (bits !== 0) p[P_FRAGMENT] = ipv4.fragmentOffset(bits) === 0 ? FRAGMENT_FIRST : FRAGMENT_LATER;
    }
    next = b.getUint8(at);
    at += length;
    // What follows in a later fragment is data.
    if (p[P_FRAGMENT] === FRAGMENT_LATER) break;
  }
  p[P_L4] = at;
  p[P_PROTOCOL] = next;
  return OK;
}

function parsePorts(b: DataView, p: Int32Array): number {
  const l4 = p[P_L4]!;
  const available = p[P_END]! - l4;
  const version = p[P_VERSION]!;
  const protocol = p[P_PROTOCOL]!;
  const whole = p[P_FRAGMENT] === FRAGMENT_NONE;
  p[P_META] = (version << 8) | protocol;
  if (protocol === tcp.TCP) {
    if (whole ? !tcp.checkTcp(b, l4, available) : available < TCP_THROUGH_FLAGS) return whole ? MALFORMED : FRAGMENT_BAD;
    p[P_TCP_FLAGS] = tcp.flags(b, l4);
    p[P_PORTS] = b.getInt32(l4);
    return OK;
  }
  if (protocol === udp.UDP) {
    if (whole ? !udp.checkUdp(b, l4, available) : available < udp.UDP_HEADER) return whole ? MALFORMED : FRAGMENT_BAD;
    p[P_PORTS] = b.getInt32(l4);
    return OK;
  }
  if (protocol !== (version === 4 ? icmp.ICMP : icmp.ICMPV6)) return UNKNOWN_L4;
  if (available < icmp.ICMP_HEADER) return whole ? MALFORMED : FRAGMENT_BAD;
  const type = b.getUint8(l4);
  if (type === (version === 4 ? icmp.ECHO_REQUEST : icmp.ECHO_REQUEST6)) {
    p[P_PORTS] = icmp.echoId(b, l4) << 16;
    return OK;
  }
  if (!whole || !(version === 4 ? icmp.isError4(type) : icmp.isError6(type))) return ICMP_OTHER;
  return parseEmbedded(b, l4 + icmp.ICMP_HEADER, p);
}

/**
 * Reads the packet inside an ICMP error: one of ours, from the VIP to the client, cut short. The flow is set as the client
 * sends it, so that the error meets the flow's owner. 8 bytes of transport header are enough (RFC 792).
 */
function parseEmbedded(b: DataView, ip: number, p: Int32Array): number {
  const end = p[P_END]!;
  const version = p[P_VERSION]!;
  const error = p[P_L4]!;
  const errorProtocol = p[P_PROTOCOL]!;
  let protocol: number;
  let l4: number;
  if (version === 4) {
    if (ip + ipv4.IPV4_HEADER > end || b.getUint8(ip) >>> 4 !== 4 || ipv4.headerLength(b, ip) < ipv4.IPV4_HEADER)
      return ICMP_OTHER;
    if (ipv4.fragmentOffset(ipv4.fragmentBits(b, ip)) !== 0) return ICMP_OTHER;
    protocol = ipv4.protocol(b, ip);
    l4 = ip + ipv4.headerLength(b, ip);
    setAddresses4(b, ip + ipv4.IPV4_DESTINATION, ip + ipv4.IPV4_SOURCE, p);
  } else {
    if (ip + ipv6.IPV6_HEADER > end || b.getUint8(ip) >>> 4 !== 6) return ICMP_OTHER;
    if (walkExtensions(b, ip + ipv6.IPV6_HEADER, end, ipv6.nextHeader(b, ip), p) !== OK) return ICMP_OTHER;
    if (p[P_FRAGMENT] === FRAGMENT_LATER) return ICMP_OTHER;
    protocol = p[P_PROTOCOL]!;
    l4 = p[P_L4]!;
    setAddresses6(b, ip + ipv6.IPV6_DESTINATION, ip + ipv6.IPV6_SOURCE, p);
  }
  p[P_L4] = error;
  p[P_PROTOCOL] = errorProtocol;
  p[P_FRAGMENT] = FRAGMENT_NONE;
  if (l4 + 8 > end) return ICMP_OTHER;
  if (protocol === tcp.TCP || protocol === udp.UDP) {
    p[P_PORTS] = (b.getUint16(l4 + 2) << 16) | b.getUint16(l4);
  } else if (protocol === errorProtocol && b.getUint8(l4) === (version === 4 ? icmp.ECHO_REPLY : icmp.ECHO_REPLY6)) {
    p[P_PORTS] = icmp.echoId(b, l4) << 16;
  } else {
    return ICMP_OTHER;
  }
  p[P_META] = (version << 8) | protocol;
  p[P_ICMP_ERROR] = 1;
  return OK;
}
