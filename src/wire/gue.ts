/**
 * Generic UDP Encapsulation, draft-ietf-intarea-gue-09, as Haflinger speaks it.
 *
 *   variant 0    0                   1                   2                   3
 *                0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *               +---+-+---------+---------------+-------------------------------+
 *               | 0 |C|  Hlen   |  proto 4, 41  |            flags 0            |
 *               +---+-+---------+---------------+---------------+---------------+
 *   with hops:  |          type 0 or 1          | next hop index|   hop count   |
 *               +-------------------------------+---------------+---------------+
 *               |     hops: one IPv4 address each (type 0), or 16 bytes each    |
 *               |     (type 1: IPv6, an IPv4 address mapped ::ffff:a.b.c.d)     |
 *               +---------------------------------------------------------------+
 *   variant 1: no header at all; the inner packet starts with its version, 4 or 6.
 *
 * Hlen counts the words behind the first. Type 0 is the private data of GLB and Unimog; type 1 is Haflinger's own, for
 * chains in which a hop has no IPv4 address. The index names the hop that is next: equal to the count, none is left.
 */

export const GUE_HEADER = 4;
const PROTO_IPV4 = 4;
const PROTO_IPV6 = 41;
const CONTROL_BIT = 0x20;
const HLEN_MASK = 0x1f;
const HOP_INDEX = 6;
const HOP_COUNT = 7;
/** Offset of the first hop address from the GUE header. */
export const GUE_HOPS = 8;
export const HOPS_IPV4 = 0;
export const HOPS_IPV6 = 1;
/** Bytes of a header with the most hops we write: three further hops and the way back to the first, 16 bytes each. */
export const GUE_MAX_HEADER = GUE_HOPS + 4 * 16;

/** Bytes from the start of GUE to the inner packet, by the checks below: -1 for anything that must be dropped. */
export function innerOffset(b: DataView, gue: number, length: number): number {
  if (length < GUE_HEADER) return -1;
  const first = b.getUint8(gue);
  const variant = first >>> 6;
  if (variant === 1) return first >>> 4 === 4 || first >>> 4 === 6 ? 0 : -1;
  if (variant !== 0 || (first & CONTROL_BIT) !== 0 || b.getUint16(gue + 2) !== 0) return -1;
  const offset = GUE_HEADER + ((first & HLEN_MASK) << 2);
  if (offset >= length) return -1;
  const proto = b.getUint8(gue + 1);
  const version = b.getUint8(gue + offset) >>> 4;
  if (!((proto === PROTO_IPV4 && version === 4) || (proto === PROTO_IPV6 && version === 6))) return -1;
  return offset === GUE_HEADER || checkHops(b, gue, offset) ? offset : -1;
}

function checkHops(b: DataView, gue: number, headerLength: number): boolean {
  const type = b.getUint16(gue + GUE_HEADER);
  if (type !== HOPS_IPV4 && type !== HOPS_IPV6) return false;
  const count = b.getUint8(gue + HOP_COUNT);
  return b.getUint8(gue + HOP_INDEX) <= count && GUE_HOPS + count * hopSize(type) <= headerLength;
}

const hopSize = (type: number): number => (type === HOPS_IPV4 ? 4 : 16);

/** Hops still to come in a header that innerOffset gave `offset` for. */
export const hopsLeft = (b: DataView, gue: number, offset: number): number =>
  offset <= GUE_HEADER ? 0 : b.getUint8(gue + HOP_COUNT) - b.getUint8(gue + HOP_INDEX);

/** Number of the hop that is next, from 0; only where hopsLeft is above 0. */
export const hopIndex = (b: DataView, gue: number): number => b.getUint8(gue + HOP_INDEX);

/** Offset in the array of the next hop's address; hopsLeft must be above 0. */
export const nextHopAddress = (b: DataView, gue: number): number =>
  gue + GUE_HOPS + b.getUint8(gue + HOP_INDEX) * hopSize(b.getUint16(gue + GUE_HEADER));

/** 4 or 6: how long the addresses of the hops are. */
export const hopFamily = (b: DataView, gue: number): 4 | 6 => (b.getUint16(gue + GUE_HEADER) === HOPS_IPV4 ? 4 : 6);

/** Marks the next hop as taken, before the packet goes to it. */
export function advanceHop(b: DataView, gue: number): void {
  b.setUint8(gue + HOP_INDEX, b.getUint8(gue + HOP_INDEX) + 1);
}

/** Writes the plain 4-byte header for an inner packet of the given version. */
export function writeGue(b: DataView, gue: number, version: number): void {
  b.setInt32(gue, (version === 4 ? PROTO_IPV4 : PROTO_IPV6) << 16);
}

/** Bytes of a header with `hops` further hops of the given type. */
export const gueHeaderLength = (hops: number, type: number): number =>
  hops === 0 ? GUE_HEADER : GUE_HOPS + hops * hopSize(type);

/** Writes a header with hops, index 0. The addresses are the caller's to write, from `gue + GUE_HOPS` on. */
export function writeGueHops(b: DataView, gue: number, version: number, hops: number, type: number): void {
  writeGue(b, gue, version);
  b.setUint8(gue, (gueHeaderLength(hops, type) - GUE_HEADER) >>> 2);
  b.setUint16(gue + GUE_HEADER, type);
  b.setUint8(gue + HOP_INDEX, 0);
  b.setUint8(gue + HOP_COUNT, hops);
}
