/** Big-endian (network order) reads and writes over one byte array. Callers have checked lengths before. */

/** Unsigned 16-bit word at `o`. */
export const u16 = (b: Uint8Array, o: number): number => (b[o]! << 8) | b[o + 1]!;

/** 32-bit word at `o` as a signed int32: the cheap form for masks, hashes and comparisons. */
export const i32 = (b: Uint8Array, o: number): number => (b[o]! << 24) | (b[o + 1]! << 16) | (b[o + 2]! << 8) | b[o + 3]!;

/** 32-bit word at `o`, 0 .. 2^32-1. */
export const u32 = (b: Uint8Array, o: number): number => i32(b, o) >>> 0;

/** Stores the low 16 bits of `v`. */
export function setU16(b: Uint8Array, o: number, v: number): void {
  b[o] = v >>> 8;
  b[o + 1] = v;
}

/** Stores the low 32 bits of `v`. */
export function setU32(b: Uint8Array, o: number, v: number): void {
  b[o] = v >>> 24;
  b[o + 1] = v >>> 16;
  b[o + 2] = v >>> 8;
  b[o + 3] = v;
}
