/**
 * Which packets may go to the kernel as one super-segment: those that its own receive offload (GRO: tcp_gro_receive,
 * udp_gro_receive, inet_gro_receive, ipv6_gro_receive) would put together, so that taking it apart again gives back the packets
 * that came. Checksums of TCP and UDP are not looked at here: they take long, and are verified for many packets at once.
 */
import { ipv4ChecksumGood } from "../wire/checksum.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import type { Parsed } from "./parsed.ts";

/** Words of a train: packets of one flow, each going on where the one before ends. */
/** Its first and its last packet: where in the checks they are. */
export const TRAIN_FIRST = 0;
export const TRAIN_LAST = 1;
export const TRAIN_COUNT = 2;
/** Bytes of the GUE header in front of the first packet. */
export const TRAIN_GUE = 3;
/** Offset of the first packet's IP header; bytes of that, and of it with the TCP or UDP header. */
export const TRAIN_IP = 4;
export const TRAIN_L4 = 5;
export const TRAIN_HEADERS = 6;
/** Payload bytes of the first packet. None has more, and after one with less the train takes no more. */
export const TRAIN_SIZE = 7;
/** Bytes from the IP header on, as one packet. */
export const TRAIN_LENGTH = 8;
/** TCP: sequence number of what comes next. */
export const TRAIN_SEQUENCE = 9;
/** By how much the IPv4 identification goes up from packet to packet: 0 or 1; -1 while there is but one. */
export const TRAIN_STEP = 10;
export const TRAIN_PROTOCOL = 11;
/** Packets it takes; 0 when it takes no more. */
export const TRAIN_MOST = 12;
/** Sum of the pseudo-header without the length. */
export const TRAIN_PSEUDO = 13;
export const TRAIN_STRIDE = 16;

/** As IPv4 can say it, for both families. */
const LONGEST = 65_535;
/** The other zero of one's complement: right in a checksum, but not what the kernel writes when it takes a super-segment apart. */
const ODD_ZERO = 0xffff;
/** The only flags that packets of one train may differ in, and only its last may have. */
const AT_END = tcp.FIN | tcp.PSH;
const FLAGS_SHIFT = 16;

/** Payload bytes of the packet in hand, a whole one of TCP or UDP, when others may be put behind it; else 0. */
export function payloadBeginning(b: DataView, p: Parsed): number {
  const { ip, l4, end } = p;
  let payload: number;
  if (p.protocol === tcp.TCP) {
    // CWR is for one packet alone (RFC 3168) or a bit of ACE (RFC 9768), and a kernel that takes a super-segment apart once more
    // clears it in all but the first, unless it is Linux 6.18 and was told of AccECN: a virtio header cannot tell. ECE and, in
    // goesOn(), AE are said in each.
    if ((p.tcpFlags & ~tcp.ECE) !== tcp.ACK) return 0;
    if (tcp.checksumOf(b, l4) === ODD_ZERO) return 0;
    payload = end - l4 - tcp.tcpHeaderLength(b, l4);
  } else {
    if (udp.udpLength(b, l4) !== end - l4 || udp.checksumOf(b, l4) === 0) return 0;
    payload = end - l4 - udp.UDP_HEADER;
  }
  if (payload === 0) return 0;
  if (p.version === 6) return l4 - ip === ipv6.IPV6_HEADER ? payload : 0;
  if (l4 - ip !== ipv4.IPV4_HEADER || !ipv4.hasNoFragmentBitBut(b, ip, ipv4.DONT_FRAGMENT)) return 0;
  return ipv4.headerChecksum(b, ip) !== ODD_ZERO && ipv4ChecksumGood(b, ip, ipv4.IPV4_HEADER) ? payload : 0;
}

/**
 * Payload bytes of the packet at `ip`, of which `room` bytes are there, when it goes on where the train at `t` in `w` ends, under
 * headers that are the same but for what is each packet's own; else 0. Nothing need be known of the packet.
 */
