/**
 * Longest-prefix look-up of IPv4 addresses in an int32 array. Host addresses, which VIPs and peers mostly are, lie in a table
 * of their own and cost one probe. Prefixes lie in a second one: open addressing over masked addresses, one probe sequence
 * for each length in use, longest first.
 *
 * words: [32 - log2(host slots), prefix lengths in use, offset of the prefix slots, prefix slots - 1, masks ...,
 * host slots of 2 words: address, value + 1; prefix slots of 3 words: masked address, mask, value + 1]
 */

const LENGTHS = 1;
const PREFIXES = 2;
const WRAP = 3;
const MASKS_AT = 4;
const MAX_MASKS = 32;
const HOSTS_AT = MASKS_AT + MAX_MASKS;
const HOST_SLOT = 2;
const PREFIX_SLOT = 3;

export interface Ipv4Entry {
  readonly word: number;
  /** Prefix length, 0 to 32. */
  readonly length: number;
  /** 0 or more. */
  readonly value: number;
}

/** At least half of the slots stay free. */
const slotBits = (entries: number): number => Math.ceil(Math.log2(Math.max(2, entries * 2 + 1)));

/** Host slots are followed by one for each entry, so that probing need not start again at the first. */
const hostSlots = (entries: number): number => 2 ** slotBits(entries) + entries + 1;

/** Words a table for `entries` prefixes takes. */
export const ipv4TableWords = (entries: number): number =>
  HOSTS_AT + hostSlots(entries) * HOST_SLOT + 2 ** slotBits(entries) * PREFIX_SLOT;

const maskOf = (length: number): number => (length === 0 ? 0 : -1 << (32 - length));

/** Fibonacci hashing: entries come from the configuration, so that nobody can choose them to collide. */
const spread = (address: number): number => Math.imul(address, 0x9e3779b1);

/** Writes a table at `at`; the words there must be zero. Of equal prefixes the last one stays. */
export function writeIpv4Table(words: Int32Array, at: number, entries: readonly Ipv4Entry[]): void {
  const bits = slotBits(entries.length);
  const lengths = [...new Set(entries.map((e) => e.length))].filter((length) => length < 32).sort((a, b) => b - a);
  const prefixes = HOSTS_AT + hostSlots(entries.length) * HOST_SLOT;
  words.set([32 - bits, lengths.length, prefixes, 2 ** bits - 1, ...lengths.map(maskOf)], at);
  for (const { word, length, value } of entries) {
    if (length === 32) writeHost(words, at, bits, word | 0, value);
    else writePrefix(words, at + prefixes, 2 ** bits - 1, word & maskOf(length), maskOf(length), value);
  }
}

function writeHost(words: Int32Array, at: number, bits: number, address: number, value: number): void {
  let slot = at + HOSTS_AT + (spread(address) >>> (32 - bits)) * HOST_SLOT;
  while (words[slot + 1] !== 0 && words[slot] !== address) slot += HOST_SLOT;
  words.set([address, value + 1], slot);
}

function writePrefix(words: Int32Array, slots: number, wrap: number, masked: number, mask: number, value: number): void {
  for (let s = spread(masked); ; s++) {
    const slot = slots + (s & wrap) * PREFIX_SLOT;
    if (words[slot + 2] !== 0 && (words[slot] !== masked || words[slot + 1] !== mask)) continue;
    words.set([masked, mask, value + 1], slot);
    return;
  }
}

/** Value of the longest prefix that holds the address, an int32 word, or -1. */
export function findIpv4(words: Int32Array, at: number, address: number): number {
  let slot = at + HOSTS_AT + (spread(address) >>> words[at]!) * HOST_SLOT;
  for (; ; slot += HOST_SLOT) {
    const value = words[slot + 1]!;
    if (words[slot] === address && value !== 0) return value - 1;
    if (value === 0) return findPrefix(words, at, address);
  }
}

function findPrefix(words: Int32Array, at: number, address: number): number {
  const wrap = words[at + WRAP]!;
  const slots = at + words[at + PREFIXES]!;
  for (let i = 0; i < words[at + LENGTHS]!; i++) {
    const mask = words[at + MASKS_AT + i]!;
    const masked = address & mask;
    for (let s = spread(masked); ; s++) {
      const slot = slots + (s & wrap) * PREFIX_SLOT;
      const value = words[slot + 2]!;
      if (value === 0) break;
      if (words[slot] === masked && words[slot + 1] === mask) return value - 1;
    }
  }
  return -1;
}
