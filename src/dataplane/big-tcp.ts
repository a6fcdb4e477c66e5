/**
 * BIG TCP: super-segments above 64 KB, which the kernel makes where a device's gso_max_size or gro_max_size is raised. Their length
 * stands in no length field: IPv4 total length and IPv6 payload length are 0 (iph_set_totlen, ipv6_gro_complete), and most kernels put a
 * hop-by-hop header with the jumbo payload option (RFC 2675; struct hop_jumbo_hdr) behind the IPv6 header. None of it is ever on the wire.
 */
import {
  GSO_TCPV4,
  GSO_TCPV6,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_TYPE,
  RX_LENGTH,
  RX_OFFSET,
  RX_TRUNCATED,
} from "../io/packet-io.ts";
import { MALFORMED, OK } from "../shm/verdict.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { parseNetwork } from "./parse.ts";
import { FRAGMENT_NONE, type Parsed } from "./parsed.ts";

/** The longest packet whose IPv4 header can tell its length. */
export const LONGEST = 65_535;

/** Whether a frame of which `available` bytes lie from the IP header on is one that does not tell its length. */
function isBigTcp(b: DataView, records: Int32Array, r: number, ip: number, available: number): boolean {
  if (available <= LONGEST || (records[r + RX_FLAGS]! & RX_TRUNCATED) !== 0) return false;
  const type = records[r + RX_GSO_TYPE]!;
  if (type === GSO_TCPV4) return b.getUint8(ip) >>> 4 === 4 && ipv4.totalLength(b, ip) === 0;
  return type === GSO_TCPV6 && b.getUint8(ip) >>> 4 === 6 && ipv6.payloadLength(b, ip) === 0;
}

/**
 * Takes the jumbo payload header out of a frame of BIG TCP whose IP header is at `ip`: moves what is in front of it up and mends the
 * record. Returns where the IP header is then. Leaves any other frame as it is.
 */
export function dropJumbo(b: DataView, records: Int32Array, r: number, ip: number): number {
  const offset = records[r + RX_OFFSET]!;
  const available = offset + records[r + RX_LENGTH]! - ip;
  if (!isBigTcp(b, records, r, ip, available) || records[r + RX_GSO_TYPE] !== GSO_TCPV6) return ip;
  const payload = available - ipv6.IPV6_HEADER;
  const next = ipv6.jumboNextHeader(b, ip, payload);
  if (next < 0) return ip;
  ipv6.setNextHeader(b, ip, next);
  for (let i = ip + ipv6.IPV6_HEADER - 1; i >= offset; i--) b.setUint8(i + ipv6.JUMBO_HEADER, b.getUint8(i));
  records[r + RX_OFFSET] = offset + ipv6.JUMBO_HEADER;
  records[r + RX_LENGTH]! -= ipv6.JUMBO_HEADER;
  records[r + RX_CSUM_START]! -= ipv6.JUMBO_HEADER;
  return ip + ipv6.JUMBO_HEADER;
}

/**
 * As parseNetwork, for a frame above 64 KB with its IP header at `ip`: one of BIG TCP is as long as the frame is.
 */
export function parseLong(b: DataView, records: Int32Array, r: number, at: number, p: Parsed): number {
  const ip = dropJumbo(b, records, r, at);
  const available = records[r + RX_OFFSET]! + records[r + RX_LENGTH]! - ip;
  if (!isBigTcp(b, records, r, ip, available)) return parseNetwork(b, ip, available, p);
  const v4 = records[r + RX_GSO_TYPE] === GSO_TCPV4;
  // The rest of the header is read as that of any packet.
  if (v4) b.setUint16(ip + ipv4.TOTAL_LENGTH, LONGEST);
  else ipv6.setPayloadLength(b, ip, LONGEST - ipv6.IPV6_HEADER);
  const network = parseNetwork(b, ip, available, p);
  if (v4) b.setUint16(ip + ipv4.TOTAL_LENGTH, 0);
  else ipv6.setPayloadLength(b, ip, 0);
  if (network === OK) p.end = ip + available;
  return network;
}

/** The verdict on a packet that was read as far as its ports: one above 64 KB is no fragment. */
export function judgeLong(p: Parsed, verdict: number): number {
  if (p.end - p.ip <= LONGEST || p.fragment === FRAGMENT_NONE) return verdict;
  p.fragment = FRAGMENT_NONE;
  return MALFORMED;
}
