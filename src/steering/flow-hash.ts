/**
 * Keyed hash over flows and names: HalfSipHash-1-3 (Aumasson and Bernstein; the variant and rounds of Linux's hsiphash).
 * Keyed, so that nobody outside can choose flows that meet in one bucket.
 */

/**
 * Hashes `count` words of `words` from `at`, 4 bytes little-endian each, closed by the word `last`, under the key
 * (k0, k1). Writes 64 bits as two int32 to `out[to]` (the value of the 32-bit variant) and `out[to + 1]`.
 */
export function hashWords(
  words: Int32Array,
  at: number,
  count: number,
  last: number,
  k0: number,
  k1: number,
  out: Int32Array,
  to: number,
): void {
  let v0 = k0 | 0;
  let v1 = k1 | 0;
  let v2 = 0x6c796765 ^ k0;
  let v3 = 0x74656462 ^ k1;
  for (let i = 0; i <= count; i++) {
    const m = i < count ? words[at + i]! : last | 0;
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
  for (let round = 0; round < 6; round++) {
    if (round === 3) {
      out[to] = v1 ^ v3;
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
  out[to + 1] = v1 ^ v3;
}

/** Hashes bytes as the reference does (length in the last word). Returns two unsigned 32-bit words. Not for the hot path. */
export function hashBytes(bytes: Uint8Array, k0: number, k1: number): [number, number] {
  const whole = bytes.length >>> 2;
  const words = new Int32Array(whole);
  for (let i = 0; i < whole; i++) {
    const o = 4 * i;
    words[i] = bytes[o]! | (bytes[o + 1]! << 8) | (bytes[o + 2]! << 16) | (bytes[o + 3]! << 24);
  }
  let last = bytes.length << 24;
  for (let i = whole * 4; i < bytes.length; i++) last |= bytes[i]! << (8 * (i & 3));
  const out = new Int32Array(2);
  hashWords(words, 0, whole, last, k0, k1, out, 0);
  return [out[0]! >>> 0, out[1]! >>> 0];
}

export interface Keys {
  /** Key of the flow hash. */
  readonly flow: readonly [number, number];
  /** Key under which host names become permutations of the table. */
  readonly table: readonly [number, number];
}

/** The two keys in a cluster's 16-byte seed: the first half is for flows, the second for tables; words are little-endian. */
export function keysOf(seed: Uint8Array): Keys {
  const view = new DataView(seed.buffer, seed.byteOffset, seed.byteLength);
  return {
    flow: [view.getInt32(0, true), view.getInt32(4, true)],
    table: [view.getInt32(8, true), view.getInt32(12, true)],
  };
}
