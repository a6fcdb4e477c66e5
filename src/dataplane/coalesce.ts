/**
 * Putting packets together for the kernel, the reverse of segment.ts: what comes in GUE are single packets, and each write to the
 * TUN costs as much as the kernel's whole way of a packet. Packets of one flow that follow each other become one super-segment
 * of up to 64 KB, written at once: the headers of the first, and the payload of all gathered from where it lies.
 *
 *   packet -> joins the open train of its flow -> at the end of the burst: checksums verified -> one write a train
 *          -> begins a train of its own
 *          -> may not be joined: goes alone, behind the train of its flow
 *
 * Trains leave in the order of their first packets, so that no packet overtakes another of its flow.
 */
import {
  CHECK_GOOD,
  CHECK_LENGTH,
  CHECK_PSEUDO,
  CHECK_START,
  CHECK_STRIDE,
  type ChecksumVerifier,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
} from "../io/packet-io.ts";
import { DELIVERED } from "../shm/verdict.ts";
import { fold, pseudoSum4, pseudoSum6 } from "../wire/checksum.ts";
import { GUE_HEADER } from "../wire/gue.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import {
  endsTrain,
  payloadBeginning,
  payloadJoining,
  TRAIN_COUNT,
  TRAIN_FIRST,
  TRAIN_GUE,
  TRAIN_HEADERS,
  TRAIN_IP,
  TRAIN_L4,
  TRAIN_LAST,
  TRAIN_LENGTH,
  TRAIN_MOST,
  TRAIN_PROTOCOL,
  TRAIN_PSEUDO,
  TRAIN_SEQUENCE,
  TRAIN_SIZE,
  TRAIN_STEP,
  TRAIN_STRIDE,
} from "./coalesce-rules.ts";
import { type Context, roomForKernel } from "./context.ts";
import { deliverBytes, deliverGathered, deliverUnwrapped, finishOpen } from "./deliver.ts";
import type { Parsed } from "./parsed.ts";
import { appendIov } from "./queue.ts";

/** Packets that can wait for the end of the burst at a time. */
export const COALESCED_MOST = 1024;
/** Packets of one super-segment: of TCP, a gather pair each; of UDP as many as every kernel takes. */
const TCP_MOST = 512;
const UDP_MOST = 64;
/** Flows whose trains are open at a time; a power of two. */
const OPEN = 64;

/** Our words of a check: offset and bytes of the packet, from its IP header on, and the next one of its train, or -1. */
const PACKET_IP = 4;
const PACKET_LENGTH = 5;
const PACKET_NEXT = 6;

export interface Coalescer {
  readonly tcp: boolean;
  readonly udp: boolean;
  readonly verifier: ChecksumVerifier;
  /** Packets that wait, and how many can. */
  packets: number;
  readonly most: number;
  /** TRAIN_STRIDE words each; offsets into them stand for trains. */
  readonly trains: Int32Array;
  /** Words in use. */
  end: number;
  /** The train that a flow last went to, by a hash of the flow; -1: none that is open. */
  readonly open: Int32Array;
  /** The train that the last packet went to, or -1. */
  current: number;
  /** Whether any train has more than one packet. */
  joined: boolean;
}

/** For one worker; `tcp` and `udp` say what is put together. */
export function createCoalescer(verifier: ChecksumVerifier, tcp: boolean, udp: boolean): Coalescer {
  const most = Math.floor(verifier.checks.length / CHECK_STRIDE);
  return {
    tcp,
    udp,
    verifier,
    packets: 0,
    most,
    trains: new Int32Array(most * TRAIN_STRIDE),
    end: 0,
    open: new Int32Array(OPEN).fill(-1),
    current: -1,
    joined: false,
  };
}

/**
 * Delivers the packet in hand: one that is whole, of TCP or UDP and parsed through its transport header, behind a GUE header of
 * `gueLength` bytes. Returns DELIVERED.
 */
export function coalesce(context: Context, c: Coalescer, gueLength: number): number {
  const { parsed: p, bytes: b } = context;
  if (p.protocol === tcp.TCP ? !c.tcp : !c.udp) return deliverUnwrapped(context, true);
  const size = payloadBeginning(b, p);
  if (size === 0 && c.packets === 0) return deliverUnwrapped(context, true);
  if (c.packets === c.most) deliverCoalesced(context, c);
  const place = (p.ports ^ (p.ports >>> 16) ^ p.source) & (OPEN - 1);
  const t = c.open[place]!;
  if (t >= 0) {
    const payload = payloadJoining(b, c.trains, t, p.ip, p.end - p.ip);
    if (payload > 0) {
      join(b, c, t, p.ip, payload);
      return DELIVERED;
    }
  }
  c.current = begin(c, b, p, size, gueLength, context.toKernel.iovs.length / 2);
  c.open[place] = c.current;
  return DELIVERED;
}

