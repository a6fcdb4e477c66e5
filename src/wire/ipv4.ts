/** IPv4 header (RFC 791). Accessors are valid once checkIpv4 has accepted the offset. */
import { adjust, setIpv4Checksum } from "./checksum.ts";

export const IPV4_HEADER = 20;
const TOS = 1;
export const TOTAL_LENGTH = 2;
const ID = 4;
const FRAGMENT = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
export const IPV4_SOURCE = 12;
export const IPV4_DESTINATION = 16;

export const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;

/** Version, header length, TOS and total length in one read. */
export const firstWord = (b: DataView, ip: number): number => b.getInt32(ip);
export const versionIn = (first: number): number => first >>> 28;
/** Header length in bytes, 20 to 60. */
export const headerLengthIn = (first: number): number => (first >>> 22) & 0x3c;
export const tosIn = (first: number): number => (first >>> 16) & 0xff;
export const totalLengthIn = (first: number): number => first & 0xffff;

export const headerLength = (b: DataView, ip: number): number => headerLengthIn(firstWord(b, ip));
export const totalLength = (b: DataView, ip: number): number => b.getUint16(ip + TOTAL_LENGTH);
export const tos = (b: DataView, ip: number): number => b.getUint8(ip + TOS);
export const identification = (b: DataView, ip: number): number => b.getUint16(ip + ID);
export const ttl = (b: DataView, ip: number): number => b.getUint8(ip + TTL);
export const protocol = (b: DataView, ip: number): number => b.getUint8(ip + PROTOCOL);
export const headerChecksum = (b: DataView, ip: number): number => b.getUint16(ip + CHECKSUM);
export const dontFragment = (b: DataView, ip: number): boolean => (b.getUint8(ip + FRAGMENT) & 0x40) !== 0;
/** Non-zero for a fragment: the more-fragments bit and the offset in 8-byte units. */
export const fragmentBits = (b: DataView, ip: number): number => b.getUint16(ip + FRAGMENT) & (MORE_FRAGMENTS | OFFSET_MASK);
/** Whether all three flags and the offset of fragments are 0, but for the flag `but`. */
export const hasNoFragmentBitBut = (b: DataView, ip: number, but: number): boolean => (b.getUint16(ip + FRAGMENT) & ~but) === 0;
/** Offset of a fragment in bytes, from fragmentBits. */
export const fragmentOffset = (bits: number): number => (bits & OFFSET_MASK) << 3;
/** Whether fragments follow, from fragmentBits. */
export const moreFragments = (bits: number): boolean => (bits & MORE_FRAGMENTS) !== 0;

/** Whether header length, total length and the `available` bytes agree. */
export function lengthsAgree(first: number, available: number): boolean {
  const header = headerLengthIn(first);
  const total = totalLengthIn(first);
  return header >= IPV4_HEADER && header <= total && total <= available;
}

/** Whether the `available` bytes at `ip` hold a header and packet whose version and lengths agree. The checksum is the owner's to judge. */
export function checkIpv4(b: DataView, ip: number, available: number): boolean {
  if (available < IPV4_HEADER) return false;
  const first = firstWord(b, ip);
  return versionIn(first) === 4 && lengthsAgree(first, available);
}

/** Replaces TOS and mends the header checksum. */
export function setTos(b: DataView, ip: number, value: number): void {
  const before = b.getUint16(ip);
  b.setUint8(ip + TOS, value);
  b.setUint16(ip + CHECKSUM, adjust(b.getUint16(ip + CHECKSUM), before, b.getUint16(ip)));
}

/** Replaces the total length and mends the header checksum. */
export function setTotalLength(b: DataView, ip: number, total: number): void {
  b.setUint16(ip + CHECKSUM, adjust(b.getUint16(ip + CHECKSUM), b.getUint16(ip + TOTAL_LENGTH), total));
  b.setUint16(ip + TOTAL_LENGTH, total);
}

/** Replaces total length and identification and writes the header checksum anew. */
export function setSegment(b: DataView, ip: number, total: number, id: number): void {
  b.setUint16(ip + TOTAL_LENGTH, total);
  b.setUint16(ip + ID, id);
  setIpv4Checksum(b, ip, headerLength(b, ip));
}

export const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;

/** Bytes of the option at `o`; 0 when there are no more before `end`, or the option contradicts itself. */
export function optionLength(b: DataView, o: number, end: number): number {
  const kind = b.getUint8(o);
  if (kind === END_OF_OPTIONS) return 0;
  if (kind === NO_OPERATION) return 1;
  const length = o + 1 < end ? b.getUint8(o + 1) : 0;
  return length >= 2 && o + length <= end ? length : 0;
}

/** Whether an option belongs into every fragment (RFC 791, 3.1). */
export const isCopied = (b: DataView, o: number): boolean => (b.getUint8(o) & 0x80) !== 0;

/** Makes the header a fragment's, DF clear: its own length, the total length, the offset in bytes; and the checksum anew. */
export function setFragment(b: DataView, ip: number, header: number, total: number, offset: number, more: boolean): void {
  b.setUint8(ip, 0x40 | (header >>> 2));
  b.setUint16(ip + TOTAL_LENGTH, total);
  const reserved = b.getUint16(ip + FRAGMENT) & 0x8000;
  b.setUint16(ip + FRAGMENT, reserved | (more ? MORE_FRAGMENTS : 0) | (offset >>> 3));
  setIpv4Checksum(b, ip, header);
}

/** Writes a 20-byte header without options: identification 0, DF set, TTL 64. Addresses are 32-bit words. */
export function writeIpv4(
  b: DataView,
  ip: number,
  tosByte: number,
  total: number,
  proto: number,
  source: number,
  destination: number,
): void {
  b.setUint8(ip, 0x45);
  b.setUint8(ip + TOS, tosByte);
  b.setUint16(ip + TOTAL_LENGTH, total);
  b.setUint16(ip + ID, 0);
  b.setUint16(ip + FRAGMENT, DONT_FRAGMENT);
  b.setUint8(ip + TTL, 64);
  b.setUint8(ip + PROTOCOL, proto);
  b.setUint32(ip + IPV4_SOURCE, source);
  b.setUint32(ip + IPV4_DESTINATION, destination);
  setIpv4Checksum(b, ip, IPV4_HEADER);
}
