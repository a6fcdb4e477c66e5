/**
 * Longest-prefix look-up of IPv6 addresses in an int32 array, as ipv4-table.ts has it for one word.
 *
 * words: [lengths in use, slots - 1, lengths longest first ..., slots of SLOT words: masked address 4, length, value + 1]
 */

const WRAP = 1;
const LENGTHS_AT = 2;
const MAX_LENGTHS = 129;
const SLOTS_AT = LENGTHS_AT + MAX_LENGTHS;
const SLOT = 6;
const LENGTH = 4;
const VALUE = 5;

export interface Ipv6Entry {
  readonly words: readonly [number, number, number, number];
  /** Prefix length, 0 to 128. */
  readonly length: number;
  /** 0 or more. */
  readonly value: number;
}

const slotCount = (entries: number): number => 2 ** Math.ceil(Math.log2(Math.max(2, entries * 2 + 1)));

/** Words a table for `entries` prefixes takes. */
export const ipv6TableWords = (entries: number): number => SLOTS_AT + slotCount(entries) * SLOT;

/** Mask of 32-bit word `i` under a prefix of `bits`. */
function mask(bits: number, i: number): number {
  const n = bits - 32 * i;
  return n >= 32 ? -1 : n <= 0 ? 0 : -1 << (32 - n);
}

function slotOf(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35) ^ Math.imul(d, 0x27d4eb2f);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return h ^ (h >>> 13);
}

/** Writes a table at `at`; the words there must be zero. Of equal prefixes the last one stays. */
export function writeIpv6Table(words: Int32Array, at: number, entries: readonly Ipv6Entry[]): void {
  const lengths = [...new Set(entries.map((e) => e.length))].sort((a, b) => b - a);
  const wrap = slotCount(entries.length) - 1;
  words[at] = lengths.length;
  words[at + WRAP] = wrap;
  lengths.forEach((length, i) => {
    words[at + LENGTHS_AT + i] = length;
  });
  for (const { words: w, length, value } of entries) {
    for (let s = slotOf(w[0], w[1], w[2], w[3]); ; s++) {
      const slot = at + SLOTS_AT + (s & wrap) * SLOT;
      const same = words[slot + LENGTH] === length && w.every((word, i) => words[slot + i] === (word | 0));
      if (words[slot + VALUE] !== 0 && !same) continue;
      words.set([...w, length, value + 1], slot);
      break;
    }
  }
}

/** Value of the longest prefix that holds the address given as 4 int32 words, or -1. */
export function findIpv6(words: Int32Array, at: number, a: number, b: number, c: number, d: number): number {
  const lengths = words[at]!;
  const wrap = words[at + WRAP]!;
  for (let i = 0; i < lengths; i++) {
    const length = words[at + LENGTHS_AT + i]!;
    const ma = a & mask(length, 0);
    const mb = b & mask(length, 1);
    const mc = c & mask(length, 2);
    const md = d & mask(length, 3);
    for (let s = slotOf(ma, mb, mc, md); ; s++) {
      const slot = at + SLOTS_AT + (s & wrap) * SLOT;
      const value = words[slot + VALUE]!;
      if (value === 0) break;
      if (
        words[slot + 3] === md &&
        words[slot + LENGTH] === length &&
        words[slot] === ma &&
        words[slot + 1] === mb &&
        words[slot + 2] === mc
      ) {
        return value - 1;
      }
    }
  }
  return -1;
}
