/**
 * The hash of flows, keyed so that nobody outside can choose flows that meet in one bucket: HalfSipHash-1-3 (Aumasson and
 * Bernstein; rounds as in Linux's hsiphash), fitted to input of a known length in two ways.
 *
 * - The standard closes a message with a word that holds its length. Here the kind of flow (IP version and protocol), which
 *   fixes the length, is mixed into v1 before the first word instead: the place where SipHash tells its variants apart.
 * - 64 bits come out of the same three final rounds: the first word is the standard's, v1 ^ v3, the second v0 ^ v2. Together
 *   they are the fold of all four words that the full-size SipHash gives out; their exclusive or is exactly that.
 */

const V2 = 0x6c796765;
const V3 = 0x74656462;
const FINAL = 0xff;

/** 64 bits, each word a signed 32-bit integer. */
export interface FlowHash {
  hash: number;
  hash2: number;
}

/** Hashes an IPv6 flow under the key (k0, k1): the words of `upper`, then `a`, `b` and `c`. */
export function hashLong(
  upper: Int32Array,
  a: number,
  b: number,
  c: number,
  kind: number,
  k0: number,
  k1: number,
  out: FlowHash,
): void {
  const count = upper.length;
  let v0 = k0 | 0;
  let v1 = k1 ^ kind;
  let v2 = V2 ^ k0;
  let v3 = V3 ^ k1;
  for (let i = 0; i < count + 6; i++) {
    const m = i < count ? upper[i]! : i === count ? a : i === count + 1 ? b : i === count + 2 ? c : 0;
    if (i === count + 3) v2 ^= FINAL;
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
  out.hash = v1 ^ v3;
  out.hash2 = v0 ^ v2;
}

/** Hashes an IPv4 flow: three words. The rounds are written out: 7 ns instead of 11. */
export function hashShort(a: number, b: number, c: number, kind: number, k0: number, k1: number, out: FlowHash): void {
  let v0 = k0 | 0;
  let v1 = k1 ^ kind;
  let v2 = V2 ^ k0;
  let v3 = V3 ^ k1;

  v3 ^= a;
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
  v0 ^= a;

  v3 ^= b;
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
  v0 ^= b;

  v3 ^= c;
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
  v0 ^= c;

  v2 ^= FINAL;
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

  out.hash = v1 ^ v3;
  out.hash2 = v0 ^ v2;
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
