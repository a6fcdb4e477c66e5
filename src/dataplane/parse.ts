/** From bytes to a flow. Nothing here throws: what cannot be parsed is a verdict. */
import { EXT_HEADERS, FRAGMENT_BAD, FRAGMENT_ORPHAN, ICMP_OTHER, MALFORMED, OK, TTL_ZERO, UNKNOWN_L4 } from "../shm/verdict.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import { FRAGMENT_FIRST, FRAGMENT_LATER, FRAGMENT_NONE, type Parsed } from "./parsed.ts";

const MAX_EXTENSIONS = 8;
const MAX_EXTENSION_BYTES = 256;
/** Bytes of a TCP header through its flags; a first fragment with less hides what the packet is (RFC 1858). */
const TCP_THROUGH_FLAGS = 14;

/**
 * Reads the IP header at `ip`, with `available` bytes there. Returns OK or MALFORMED. Sets addresses, version, end, the start of what follows
 * and TOS;
 * the rest is parseTransport's.
 */
export function parseNetwork(b: DataView, ip: number, available: number, p: Parsed): number {
  // Less than 20 bytes are no IP header of either version.
  p.fragment = FRAGMENT_NONE;
  if (available < ipv4.IPV4_HEADER) return MALFORMED;
  const first = ipv4.firstWord(b, ip);
  p.ip = ip;
  if (ipv4.versionIn(first) === 4) {
    if (!ipv4.lengthsAgree(first, available)) return MALFORMED;
    p.version = 4;
    p.end = ip + ipv4.totalLengthIn(first);
    p.l4 = ip + ipv4.headerLengthIn(first);
    p.tos = ipv4.tosIn(first);
    p.source = b.getInt32(ip + ipv4.IPV4_SOURCE);
    p.destination = b.getInt32(ip + ipv4.IPV4_DESTINATION);
    return OK;
  }
  if (!ipv6.checkIpv6(b, ip, available)) return MALFORMED;
  p.version = 6;
  p.end = ip + ipv6.IPV6_HEADER + ipv6.payloadLength(b, ip);
  p.l4 = ip + ipv6.IPV6_HEADER;
  p.tos = ipv6.trafficClass(b, ip);
  setAddresses6(b, ip + ipv6.IPV6_SOURCE, ip + ipv6.IPV6_DESTINATION, p);
  return OK;
}

function setAddresses6(b: DataView, source: number, destination: number, p: Parsed): void {
  for (let i = 0; i < 3; i++) {
    p.upper[i] = b.getInt32(source + 4 * i);
    p.upper[i + 3] = b.getInt32(destination + 4 * i);
  }
  p.source = b.getInt32(source + 12);
  p.destination = b.getInt32(destination + 12);
}

/** Reads on from the IP header that parseNetwork took, to the flow. Returns OK or why the packet is dropped. */
export function parseTransport(b: DataView, p: Parsed): number {
  const ip = p.ip;
  p.icmpError = false;
  if (p.version === 4) {
    if (ipv4.ttl(b, ip) === 0) return TTL_ZERO;
    p.protocol = ipv4.protocol(b, ip);
    const bits = ipv4.fragmentBits(b, ip);
    if (bits !== 0) p.fragment = ipv4.fragmentOffset(bits) === 0 ? FRAGMENT_FIRST : FRAGMENT_LATER;
  } else {
    if (ipv6.hopLimit(b, ip) === 0) return TTL_ZERO;
    const walked = walkExtensions(b, p.l4, p.end, ipv6.nextHeader(b, ip), p);
    if (walked !== OK) return walked;
  }
  if (p.fragment !== FRAGMENT_LATER) return parsePorts(b, p);
  p.tcpFlags = 0;
  return FRAGMENT_ORPHAN;
}

/** Walks IPv6 extension headers from `at` to the transport header. Sets protocol, l4 and fragment. */
function walkExtensions(b: DataView, at: number, end: number, next: number, p: Parsed): number {
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
      if (bits !== 0) {
        p.fragment = ipv4.fragmentOffset(bits) === 0 ? FRAGMENT_FIRST : FRAGMENT_LATER;
        p.fragmentAt = at;
      }
    }
    next = b.getUint8(at);
    at += length;
    // What follows in a later fragment is data.
    if (p.fragment === FRAGMENT_LATER) break;
  }
  p.l4 = at;
  p.protocol = next;
  return OK;
}

