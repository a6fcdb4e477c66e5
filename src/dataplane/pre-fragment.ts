/**
 * Fragmenting an IPv4 packet before it is wrapped (RFC 791, 3.2): the outer packet is never fragmented, so that the owner's
 * kernel, which knows best how, puts the pieces together, and each of them is a packet that GUE can carry.
 *
 * IP headers are written anew in scratch space behind a copy of the GUE header; payload is gathered from where it lies. A
 * fragment that comes in can leave in smaller ones: offset and more-fragments bit go on from its own.
 */
import { SUM_FIELD, SUM_LENGTH, SUM_LENGTH2, SUM_START, SUM_START2, SUM_STRIDE, SUM_ZERO_AS_ONES } from "../io/packet-io.ts";
import { countSent } from "../shm/counters.ts";
import { MALFORMED, NO_ROOM, TOO_BIG } from "../shm/verdict.ts";
import { ipv4ChecksumGood } from "../wire/checksum.ts";
import * as ipv4 from "../wire/ipv4.ts";
import { TCP, TCP_CHECKSUM } from "../wire/tcp.ts";
import { UDP, UDP_CHECKSUM } from "../wire/udp.ts";
import { type Context, roomForPeers } from "./context.ts";
import { outerOverhead } from "./outer-overhead.ts";
import { isTrain, payloadAt } from "./parsed.ts";
import { appendIov, appendMessage, appendOpenSum } from "./queue.ts";
import { pseudoSum, writeSegmentHeaders } from "./segment.ts";

const LONGEST_HEADER = 60;
/** Fragments but the last hold a multiple of so many bytes. */
const UNIT = 8;

/** What an IP packet consists of behind its header: bytes in two places, the second may be empty. */
interface Payload {
  first: number;
  firstLength: number;
  second: number;
  secondLength: number;
}
const payload: Payload = { first: 0, firstLength: 0, second: 0, secondLength: 0 };

/** What has been queued of the frame in hand: fragments, and their bytes from the inner IP header on. */
const queued = { fragments: 0, bytes: 0 };

/**
 * Queues the packet in hand, IPv4 without DF, for a host in fragments of at most `room` bytes each; of a super-segment every
 * packet in it. Returns `sent`, or why it cannot go.
 */
export function sendFragments(
  context: Context,
  host: number,
  family: number,
  gueLength: number,
  room: number,
  sent: number,
): number {
  const { parsed: p, bytes: b } = context;
  const header = ipv4.headerLength(b, p.ip);
  if (room < header + UNIT) return TOO_BIG;
  // Checksums are made anew below: a header that came in damaged must not leave as a good one.
  if (!ipv4ChecksumGood(b, p.ip, header)) return MALFORMED;
  const packets = p.packets;
  const train = isTrain(p);
  const headers = train ? p.headers : 0;
  const largest = train ? p.headers + p.segment : p.end - p.ip;
  const messages = 1 + Math.ceil((largest - header) / piece(room, header));
  const scratch = headers + messages * (gueLength + LONGEST_HEADER);
  queued.fragments = 0;
  queued.bytes = 0;
  if (train) {
    const pseudo = pseudoSum(b, p);
    for (let i = 0; i < packets; i++) {
      if (!roomForPeers(context, messages, 3 * messages, 1, scratch)) return NO_ROOM;
      const ip = context.scratchNext;
      context.scratchNext = ip + headers;
      const data = payloadAt(p, i);
      setPayload(ip + header, headers - header, data, Math.min(p.segment, p.end - data));
      writeSegmentHeaders(b, p, i, ip, pseudo);
      appendSegmentSum(context, ip + p.l4 - p.ip);
      sendPacket(context, host, family, gueLength, room, ip);
    }
  } else {
    if (!roomForPeers(context, messages, 3 * messages, 1, scratch)) return NO_ROOM;
    setPayload(p.ip + header, p.end - p.ip - header, 0, 0);
    if (p.sumField >= 0) appendOpenSum(context.toPeers, p);
    sendPacket(context, host, family, gueLength, room, p.ip);
  }
  const { fragments, bytes } = queued;
  countSent(context.counters, host, fragments, bytes + fragments * outerOverhead(family, gueLength));
  return sent;
}

