/**
 * Taking super-segments apart. The sender's kernel hands over up to 64 KB (BIG TCP: 512 KB) of payload behind one set of headers;
 * what leaves are packets of the size it meant. Headers are written anew for each packet in scratch space, payload is
 * gathered from where it lies.
 */
import {
  SUM_FIELD,
  SUM_LENGTH,
  SUM_LENGTH2,
  SUM_START,
  SUM_START2,
  SUM_STRIDE,
  SUM_ZERO_AS_ONES,
  type TxQueue,
} from "../io/packet-io.ts";
import { fold, pseudoSum4, pseudoSum6 } from "../wire/checksum.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import { type Context, roomForPeers } from "./context.ts";
import { type Parsed, payloadAt } from "./parsed.ts";
import { appendIov, appendMessage } from "./queue.ts";

/** What one UDP_SEGMENT send may carry: bytes of UDP payload and segments (UDP_MAX_SEGMENTS of kernels before 6.9). */
const MAX_TRAIN_BYTES = 65_000;
const MAX_TRAIN_SEGMENTS = 64;

/**
 * Queues the super-segment in hand, or the run of one, which has a GUE header of `gueLength` bytes in front of it, for a host as
 * trains of equal datagrams, each that GUE header and an inner packet. Sends what is queued as often as it takes to have room; returns
 * false when even empty queues do not hold one train.
 */
export function sendTrain(context: Context, host: number, family: number, gueLength: number): boolean {
  const { parsed: p, tables } = context;
  const packets = p.packets;
  const headers = p.headers;
  const segment = p.segment;
  const datagram = gueLength + headers + segment;
  const perMessage = Math.max(1, Math.min(MAX_TRAIN_SEGMENTS, Math.floor(MAX_TRAIN_BYTES / datagram)));
  const queue = context.toPeers;
  const pseudo = pseudoSum(context.bytes, p);
  const payload = p.end - payloadAt(p, 0);
  for (let first = 0; first < packets; first += perMessage) {
    const until = Math.min(packets, first + perMessage);
    const count = until - first;
    if (!roomForPeers(context, 1, count * 2, count, count * (gueLength + headers))) return false;
    for (let i = first; i < until; i++) appendSegment(context, queue, i, pseudo, gueLength);
    const bytes = Math.min(payload, until * segment) - first * segment + count * (gueLength + headers);
    appendMessage(queue, tables, host, family, p, 2 * count, bytes, count > 1 ? datagram : 0);
  }
  return true;
}

/** Sum of the pseudo-header without the length, which differs by segment. */
export const pseudoSum = (b: DataView, p: Parsed): number =>
  p.version === 4 ? pseudoSum4(b, p.ip, p.protocol, 0) : pseudoSum6(b, p.ip, p.protocol, 0);

/** Copies the GUE header and writes IP and TCP or UDP headers of segment `i` to scratch and queues them with their payload and checksum job. */
function appendSegment(context: Context, queue: TxQueue, i: number, pseudo: number, gueLength: number): void {
  const { parsed: p, bytes: b } = context;
  const headers = p.headers;
  const payload = payloadAt(p, i);
  const length = i === p.packets - 1 ? p.end - payload : p.segment;

  const gue = context.scratchNext;
  const at = gue + gueLength;
  context.scratchNext = at + headers;
  copyHeaders(b, p.ip - gueLength, gue, gueLength);
  writeSegmentHeaders(b, p, i, at, pseudo);

  const l4 = at + p.l4 - p.ip;
  appendIov(queue, gue, gueLength + headers);
  appendIov(queue, payload, length);
  const s = queue.sums;
  const job = queue.sumCount++ * SUM_STRIDE;
  s[job + SUM_START] = l4;
  s[job + SUM_LENGTH] = at + headers - l4;
  s[job + SUM_START2] = payload;
  s[job + SUM_LENGTH2] = length;
  s[job + SUM_FIELD] = l4 + (p.protocol === tcp.TCP ? tcp.TCP_CHECKSUM : udp.UDP_CHECKSUM);
  s[job + SUM_ZERO_AS_ONES] = p.protocol === udp.UDP ? 1 : 0;
}

/** Copies headers, which are made of words of 4 bytes. */
function copyHeaders(b: DataView, from: number, to: number, length: number): void {
  for (let k = 0; k < length; k += 4) b.setInt32(to + k, b.getInt32(from + k, true), true);
}

/** Writes IP and TCP or UDP headers of segment `i` of the packet in hand at `at`; the checksum field holds the pseudo-header's sum. */
export function writeSegmentHeaders(b: DataView, p: Parsed, i: number, at: number, pseudo: number): void {
  const last = i === p.packets - 1;
  writeHeaders(b, p, i, last ? p.end - payloadAt(p, i) : p.segment, last, at, pseudo);
}

/** The same for `length` bytes of payload from segment `i` on; `last`: to the end of the packet in hand. */
export function writeHeaders(b: DataView, p: Parsed, i: number, length: number, last: boolean, at: number, pseudo: number): void {
  const ip = p.ip;
  const headers = p.headers;
  const number = p.first + i;
  copyHeaders(b, ip, at, headers);

  if (p.version === 4) ipv4.setSegment(b, at, headers + length, (ipv4.identification(b, ip) + number) & 0xffff);
  else ipv6.setPayloadLength(b, at, headers + length - ipv6.IPV6_HEADER);

  const l4 = at + p.l4 - ip;
  const transport = at + headers - l4;
  const sum = fold(pseudo + transport + length);
  if (p.protocol === tcp.TCP) {
    tcp.setSequence(b, l4, (tcp.sequence(b, l4) + number * p.segment) | 0);
    // As the kernel's own segmentation: FIN and PSH belong to the last segment. CWR does to the first (RFC 3168, 6.1.2) where the
    // frame says so; else it is a bit of ACE, which counts, and is the same in all (RFC 9768, 3.2.2).
    let flags = tcp.flags(b, l4);
    if (!last) flags &= ~(tcp.FIN | tcp.PSH);
    if (number > 0 && p.cwrFirst !== 0) flags &= ~tcp.CWR;
    tcp.setFlags(b, l4, flags);
    tcp.setTcpChecksum(b, l4, sum);
  } else {
    udp.setUdpLength(b, l4, transport + length, sum);
  }
}
