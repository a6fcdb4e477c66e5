/** The Internet checksum (RFC 1071). Sums are kept unfolded, in host order over big-endian 16-bit words. */

/** Adds `length` bytes from `o` to `sum`; an odd last byte counts as the high half of a word. Takes up to 64 KB without overflow. */
export function addBytes(b: DataView, o: number, length: number, sum: number): number {
  const even = o + (length & ~1);
  for (let i = o; i < even; i += 2) sum += b.getUint16(i);
  return (length & 1) === 0 ? sum : sum + (b.getUint8(even) << 8);
}

/** Folds a sum into 16 bits. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** The value for a checksum field: the complement of the folded sum. */
export const complement = (sum: number): number => ~fold(sum) & 0xffff;

/** Sum of the IPv4 pseudo-header (RFC 9293, 768) for the IPv4 header at `ip` and an L4 length in bytes. */
export const pseudoSum4 = (b: DataView, ip: number, protocol: number, length: number): number =>
  addBytes(b, ip + 12, 8, protocol + length);

/** Sum of the IPv6 pseudo-header (RFC 8200, 8.1) for the IPv6 header at `ip`. */
export const pseudoSum6 = (b: DataView, ip: number, protocol: number, length: number): number =>
  addBytes(b, ip + 8, 32, protocol + (length >>> 16) + (length & 0xffff));

/** New checksum after one 16-bit word it covers changed from `before` to `after` (RFC 1624, equation 3). */
export function adjust(checksum: number, before: number, after: number): number {
  return complement((~checksum & 0xffff) + (~before & 0xffff) + after);
}

/** Writes the header checksum of the IPv4 header of `length` bytes at `ip`. */
export function setIpv4Checksum(b: DataView, ip: number, length: number): void {
  b.setUint16(ip + 10, 0);
  b.setUint16(ip + 10, complement(addBytes(b, ip, length, 0)));
}

/** Whether the IPv4 header of `length` bytes at `ip` sums to zero. */
export const ipv4ChecksumGood = (b: DataView, ip: number, length: number): boolean => fold(addBytes(b, ip, length, 0)) === 0xffff;