/**
 * Delivers the datagram of `length` bytes at `gue` when it goes on where the one before it ended, with the same GUE header: what
 * was found about that one holds for it too. Returns false when it has to be looked at by itself.
 */
export function followsOn(b: DataView, c: Coalescer, gue: number, length: number, trafficClass: number): boolean {
  const t = c.current;
  if (t < 0 || c.packets === c.most) return false;
  const w = c.trains;
  const header = w[t + TRAIN_GUE]!;
  const first = w[t + TRAIN_IP]!;
  const payload = payloadJoining(b, w, t, gue + header, length - header);
  if (payload === 0) return false;
  // Whether a FIN is ours is asked anew when the flow is known by its SYN alone (ownership.ts): only with further hops.
  const isTcp = w[t + TRAIN_PROTOCOL] === tcp.TCP;
  if (isTcp && header > GUE_HEADER && (tcp.flags(b, gue + header + w[t + TRAIN_L4]!) & tcp.FIN) !== 0) return false;
  for (let k = 0; k < header; k += 4) if (b.getInt32(gue + k) !== b.getInt32(first - header + k)) return false;
  // An outer mark that changes the inner one is for the long way (RFC 6040).
  const outer = trafficClass & 3;
  const inner = w[t + TRAIN_L4] === ipv4.IPV4_HEADER ? ipv4.tos(b, first) : ipv6.trafficClass(b, first);
  if (outer !== 0 && outer !== (inner & 3)) return false;
  join(b, c, t, gue + header, payload);
  return true;
}

/** Begins a train with the packet in hand. With a `size` of 0 nothing can join it. Returns the train, or -1 in that case. */
function begin(c: Coalescer, b: DataView, p: Parsed, size: number, gueLength: number, iovs: number): number {
  const w = c.trains;
  const t = c.end;
  c.end = t + TRAIN_STRIDE;
  const packet = add(c, p.ip, p.end - p.ip);
  w[t + TRAIN_FIRST] = packet;
  w[t + TRAIN_LAST] = packet;
  w[t + TRAIN_COUNT] = 1;
  w[t + TRAIN_L4] = p.l4 - p.ip;
  w[t + TRAIN_PROTOCOL] = p.protocol;
  if (size === 0) return -1;
  const isTcp = p.protocol === tcp.TCP;
  w[t + TRAIN_GUE] = gueLength;
  w[t + TRAIN_IP] = p.ip;
  w[t + TRAIN_HEADERS] = p.end - p.ip - size;
  w[t + TRAIN_SIZE] = size;
  w[t + TRAIN_LENGTH] = p.end - p.ip;
  w[t + TRAIN_SEQUENCE] = isTcp ? (tcp.sequence(b, p.l4) + size) | 0 : 0;
  w[t + TRAIN_STEP] = -1;
  w[t + TRAIN_MOST] = Math.min(isTcp ? TCP_MOST : UDP_MOST, iovs);
  return t;
}

/** Puts the packet at `ip`, with so much payload, behind a train. */
function join(b: DataView, c: Coalescer, t: number, ip: number, payload: number): void {
  const w = c.trains;
  const headers = w[t + TRAIN_HEADERS]!;
  const l4 = w[t + TRAIN_L4]!;
  const checks = c.verifier.checks;
  if (w[t + TRAIN_COUNT] === 1) {
    const first = w[t + TRAIN_IP]!;
    const protocol = w[t + TRAIN_PROTOCOL]!;
    const pseudo = l4 === ipv4.IPV4_HEADER ? pseudoSum4(b, first, protocol, 0) : pseudoSum6(b, first, protocol, 0);
    w[t + TRAIN_PSEUDO] = fold(pseudo);
    w[t + TRAIN_STEP] = l4 === ipv4.IPV4_HEADER ? (ipv4.identification(b, ip) - ipv4.identification(b, first)) & 1 : 0;
    check(checks, w, t, w[t + TRAIN_FIRST]!);
    c.joined = true;
  }
  const packet = add(c, ip, headers + payload);
  check(checks, w, t, packet);
  checks[w[t + TRAIN_LAST]! + PACKET_NEXT] = packet;
  w[t + TRAIN_LAST] = packet;
  w[t + TRAIN_COUNT]! += 1;
  w[t + TRAIN_LENGTH]! += payload;
  w[t + TRAIN_SEQUENCE] = (w[t + TRAIN_SEQUENCE]! + payload) | 0;
  if (endsTrain(b, w, t, ip + l4, payload)) w[t + TRAIN_MOST] = 0;
  c.current = t;
}

