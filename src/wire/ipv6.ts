/** IPv6 header and extension headers (RFC 8200). Accessors are valid once checkIpv6 has accepted the offset. */

export const IPV6_HEADER = 40;
const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
export const IPV6_SOURCE = 8;
export const IPV6_DESTINATION = 24;

export const HOP_BY_HOP = 0;
export const ROUTING = 43;
export const FRAGMENT = 44;
export const ESP = 50;
export const AUTHENTICATION = 51;
export const DESTINATION_OPTIONS = 60;

export const payloadLength = (b: DataView, ip: number): number => b.getUint16(ip + PAYLOAD_LENGTH);
export const nextHeader = (b: DataView, ip: number): number => b.getUint8(ip + NEXT_HEADER);
export const hopLimit = (b: DataView, ip: number): number => b.getUint8(ip + HOP_LIMIT);
export const trafficClass = (b: DataView, ip: number): number => ((b.getUint8(ip) & 15) << 4) | (b.getUint8(ip + 1) >>> 4);

/** Whether the `available` bytes at `ip` hold a header and packet whose version and length agree. */
export const checkIpv6 = (b: DataView, ip: number, available: number): boolean =>
  available >= IPV6_HEADER && b.getUint8(ip) >>> 4 === 6 && IPV6_HEADER + payloadLength(b, ip) <= available;

/** Whether a next-header value is an extension header that can be walked over. */
export const isExtension = (next: number): boolean =>
  next === HOP_BY_HOP || next === ROUTING || next === FRAGMENT || next === AUTHENTICATION || next === DESTINATION_OPTIONS;

/** Bytes of the extension header of kind `next` at `o`; 2 bytes of it must be there. */
export function extensionLength(b: DataView, o: number, next: number): number {
  if (next === FRAGMENT) return 8;
  if (next === AUTHENTICATION) return (b.getUint8(o + 1) + 2) << 2;
  return (b.getUint8(o + 1) + 1) << 3;
}

/** Offset and more-fragments bit of the fragment header at `o`, as ipv4.fragmentBits has them: 13 bits of offset and 0x2000. */
export function fragmentBits6(b: DataView, o: number): number {
  const word = b.getUint16(o + 2);
  return (word >>> 3) | ((word & 1) << 13);
}

export const FRAGMENT_HEADER = 8;
/** Identification in the fragment header at `o`. */
export const fragmentId = (b: DataView, o: number): number => b.getInt32(o + 4);

/** Bytes of a hop-by-hop header that holds the jumbo payload option and nothing else. */
export const JUMBO_HEADER = 8;
/** Type and length of the option (RFC 2675, 2); the header before it is of 8 bytes. */
const JUMBO_OPTION = 0xc204;

/**
 * What follows the jumbo payload header behind the IPv6 header at `ip`; -1 when there is none, or it says other than that `payload`
 * bytes follow the IPv6 header.
 */
export function jumboNextHeader(b: DataView, ip: number, payload: number): number {
  const at = ip + IPV6_HEADER;
  if (payload < JUMBO_HEADER || nextHeader(b, ip) !== HOP_BY_HOP || b.getUint8(at + 1) !== 0) return -1;
  return b.getUint16(at + 2) === JUMBO_OPTION && b.getUint32(at + 4) === payload ? b.getUint8(at) : -1;
}

export function setNextHeader(b: DataView, ip: number, next: number): void {
  b.setUint8(ip + NEXT_HEADER, next);
}

export function setPayloadLength(b: DataView, ip: number, length: number): void {
  b.setUint16(ip + PAYLOAD_LENGTH, length);
}

export function setTrafficClass(b: DataView, ip: number, value: number): void {
  b.setUint8(ip, (b.getUint8(ip) & 0xf0) | (value >>> 4));
  b.setUint8(ip + 1, (b.getUint8(ip + 1) & 15) | (value << 4));
}

/** Writes all of a header but its addresses: flow label 0, hop limit 64. */
export function writeIpv6Header(b: DataView, ip: number, traffic: number, payload: number, next: number): void {
  b.setUint32(ip, (6 << 28) | (traffic << 20));
  b.setUint16(ip + PAYLOAD_LENGTH, payload);
  b.setUint8(ip + NEXT_HEADER, next);
  b.setUint8(ip + HOP_LIMIT, 64);
}

/** Writes a header with flow label 0 and hop limit 64; addresses are read from 4 words each. */
export function writeIpv6(
  b: DataView,
  ip: number,
  traffic: number,
  payload: number,
  next: number,
  source: ArrayLike<number>,
  destination: ArrayLike<number>,
): void {
  writeIpv6Header(b, ip, traffic, payload, next);
  for (let i = 0; i < 4; i++) {
    b.setUint32(ip + IPV6_SOURCE + 4 * i, source[i]!);
    b.setUint32(ip + IPV6_DESTINATION + 4 * i, destination[i]!);
  }
}
