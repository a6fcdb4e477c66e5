/**
 * Longest-prefix look-up of addresses in an int32 array: open addressing over masked addresses, one probe sequence for each
 * prefix length in use. IPv4 is mapped, so both families share a table; host prefixes alone cost a single probe.
 *
 * words: [lengths in use, slot mask, lengths longest first ..., slots of SLOT words: address 4, family and length, value + 1]
 */

const LENGTHS_AT = 2;
const MAX_LENGTHS = 129;
const SLOTS_AT = LENGTHS_AT + MAX_LENGTHS;
const SLOT = 6;
const KIND = 4;
const VALUE = 5;

export interface AddressEntry {
  readonly words: readonly [number, number, number, number];
  readonly family: 4 | 6;
  /** Prefix length over 128 bits. */
  readonly length: number;
  /** 0 or more. */
  readonly value: number;
}

const slotCount = (entries: number): number => 2 ** Math.ceil(Math.log2(Math.max(2, entries * 2 + 1)));

/** Words a table for `entries` prefixes takes. */
export const addressTableWords = (entries: number): number => SLOTS_AT + slotCount(entries) * SLOT;

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
export function writeAddressTable(words: Int32Array, at: number, entries: readonly AddressEntry[]): void {
  const lengths = [...new Set(entries.map((e) => e.length))].sort((a, b) => b - a);
  const slots = slotCount(entries.length);
  words[at] = lengths.length;
  words[at + 1] = slots - 1;
  lengths.forEach((length, i) => {
    words[at + LENGTHS_AT + i] = length;
  });
  for (const { words: w, family, length, value } of entries) {
    const kind = (family << 8) | length;
    for (let s = slotOf(w[0], w[1], w[2], w[3]); ; s++) {
      const slot = at + SLOTS_AT + (s & (slots - 1)) * SLOT;
      const free = words[slot + VALUE] === 0;
      const same = words[slot + KIND] === kind && w.every((word, i) => words[slot + i] === (word | 0));
      if (!free && !same) continue;
      w.forEach((word, i) => {
        words[slot + i] = word;
      });
      words[slot + KIND] = kind;
      words[slot + VALUE] = value + 1;
      break;
    }
  }
}

/** Value of the longest prefix that holds the address given as 4 int32 words, or -1. */
export function findAddress(words: Int32Array, at: number, family: number, a: number, b: number, c: number, d: number): number {
  const lengths = words[at]!;
  const slotMask = words[at + 1]!;
  for (let i = 0; i < lengths; i++) {
    const length = words[at + LENGTHS_AT + i]!;
    const ma = a & mask(length, 0);
    const mb = b & mask(length, 1);
    const mc = c & mask(length, 2);
    const md = d & mask(length, 3);
    const kind = (family << 8) | length;
    for (let s = slotOf(ma, mb, mc, md); ; s++) {
      const slot = at + SLOTS_AT + (s & slotMask) * SLOT;
      const value = words[slot + VALUE]!;
      if (value === 0) break;
      if (
        words[slot + 3] === md &&
        words[slot + KIND] === kind &&
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
