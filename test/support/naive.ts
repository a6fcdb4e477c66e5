/** A plain reader of packets for what must hold of those that leave: written from the RFCs, shares nothing with src/. */
import assert from "node:assert/strict";
import { checksum } from "./packets.ts";

export const be16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;
export const isV4 = (b: Uint8Array): boolean => b[0]! >> 4 === 4;
export const hexOf = (b: Uint8Array): string => Buffer.from(b).toString("hex");
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Length that the IP header gives. */
export const totalLength = (b: Uint8Array): number => (isV4(b) ? be16(b, 2) : 40 + be16(b, 4));

export const sourceOf = (b: Uint8Array): Uint8Array => (isV4(b) ? b.subarray(12, 16) : b.subarray(8, 24));
export const destinationOf = (b: Uint8Array): Uint8Array => (isV4(b) ? b.subarray(16, 20) : b.subarray(24, 40));

/** TOS or traffic class. */
export const trafficClassOf = (b: Uint8Array): number => (isV4(b) ? b[1]! : ((b[0]! & 15) << 4) | (b[1]! >> 4));

/** Extension headers: hop-by-hop, routing, fragment, destination options, authentication. */
const EXTENSIONS = [0, 43, 44, 60, 51];

/** Where the transport header begins, of which protocol it is, and whether the packet is a fragment behind the first. */
export function transportOf(b: Uint8Array): { l4: number; protocol: number; later: boolean } {
  if (isV4(b)) return { l4: (b[0]! & 15) * 4, protocol: b[9]!, later: (be16(b, 6) & 0x1fff) !== 0 };
  let at = 40;
  let next = b[6]!;
  let later = false;
  while (EXTENSIONS.includes(next) && at + 8 <= b.length && !later) {
    later = next === 44 && (be16(b, at + 2) & 0xfff8) !== 0;
    const length = next === 44 ? 8 : next === 51 ? (b[at + 1]! + 2) * 4 : (b[at + 1]! + 1) * 8;
    next = b[at]!;
    at += length;
  }
  return { l4: at, protocol: next, later };
}

/** Sum of a transport segment and its pseudo-header; 0 when its checksum is right. */
export function transportSum(packet: Uint8Array, protocol: number, segment: Uint8Array): number {
  const pseudo = Uint8Array.of(0, 0, segment.length >> 8, segment.length & 255, 0, protocol);
  return checksum(Buffer.concat([sourceOf(packet), destinationOf(packet), pseudo, segment]));
}

export interface Wrapped {
  readonly source: string;
  readonly destination: string;
  readonly trafficClass: number;
  /** From the GUE header on. */
  readonly datagram: Uint8Array;
  /** Bytes of the GUE header. */
  readonly header: number;
  /** From the inner IP header on, to the end. */
  readonly inner: Uint8Array;
}

/** Takes a packet apart that a host sends to another. Fails when it does not decode, or is not what hosts send. */
export function unwrap(out: Uint8Array): Wrapped {
  const v4 = isV4(out);
  const ip = v4 ? 20 : 40;
  assert.ok(out.length >= ip + 8 + 4, "outer headers");
  assert.equal(totalLength(out), out.length, "outer length");
  if (v4) {
    assert.equal(out[0], 0x45, "outer version and header length");
    assert.equal(checksum(out.subarray(0, 20)), 0, "outer header checksum");
    assert.equal(be16(out, 6), 0x4000, "outer DF");
  } else {
    assert.equal(out[0]! >> 4, 6, "outer version");
  }
  assert.equal(out[v4 ? 9 : 6], 17, "outer protocol");
  const udp = out.subarray(ip);
  assert.ok(be16(udp, 0) >= 49_152, "outer source port");
  assert.equal(be16(udp, 2), 6080, "GUE port");
  assert.equal(be16(udp, 4), udp.length, "UDP length");
  assert.equal(transportSum(out, 17, udp), 0, "UDP checksum");
  const datagram = udp.subarray(8);
  const header = innerAt(datagram);
  assert.ok(header >= 0 && datagram[0]! >> 6 === 0, "GUE header");
  const inner = datagram.subarray(header);
  assert.ok(inner.length >= 20 && totalLength(inner) <= inner.length, "inner length");
  return {
    source: hexOf(sourceOf(out)),
    destination: hexOf(destinationOf(out)),
    trafficClass: trafficClassOf(out),
    datagram,
    header,
    inner,
  };
}

/** Where the packet in GUE begins; -1 when the header contradicts itself. */
export function innerAt(datagram: Uint8Array): number {
  if (datagram.length < 4 || datagram[0]! >> 6 > 1) return -1;
  if (datagram[0]! >> 6 === 1) return 0;
  const header = 4 + (datagram[0]! & 31) * 4;
  const version = datagram[1] === 4 ? 4 : datagram[1] === 41 ? 6 : -1;
  if (datagram[0]! >> 5 !== 0 || be16(datagram, 2) !== 0 || header >= datagram.length) return -1;
  if (datagram[header]! >> 4 !== version) return -1;
  if (header === 4) return header;
  const hop = [4, 16][be16(datagram, 4)] ?? Number.NaN;
  return datagram[6]! <= datagram[7]! && 8 + datagram[7]! * hop <= header ? header : -1;
}

/** The address of the hop that is next, in hex; undefined when none is left. An IPv4 address comes with 4 bytes. */
export function nextHop(datagram: Uint8Array): string | undefined {
  const [index, count] = [datagram[6]!, datagram[7]!];
  if (datagram[0]! >> 6 !== 0 || (datagram[0]! & 31) === 0 || index >= count) return undefined;
  const size = be16(datagram, 4) === 0 ? 4 : 16;
  const hex = hexOf(datagram.subarray(8 + index * size, 8 + (index + 1) * size));
  return hex.replace(/^0{20}ffff(?=.{8}$)/, "");
}