function setPayload(first: number, firstLength: number, second: number, secondLength: number): void {
  payload.first = first;
  payload.firstLength = firstLength;
  payload.second = second;
  payload.secondLength = secondLength;
}

const piece = (room: number, header: number): number => (room - header) & ~(UNIT - 1);

/** The checksum of a segment whose headers are in scratch space: it has to be there before the segment is cut. */
function appendSegmentSum(context: Context, l4: number): void {
  const p = context.parsed;
  const queue = context.toPeers;
  const s = queue.sums;
  const job = queue.sumCount++ * SUM_STRIDE;
  s[job + SUM_START] = l4;
  s[job + SUM_LENGTH] = p.ip + p.headers - p.l4;
  s[job + SUM_START2] = payload.second;
  s[job + SUM_LENGTH2] = payload.secondLength;
  s[job + SUM_FIELD] = l4 + (p.protocol === TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
  s[job + SUM_ZERO_AS_ONES] = p.protocol === UDP ? 1 : 0;
}

/** Queues the fragments of the packet whose IPv4 header is at `ip` and whose rest is `payload`; there is room. */
function sendPacket(context: Context, host: number, family: number, gueLength: number, room: number, ip: number): void {
  const { parsed: p, bytes: b, tables, toPeers: queue } = context;
  const length = payload.firstLength + payload.secondLength;
  const own = ipv4.fragmentBits(b, ip);
  for (let at = 0; at < length || at === 0; ) {
    const gue = context.scratchNext;
    const fragment = gue + gueLength;
    copy(b, p.ip - gueLength, gue, gueLength);
    const header = at === 0 ? copyHeader(b, ip, fragment) : copyLaterHeader(b, ip, fragment);
    context.scratchNext = fragment + header;
    const last = length - at <= room - header;
    const size = last ? length - at : piece(room, header);
    const offset = ipv4.fragmentOffset(own) + at;
    ipv4.setFragment(b, fragment, header, header + size, offset, !last || ipv4.moreFragments(own));
    const before = queue.iovCount;
    appendIov(queue, gue, gueLength + header);
    appendPayload(context, at, size);
    appendMessage(queue, tables, host, family, p, queue.iovCount - before, gueLength + header + size, 0);
    queued.fragments++;
    queued.bytes += header + size;
    at += size;
    if (last) break;
  }
}

/** Appends what gathers `size` bytes of the payload from byte `at` on. */
function appendPayload(context: Context, at: number, size: number): void {
  const { first, firstLength, second } = payload;
  const inFirst = Math.min(size, Math.max(0, firstLength - at));
  if (inFirst > 0) appendIov(context.toPeers, first + at, inFirst);
  if (size > inFirst) appendIov(context.toPeers, second + at + inFirst - firstLength, size - inFirst);
}

function copyHeader(b: DataView, ip: number, to: number): number {
  const length = ipv4.headerLength(b, ip);
  copy(b, ip, to, length);
  return length;
}

/** The header of fragments but the first: of the options only those that are marked to be copied. Returns its length. */
function copyLaterHeader(b: DataView, ip: number, to: number): number {
  copy(b, ip, to, ipv4.IPV4_HEADER);
  const end = ip + ipv4.headerLength(b, ip);
  let at = to + ipv4.IPV4_HEADER;
  for (let option = ip + ipv4.IPV4_HEADER; option < end; ) {
    const size = ipv4.optionLength(b, option, end);
    if (size === 0) break;
    if (ipv4.isCopied(b, option)) {
      copy(b, option, at, size);
      at += size;
    }
    option += size;
  }
  while (((at - to) & 3) !== 0) b.setUint8(at++, ipv4.END_OF_OPTIONS);
  return at - to;
}

function copy(b: DataView, from: number, to: number, length: number): void {
  for (let i = 0; i < length; i++) b.setUint8(to + i, b.getUint8(from + i));
}
