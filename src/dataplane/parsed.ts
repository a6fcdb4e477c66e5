/**
 * What is known of the packet in hand: one object per worker, written anew for every packet. Every field stays a 32-bit
 * signed integer: V8 keeps those in the object itself on 64-bit machines, without allocating, and once all stages are one
 * compiled function it passes them on in registers. A fraction or a word above 2^31 would end that.
 */
import type { FlowHash } from "../steering/flow-hash.ts";

export interface Parsed extends FlowHash {
  /** The packet read after this one: following it costs less than an index into an array. */
  next: Parsed;
  /** Offset in the pool of the IP header, and of the first byte behind the packet (its total length, padding left out). */
  ip: number;
  end: number;
  /** 4 or 6. */
  version: number;
  /** Protocol behind all extension headers, and the offset of its header. */
  protocol: number;
  l4: number;
  /** TOS or traffic class byte. */
  tos: number;
  /** TCP flags of TCP packets, else 0. */
  tcpFlags: number;
  /** FRAGMENT_*. */
  fragment: number;
  /** Of an IPv6 fragment: offset of its fragment header. */
  fragmentAt: number;
  /** Packets in the frame: more than 1 for a super-segment. */
  packets: number;
  /** Index of the VIP or egress IP it is for. */
  vip: number;
  /** PLAIN, OK, or what it was found to be when it was read. */
  verdict: number;
  /** With more than 1: payload bytes of each, and bytes of the headers in front of the payload, from the IP header on. */
  segment: number;
  headers: number;
  /** Of a TCP super-segment, 1: CWR is for its first packet alone (RFC 3168); 0: for each that has it (RFC 9768). */
  cwrFirst: number;
  /**
   * 1: the packet in hand is a run of a super-segment, the `packets` from number `first` on, and may be one. `end` is the
   * run's, headers and `ip` are those of the whole. Else both are 0.
   */
  run: number;
  first: number;
  /**
   * Checksum the sender's kernel left to the network card: where the sum starts and where it goes, offsets in the pool. The
   * field is -1 when the checksum is final.
   */
  sumStart: number;
  sumField: number;

  /** The flow below is that of the packet inside an ICMP error. */
  icmpError: boolean;
  /** The flow, from client to VIP: addresses, of IPv6 the last of their 4 words. */
  source: number;
  destination: number;
  /** The other words of IPv6 addresses: three of the source, three of the destination. */
  readonly upper: Int32Array;
  /** Source port in the high half, destination port in the low. An echo request has its identifier as source port. */
  ports: number;
  /** IP version in the second byte, protocol in the lowest. */
  kind: number;
}

/** Whether the packet in hand has to be taken apart: a super-segment, or a run of one. */
export const isTrain = (p: Parsed): boolean => p.packets > 1 || p.run !== 0;

/** Makes the packet in hand one whole packet with a final checksum. */
export function setSingle(p: Parsed): void {
  p.packets = 1;
  p.run = 0;
  p.first = 0;
  p.sumField = -1;
}

/** Of a super-segment or a run of one: where the payload of its packet number `i` begins. */
export const payloadAt = (p: Parsed, i: number): number => p.ip + p.headers + (p.first + i) * p.segment;

/** Bytes of the packet in hand as on the wire, where each packet of a super-segment has headers of its own. */
export const wireBytes = (p: Parsed): number => (isTrain(p) ? p.end - payloadAt(p, 0) + p.packets * p.headers : p.end - p.ip);

/** In place of the verdict OK: TCP that is not a SYN, one whole packet with a final checksum. */
export const PLAIN = -1;

export const FRAGMENT_NONE = 0;
export const FRAGMENT_FIRST = 1;
export const FRAGMENT_LATER = 2;

/** For one worker. All objects are made here, so that they have one shape. */
export const createParsed = (): Parsed => {
  const p = blank();
  p.next = p;
  return p;
};

/** The first of `count` objects in a ring. */
export function createRing(count: number): Parsed {
  const first = createParsed();
  for (let i = 1; i < count; i++) {
    const p = createParsed();
    p.next = first.next;
    first.next = p;
  }
  return first;
}

const blank = (): Parsed => ({
  next: null as unknown as Parsed,
  ip: 0,
  end: 0,
  version: 0,
  protocol: 0,
  l4: 0,
  tos: 0,
  tcpFlags: 0,
  fragment: FRAGMENT_NONE,
  fragmentAt: 0,
  packets: 1,
  vip: 0,
  verdict: 0,
  segment: 0,
  headers: 0,
  cwrFirst: 0,
  run: 0,
  first: 0,
  sumStart: 0,
  sumField: -1,
  icmpError: false,
  source: 0,
  destination: 0,
  upper: new Int32Array(6),
  ports: 0,
  kind: 0,
  hash: 0,
  hash2: 0,
});
