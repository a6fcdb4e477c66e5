/**
 * Packets for tests, written naively from the RFCs and without a line of the product's code, so that both can be held
 * against each other. Everything returns a fresh array; addresses are text.
 */
import { isIPv4 } from "node:net";

export const concat = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((p) => [...p]));
export const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
const be16 = (n: number): number[] => [(n >> 8) & 255, n & 255];
const be32 = (n: number): number[] => [...be16(n >>> 16), ...be16(n & 0xffff)];

/** `n` bytes that differ from their neighbours. */
export const filler = (n: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => (i * 7 + (i >> 8) + seed) & 255);

export function checksum(data: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) {
    sum += (data[i]! << 8) + (data[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return ~sum & 0xffff;
}

export function address(text: string): Uint8Array {
  if (isIPv4(text)) return bytes(...text.split(".").map(Number));
  const [left = "", right] = text.split("::");
  const groups = (part: string): number[] => (part === "" ? [] : part.split(":").flatMap((g) => be16(Number.parseInt(g, 16))));
  const a = groups(left);
  const b = right === undefined ? [] : groups(right);
  return bytes(...a, ...new Array<number>(16 - a.length - b.length).fill(0), ...b);
}

export interface IpOptions {
  tos?: number;
  ttl?: number;
  id?: number;
  /** IPv4: DF, as outer headers have it. */
  df?: boolean;
  /** Fragment offset in bytes, and whether more follow. */
  offset?: number;
  more?: boolean;
  /** IPv4 options, a multiple of 4 bytes. */
  options?: Uint8Array;
  /** IPv6 extension headers: kind and bytes from behind the next-header field on, filled up to 8. */
  extensions?: readonly (readonly [number, Uint8Array])[];
}

function ipv4(from: string, to: string, protocol: number, payload: Uint8Array, o: IpOptions): Uint8Array {
  const options = o.options ?? bytes();
  const header = 20 + options.length;
  const fragment = (o.df ? 0x4000 : 0) | (o.more ? 0x2000 : 0) | ((o.offset ?? 0) >> 3);
  const without = concat(
    bytes(0x40 | (header / 4), o.tos ?? 0, ...be16(header + payload.length), ...be16(o.id ?? 0), ...be16(fragment)),
    bytes(o.ttl ?? 64, protocol, 0, 0),
    address(from),
    address(to),
    options,
  );
  without.set(be16(checksum(without)), 10);
  return concat(without, payload);
}

function ipv6(from: string, to: string, protocol: number, payload: Uint8Array, o: IpOptions): Uint8Array {
  const chain = [...(o.extensions ?? [])];
  if (o.offset !== undefined || o.more !== undefined) {
    chain.push([44, bytes(0, ...be16((o.offset ?? 0) | (o.more ? 1 : 0)), ...be32(o.id ?? 0))]);
  }
  const kinds = [...chain.map(([kind]) => kind), protocol];
  const headers = chain.map(([, body], i) => concat(bytes(kinds[i + 1]!), body));
  const tos = o.tos ?? 0;
  const length = headers.reduce((n, h) => n + h.length, payload.length);
  const fixed = bytes(0x60 | (tos >> 4), (tos & 15) << 4, 0, 0, ...be16(length), kinds[0]!, o.ttl ?? 64);
  return concat(fixed, address(from), address(to), ...headers, payload);
}

/** An IP packet; the version follows from the addresses. */
export const ip = (from: string, to: string, protocol: number, payload: Uint8Array, o: IpOptions = {}): Uint8Array =>
  isIPv4(from) ? ipv4(from, to, protocol, payload, o) : ipv6(from, to, protocol, payload, o);

/** Checksum of a transport segment under the pseudo-header. */
export function transportChecksum(from: string, to: string, protocol: number, segment: Uint8Array): number {
  const length = isIPv4(from) ? [0, protocol, ...be16(segment.length)] : [...be32(segment.length), 0, 0, 0, protocol];
  return checksum(concat(address(from), address(to), bytes(...length), segment));
}

export interface TcpOptions {
  flags?: number;
  sequence?: number;
  options?: Uint8Array;
}

/** TCP segment with its checksum; `from` and `to` are [address, port]. */
export function tcpSegment(from: End, to: End, payload: Uint8Array, o: TcpOptions = {}): Uint8Array {
  const options = o.options ?? bytes();
  const header = 20 + options.length;
  const segment = concat(
    bytes(...be16(from[1]), ...be16(to[1]), ...be32(o.sequence ?? 1000), ...be32(2000)),
    bytes((header / 4) << 4, o.flags ?? 0x10, ...be16(5000), 0, 0, 0, 0),
    options,
    payload,
  );
  segment.set(be16(transportChecksum(from[0], to[0], 6, segment)), 16);
  return segment;
}

/** UDP datagram with its checksum. */
export function udpDatagram(from: End, to: End, payload: Uint8Array): Uint8Array {
  const datagram = concat(bytes(...be16(from[1]), ...be16(to[1]), ...be16(8 + payload.length), 0, 0), payload);
  datagram.set(be16(transportChecksum(from[0], to[0], 17, datagram) || 0xffff), 6);
  return datagram;
}

export type End = readonly [string, number];

export const tcp = (from: End, to: End, payload: Uint8Array, o: TcpOptions & { ip?: IpOptions } = {}): Uint8Array =>
  ip(from[0], to[0], 6, tcpSegment(from, to, payload, o), o.ip);

export const udp = (from: End, to: End, payload: Uint8Array, o: IpOptions = {}): Uint8Array =>
  ip(from[0], to[0], 17, udpDatagram(from, to, payload), o);

/** ICMP or ICMPv6 message: type, code, the 4 bytes behind the checksum, and the body. */
export function icmp(
  from: string,
  to: string,
  type: number,
  code: number,
  rest: readonly number[],
  body: Uint8Array,
  o: IpOptions = {},
): Uint8Array {
  const message = concat(bytes(type, code, 0, 0, ...rest), body);
  const v4 = isIPv4(from);
  message.set(be16(v4 ? checksum(message) : transportChecksum(from, to, 58, message)), 2);
  return ip(from, to, v4 ? 1 : 58, message, o);
}

export const echo = (from: string, to: string, id: number): Uint8Array =>
  icmp(from, to, isIPv4(from) ? 8 : 128, 0, [...be16(id), 0, 1], filler(16));

/** Ethernet frame around a packet, with VLAN tags: ether types of the tags, outermost first. */
export function ethernet(packet: Uint8Array, tags: readonly number[] = [], padTo = 0): Uint8Array {
  const type = packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd;
  const addresses = bytes(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2);
  const frame = concat(addresses, ...tags.map((tag) => bytes(...be16(tag), 0, 100)), bytes(...be16(type)), packet);
  return frame.length < padTo ? concat(frame, new Uint8Array(padTo - frame.length)) : frame;
}

export interface GueOptions {
  tos?: number;
  /** Further hops, and which is next. */
  hops?: readonly string[];
  index?: number;
  port?: number;
  sourcePort?: number;
}

/** What a host sends to another: outer IP, UDP and GUE around an inner packet. */
export function gue(from: string, to: string, inner: Uint8Array, o: GueOptions = {}): Uint8Array {
  const hops = o.hops ?? [];
  const v4Hops = hops.every((hop) => isIPv4(hop));
  const mapped = (hop: string): Uint8Array =>
    isIPv4(hop) ? concat(address("::ffff:0:0").subarray(0, 12), address(hop)) : address(hop);
  const list = concat(...hops.map((hop) => (v4Hops ? address(hop) : mapped(hop))));
  const data = hops.length === 0 ? bytes() : concat(bytes(...be16(v4Hops ? 0 : 1), o.index ?? 0, hops.length), list);
  const header = bytes(data.length / 4, inner[0]! >> 4 === 4 ? 4 : 41, 0, 0);
  const datagram = udpDatagram([from, o.sourcePort ?? 49152], [to, o.port ?? 6080], concat(header, data, inner));
  return ip(from, to, 17, datagram, { tos: o.tos ?? tosOf(inner), df: true });
}

const tosOf = (inner: Uint8Array): number => (inner[0]! >> 4 === 4 ? inner[1]! : ((inner[0]! & 15) << 4) | (inner[1]! >> 4));
