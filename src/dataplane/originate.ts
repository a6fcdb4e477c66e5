/**
 * The packets we make ourselves: word to a source that its packet does not fit the path to its owner (RFC 1191, RFC 8201). It
 * comes from the VIP the packet was for, since nobody else is known to the source.
 */
import { UP_FLAGS, UP_IOV_COUNT, UP_IOV_START, UP_LENGTH, UP_STRIDE } from "../io/packet-io.ts";
import { counterAt } from "../shm/counters.ts";
import { addBytes, complement, pseudoSum6 } from "../wire/checksum.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { type Context, roomForPeers } from "./context.ts";
import { maySend } from "./origin.ts";
import { FRAGMENT_LATER, isTrain, type Parsed } from "./parsed.ts";
import { appendIov } from "./queue.ts";

const SENT = counterAt("icmpSent");

/** Precedence "internetwork control", as RFC 1812, 4.3.2.5 wants for errors. */
const CONTROL = 0xc0;
/** The least MTUs that there are (RFC 791, RFC 8200): a source would not believe less. */
const LEAST_MTU = 68;
const LEAST_MTU6 = 1280;
/** Largest message: what every host takes in one piece (RFC 1812, 4.3.2.3; RFC 4443, 2.4). */
const LARGEST = 576;
const LARGEST6 = 1280;

/**
 * Tells the source of the packet in hand that packets of at most `room` bytes get through, unless too many have been told
 * just now, or it is a packet that no error may be sent about (RFC 1122, 3.2.2): an error itself, a later fragment, one from no single host.
 */
export function reportTooBig(context: Context, room: number): void {
  const { parsed: p, bytes: b, origin } = context;
  if (p.icmpError || p.fragment === FRAGMENT_LATER || !isSingle(b, p)) return;
  if (!maySend(origin, context.clock)) return;
  const quoted = Math.min(isTrain(p) ? p.headers + p.segment : p.end - p.ip, p.version === 4 ? LARGEST - 28 : LARGEST6 - 48);
  if (!roomForPeers(context, 0, 0, 0, LARGEST6)) return;
  const queue = origin.sink.queue;
  if ((queue.count + 1) * UP_STRIDE > queue.records.length) return;
  const at = context.scratchNext;
  const length = p.version === 4 ? writeNeeded(b, at, p, quoted, room) : writeTooBig(b, at, p, quoted, room);
  context.scratchNext = at + length;
  appendIov(queue, at, length);
  const r = queue.count++ * UP_STRIDE;
  queue.records.fill(0, r, r + UP_STRIDE);
  queue.records[r + UP_IOV_START] = queue.iovCount - 1;
  queue.records[r + UP_IOV_COUNT] = 1;
  queue.records[r + UP_LENGTH] = length;
  queue.records[r + UP_FLAGS] = 0;
  context.counters[SENT]! += 1;
}

/** Whether the source is an address of one host, other than the VIP itself. */
function isSingle(b: DataView, p: Parsed): boolean {
  if (p.version === 4) {
    const source = b.getInt32(p.ip + ipv4.IPV4_SOURCE);
    const net = source >>> 24;
    return net !== 0 && net !== 127 && net < 224 && source !== b.getInt32(p.ip + ipv4.IPV4_DESTINATION);
  }
  const at = p.ip + ipv6.IPV6_SOURCE;
  if (b.getUint8(at) === 0xff) return false;
  // ::/96 holds the unspecified and the loopback address.
  return (b.getInt32(at) | b.getInt32(at + 4) | b.getInt32(at + 8)) !== 0;
}

/** Fragmentation needed. Returns its length. */
function writeNeeded(b: DataView, at: number, p: Parsed, quoted: number, room: number): number {
  const message = at + ipv4.IPV4_HEADER;
  const quote = message + icmp.ICMP_HEADER;
  const length = quote - at + quoted;
  const [source, destination] = [b.getInt32(p.ip + ipv4.IPV4_SOURCE), b.getInt32(p.ip + ipv4.IPV4_DESTINATION)];
  ipv4.writeIpv4(b, at, CONTROL, length, icmp.ICMP, destination, source);
  icmp.writeError(b, message, icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, Math.max(LEAST_MTU, room));
  copy(b, p.ip, quote, quoted);
  if (isTrain(p)) ipv4.setSegment(b, quote, p.headers + p.segment, ipv4.identification(b, quote));
  icmp.setIcmpChecksum(b, message, complement(addBytes(b, message, length - ipv4.IPV4_HEADER, 0)));
  return length;
}

/** Packet too big. Returns its length. */
function writeTooBig(b: DataView, at: number, p: Parsed, quoted: number, room: number): number {
  const message = at + ipv6.IPV6_HEADER;
  const quote = message + icmp.ICMP_HEADER;
  const payload = icmp.ICMP_HEADER + quoted;
  ipv6.writeIpv6Header(b, at, 0, payload, icmp.ICMPV6);
  copy(b, p.ip + ipv6.IPV6_DESTINATION, at + ipv6.IPV6_SOURCE, 16);
  copy(b, p.ip + ipv6.IPV6_SOURCE, at + ipv6.IPV6_DESTINATION, 16);
  icmp.writeError(b, message, icmp.PACKET_TOO_BIG6, 0, Math.max(LEAST_MTU6, room));
  copy(b, p.ip, quote, quoted);
  if (isTrain(p)) ipv6.setPayloadLength(b, quote, p.headers + p.segment - ipv6.IPV6_HEADER);
  const sum = addBytes(b, message, payload, pseudoSum6(b, at, icmp.ICMPV6, payload));
  icmp.setIcmpChecksum(b, message, complement(sum));
  return ipv6.IPV6_HEADER + payload;
}

function copy(b: DataView, from: number, to: number, length: number): void {
  for (let i = 0; i < length; i++) b.setUint8(to + i, b.getUint8(from + i));
}
