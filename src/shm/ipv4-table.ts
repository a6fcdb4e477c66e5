/**
 * Longest-prefix look-up of IPv4 addresses in an int32 array: open addressing over masked addresses, one probe sequence for
 * each prefix length in use, longest first. Host prefixes alone cost a single probe.
 *
 * words: [lengths in use, slots - 1, 32 - log2(slots), masks ..., slots of SLOT words: masked address, mask, value + 1]
 */

const WRAP = 1;
const SHIFT = 2;
const MASKS_AT = 3;
const MAX_MASKS = 33;
const SLOTS_AT = MASKS_AT + MAX_MASKS;
const SLOT = 3;
const MASK = 1;
const VALUE = 2;

export interface Ipv4Entry {
  readonly word: number;
  /** Prefix length, 0 to 32. */
  readonly length: number;
  /** 0 or more. */
  readonly value: number;
}

/** At least half of the slots stay free. */
const slotBits = (entries: number): number => Math.ceil(Math.log2(Math.max(2, entries * 2 + 1)));

/** Words a table for `entries` prefixes takes. */
export const ipv4TableWords = (entries: number): number => SLOTS_AT + 2 ** slotBits(entries) * SLOT;

const maskOf = (length: number): number => (length === 0 ? 0 : -1 << (32 - length));

/** Fibonacci hashing: entries come from the configuration, so that nobody can choose them to collide. */
const slotOf = (masked: number, shift: number): number => Math.imul(masked, 0x9e3779b1) >>> shift;

/** Writes a table at `at`; the words there must be zero. Of equal prefixes the last one stays. */
export function writeIpv4Table(words: Int32Array, at: number, entries: readonly Ipv4Entry[]): void {
  const bits = slotBits(entries.length);
  const wrap = 2 ** bits - 1;
  const lengths = [...new Set(entries.map((e) => e.length))].sort((a, b) => b - a);
  words[at] = lengths.length;
  words[at + WRAP] = wrap;
  words[at + SHIFT] = 32 - bits;
  lengths.forEach((length, i) => {
    words[at + MASKS_AT + i] = maskOf(length);
  });
  for (const { word, length, value } of entries) {
    const mask = maskOf(length);
    const masked = word & mask;
    for (let s = slotOf(masked, 32 - bits); ; s++) {
      const slot = at + SLOTS_AT + (s & wrap) * SLOT;
      if (words[slot + VALUE] !== 0 && (words[slot] !== masked || words[slot + MASK] !== mask)) continue;
      words.set([masked, mask, value + 1], slot);
      break;
    }
  }
}

/** Value of the longest prefix that holds the address, an int32 word, or -1. */
export function findIpv4(words: Int32Array, at: number, address: number): number {
  const wrap = words[at + WRAP]!;
  const shift = words[at + SHIFT]!;
  for (let i = words[at]!, m = at + MASKS_AT; i > 0; i--, m++) {
    const mask = words[m]!;
    const masked = address & mask;
    for (let s = slotOf(masked, shift); ; s++) {
      const slot = at + SLOTS_AT + (s & wrap) * SLOT;
      const value = words[slot + VALUE]!;
      if (value === 0) break;
      if (words[slot] === masked && words[slot + MASK] === mask) return value - 1;
    }
  }
  return -1;
}