function parsePorts(b: DataView, p: Parsed): number {
  const l4 = p.l4;
  const available = p.end - l4;
  const version = p.version;
  const protocol = p.protocol;
  const whole = p.fragment === FRAGMENT_NONE;
  p.kind = (version << 8) | protocol;
  if (protocol === tcp.TCP) {
    if (available < (whole ? tcp.TCP_HEADER : TCP_THROUGH_FLAGS)) return whole ? MALFORMED : FRAGMENT_BAD;
    if (whole && !tcp.lengthAgrees(b, l4, available)) return MALFORMED;
    p.tcpFlags = tcp.flags(b, l4);
    p.ports = b.getInt32(l4);
    return OK;
  }
  p.tcpFlags = 0;
  if (protocol === udp.UDP) {
    if (whole ? !udp.checkUdp(b, l4, available) : available < udp.UDP_HEADER) return whole ? MALFORMED : FRAGMENT_BAD;
    p.ports = b.getInt32(l4);
    return OK;
  }
  if (protocol !== (version === 4 ? icmp.ICMP : icmp.ICMPV6)) return UNKNOWN_L4;
  if (available < icmp.ICMP_HEADER) return whole ? MALFORMED : FRAGMENT_BAD;
  const type = b.getUint8(l4);
  if (type === (version === 4 ? icmp.ECHO_REQUEST : icmp.ECHO_REQUEST6)) {
    p.ports = icmp.echoId(b, l4) << 16;
    return OK;
  }
  if (!whole || !(version === 4 ? icmp.isError4(type) : icmp.isError6(type))) return ICMP_OTHER;
  return parseEmbedded(b, l4 + icmp.ICMP_HEADER, p);
}

/**
 * Reads the packet inside an ICMP error: one of ours, from the VIP to the client, cut short. The flow is set as the client
 * sends it, so that the error meets the flow's owner. 8 bytes of transport header are enough (RFC 792).
 */
function parseEmbedded(b: DataView, ip: number, p: Parsed): number {
  const end = p.end;
  const version = p.version;
  const error = p.l4;
  const errorProtocol = p.protocol;
  let protocol: number;
  let l4: number;
  if (version === 4) {
    if (ip + ipv4.IPV4_HEADER > end || b.getUint8(ip) >>> 4 !== 4 || ipv4.headerLength(b, ip) < ipv4.IPV4_HEADER)
      return ICMP_OTHER;
    if (ipv4.fragmentOffset(ipv4.fragmentBits(b, ip)) !== 0) return ICMP_OTHER;
    protocol = ipv4.protocol(b, ip);
    l4 = ip + ipv4.headerLength(b, ip);
    p.source = b.getInt32(ip + ipv4.IPV4_DESTINATION);
    p.destination = b.getInt32(ip + ipv4.IPV4_SOURCE);
  } else {
    if (ip + ipv6.IPV6_HEADER > end || b.getUint8(ip) >>> 4 !== 6) return ICMP_OTHER;
    if (walkExtensions(b, ip + ipv6.IPV6_HEADER, end, ipv6.nextHeader(b, ip), p) !== OK) return ICMP_OTHER;
    if (p.fragment === FRAGMENT_LATER) return ICMP_OTHER;
    protocol = p.protocol;
    l4 = p.l4;
    setAddresses6(b, ip + ipv6.IPV6_DESTINATION, ip + ipv6.IPV6_SOURCE, p);
  }
  p.l4 = error;
  p.protocol = errorProtocol;
  p.fragment = FRAGMENT_NONE;
  if (l4 + 8 > end) return ICMP_OTHER;
  if (protocol === tcp.TCP || protocol === udp.UDP) {
    p.ports = (b.getUint16(l4 + 2) << 16) | b.getUint16(l4);
  } else if (protocol === errorProtocol && b.getUint8(l4) === (version === 4 ? icmp.ECHO_REPLY : icmp.ECHO_REPLY6)) {
    p.ports = icmp.echoId(b, l4) << 16;
  } else {
    return ICMP_OTHER;
  }
  p.kind = (version << 8) | protocol;
  p.icmpError = true;
  return OK;
}