/** Adds a packet that is not to be verified yet. Returns where in the checks it is. */
function add(c: Coalescer, ip: number, length: number): number {
  const checks = c.verifier.checks;
  const packet = c.packets++ * CHECK_STRIDE;
  checks[packet + CHECK_LENGTH] = 0;
  checks[packet + PACKET_IP] = ip;
  checks[packet + PACKET_LENGTH] = length;
  checks[packet + PACKET_NEXT] = -1;
  return packet;
}

/** Has the checksum of a packet verified. */
function check(checks: Int32Array, w: Int32Array, t: number, packet: number): void {
  const l4 = w[t + TRAIN_L4]!;
  const length = checks[packet + PACKET_LENGTH]! - l4;
  checks[packet + CHECK_START] = checks[packet + PACKET_IP]! + l4;
  checks[packet + CHECK_LENGTH] = length;
  checks[packet + CHECK_PSEUDO] = foldOnce(w[t + TRAIN_PSEUDO]! + length);
}

/** Folds the sum of two words of 16 bits. */
const foldOnce = (sum: number): number => (sum & 0xffff) + (sum >>> 16);

/** Queues all that waits for the kernel: before the burst's bytes are given up, and before what must not overtake it. */
export function deliverCoalesced(context: Context, c: Coalescer): void {
  if (c.end === 0) return;
  if (c.joined) c.verifier.verify(c.packets);
  for (let t = 0; t < c.end; t += TRAIN_STRIDE) deliverTrain(context, c, t);
  c.packets = 0;
  c.end = 0;
  c.open.fill(-1);
  c.current = -1;
  c.joined = false;
}

/** A packet whose checksum is wrong goes alone, as it came (it may be open); what is before and behind it are trains of their own. */
function deliverTrain(context: Context, c: Coalescer, t: number): void {
  const checks = c.verifier.checks;
  let packet = c.trains[t + TRAIN_FIRST]!;
  while (packet >= 0) {
    let count = 0;
    let last = packet;
    let next = packet;
    while (next >= 0 && checks[next + CHECK_LENGTH] !== 0 && checks[next + CHECK_GOOD] === 1) {
      last = next;
      count++;
      next = checks[next + PACKET_NEXT]!;
    }
    if (count > 1) {
      deliverSuper(context, c, t, packet, last, count);
    } else {
      const [ip, length] = [checks[packet + PACKET_IP]!, checks[packet + PACKET_LENGTH]!];
      deliverBytes(context, ip, length);
      finishOpen(context, ip, length, c.trains[t + TRAIN_L4]!, c.trains[t + TRAIN_PROTOCOL]!);
      if (count === 0) next = checks[packet + PACKET_NEXT]!;
    }
    packet = next;
  }
}

/** Queues `count` packets, from `packet` to `last`, as one super-segment. */
function deliverSuper(context: Context, c: Coalescer, t: number, packet: number, last: number, count: number): void {
  const { bytes: b, toKernel: queue } = context;
  const { trains: w } = c;
  const checks = c.verifier.checks;
  const headers = w[t + TRAIN_HEADERS]!;
  const l4 = w[t + TRAIN_L4]!;
  const ip = checks[packet + PACKET_IP]!;
  const size = checks[packet + PACKET_LENGTH]! - headers;
  roomForKernel(context, count);
  appendIov(queue, ip, headers + size);
  let length = headers + size;
  for (let next = packet; next !== last; ) {
    next = checks[next + PACKET_NEXT]!;
    const payload = checks[next + PACKET_LENGTH]! - headers;
    appendIov(queue, checks[next + PACKET_IP]! + headers, payload);
    length += payload;
  }
  const v4 = l4 === ipv4.IPV4_HEADER;
  if (v4) ipv4.setTotalLength(b, ip, length);
  else ipv6.setPayloadLength(b, ip, length - ipv6.IPV6_HEADER);
  const open = foldOnce(w[t + TRAIN_PSEUDO]! + length - l4);
  if (w[t + TRAIN_PROTOCOL] === tcp.TCP) {
    const ends = tcp.flags(b, checks[last + PACKET_IP]! + l4) & (tcp.PSH | tcp.FIN);
    tcp.setFlags(b, ip + l4, tcp.flags(b, ip + l4) | ends);
    tcp.setTcpChecksum(b, ip + l4, open);
    deliverGathered(queue, count, length, l4, tcp.TCP_CHECKSUM, v4 ? GSO_TCPV4 : GSO_TCPV6, size, headers);
  } else {
    udp.setUdpLength(b, ip + l4, length - l4, open);
    deliverGathered(queue, count, length, l4, udp.UDP_CHECKSUM, GSO_UDP_L4, size, headers);
  }
}
