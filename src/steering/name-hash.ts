/**
 * Keyed hash of names, by which a host gets its order of buckets: HalfSipHash-1-3 (Aumasson and Bernstein; Linux's hsiphash on
 * 32-bit machines). Not for the hot path.
 */

/**
 * Hashes bytes. Returns two unsigned 32-bit words: the value of the 32-bit variant, and what three more rounds make of its
 * state, entered as in the 64-bit variant.
 */
export function hashBytes(bytes: Uint8Array, k0: number, k1: number): [number, number] {
  let v0 = k0 | 0;
  let v1 = k1 | 0;
  let v2 = 0x6c796765 ^ k0;
  let v3 = 0x74656462 ^ k1;
  for (let o = 0; o <= bytes.length; o += 4) {
    const m = wordAt(bytes, o);
    v3 ^= m;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= m;
  }
  v2 ^= 0xff;
  let first = 0;
  for (let round = 0; round < 6; round++) {
    if (round === 3) {
      first = v1 ^ v3;
      v1 ^= 0xdd;
    }
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
  }
  return [first >>> 0, (v1 ^ v3) >>> 0];
}

/** Word at `o`, little-endian; the last one has the length in its highest byte. */
function wordAt(bytes: Uint8Array, o: number): number {
  if (o + 4 <= bytes.length) return bytes[o]! | (bytes[o + 1]! << 8) | (bytes[o + 2]! << 16) | (bytes[o + 3]! << 24);
  let last = bytes.length << 24;
  for (let i = o; i < bytes.length; i++) last |= bytes[i]! << (8 * (i & 3));
  return last;
}