export function payloadJoining(b: DataView, w: Int32Array, t: number, ip: number, room: number): number {
  const headers = w[t + TRAIN_HEADERS]!;
  if (room <= headers || w[t + TRAIN_COUNT]! >= w[t + TRAIN_MOST]!) return 0;
  const l4 = w[t + TRAIN_L4]!;
  const first = w[t + TRAIN_IP]!;
  const payload = l4 === ipv4.IPV4_HEADER ? payloadAfter4(b, w, t, first, ip, room) : payloadAfter6(b, first, ip, room, headers);
  if (payload <= 0 || payload > w[t + TRAIN_SIZE]! || w[t + TRAIN_LENGTH]! + payload > LONGEST) return 0;
  if (b.getInt32(ip + l4) !== b.getInt32(first + l4)) return 0;
  const same =
    w[t + TRAIN_PROTOCOL] === tcp.TCP
      ? goesOn(b, first + l4, ip + l4, headers - l4, w[t + TRAIN_SEQUENCE]!)
      : udp.udpLength(b, ip + l4) === udp.UDP_HEADER + payload && udp.checksumOf(b, ip + l4) !== 0;
  return same ? payload : 0;
}

/** The payload behind equal IPv4 headers: lengths may differ, identifications count up or, with DF, stay (RFC 6864, 4.1). */
function payloadAfter4(b: DataView, w: Int32Array, t: number, first: number, ip: number, room: number): number {
  const [a0, a1, a2] = [b.getInt32(first), b.getInt32(first + 4), b.getInt32(first + 8)];
  const [b0, b1, b2] = [b.getInt32(ip), b.getInt32(ip + 4), b.getInt32(ip + 8)];
  if ((a0 ^ b0) >>> 16 !== 0 || ((a1 ^ b1) & 0xffff) !== 0 || (a2 ^ b2) >>> 16 !== 0) return 0;
  if (b.getInt32(first + 12) !== b.getInt32(ip + 12) || b.getInt32(first + 16) !== b.getInt32(ip + 16)) return 0;
  const total = b0 & 0xffff;
  if (total > room) return 0;
  const step = w[t + TRAIN_STEP]!;
  const up = ((b1 >>> 16) - (a1 >>> 16) - w[t + TRAIN_COUNT]! * (step < 0 ? 1 : step)) & 0xffff;
  if (up !== 0 && !(step < 0 && up === 0xffff && (a1 & ipv4.DONT_FRAGMENT) !== 0)) return 0;
  // The first header's checksum is right; this one's is when what differs adds up to the same.
  if (fold3(a0, a1, a2) !== fold3(b0, b1, b2) || (b2 & 0xffff) === ODD_ZERO) return 0;
  return total - w[t + TRAIN_HEADERS]!;
}

/** Sum of total length, identification and header checksum, in 16 bits. Never 0, as the length is not. */
function fold3(w0: number, w1: number, w2: number): number {
  const sum = (w0 & 0xffff) + (w1 >>> 16) + (w2 & 0xffff);
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

function payloadAfter6(b: DataView, first: number, ip: number, room: number, headers: number): number {
  if (b.getInt32(first) !== b.getInt32(ip)) return 0;
  const lengthAndNext = b.getInt32(ip + 4);
  if (((b.getInt32(first + 4) ^ lengthAndNext) & 0xffff) !== 0) return 0;
  for (let k = ipv6.IPV6_SOURCE; k < ipv6.IPV6_HEADER; k += 4) if (b.getInt32(first + k) !== b.getInt32(ip + k)) return 0;
  const total = ipv6.IPV6_HEADER + (lengthAndNext >>> 16);
  return total <= room ? total - headers : 0;
}

/** Whether the TCP header at `l4`, of `length` bytes, is the one at `first` but for PSH and FIN, checksum and sequence number. */
function goesOn(b: DataView, first: number, l4: number, length: number, sequence: number): boolean {
  if (b.getInt32(l4 + 4) !== sequence || b.getInt32(l4 + 8) !== b.getInt32(first + 8)) return false;
  if (((b.getInt32(l4 + 12) ^ b.getInt32(first + 12)) & ~(AT_END << FLAGS_SHIFT)) !== 0) return false;
  const sumAndUrgent = b.getInt32(l4 + 16);
  if (sumAndUrgent >>> 16 === ODD_ZERO || ((sumAndUrgent ^ b.getInt32(first + 16)) & 0xffff) !== 0) return false;
  for (let k = tcp.TCP_HEADER; k < length; k += 4) if (b.getInt32(l4 + k) !== b.getInt32(first + k)) return false;
  return true;
}

/** Whether nothing may follow the packet that has just joined the train, with this much payload and its L4 header at `l4`. */
export function endsTrain(b: DataView, w: Int32Array, t: number, l4: number, payload: number): boolean {
  return payload < w[t + TRAIN_SIZE]! || (w[t + TRAIN_PROTOCOL] === tcp.TCP && (tcp.flags(b, l4) & AT_END) !== 0);
}
