/**
 * Longest-prefix look-up of addresses of both families in an int32 array. Two tables behind one another, for each family has a
 * key of its own length: word 0 is the offset of the IPv6 table, the IPv4 table follows it.
 */
import { findIpv4, ipv4TableWords, writeIpv4Table } from "./ipv4-table.ts";
import { findIpv6, ipv6TableWords, writeIpv6Table } from "./ipv6-table.ts";

const IPV4_AT = 1;

export interface AddressEntry {
  readonly words: readonly [number, number, number, number];
  readonly family: 4 | 6;
  /** Prefix length over 128 bits, IPv4 mapped. */
  readonly length: number;
  /** 0 or more. */
  readonly value: number;
}

/** Words a table for `entries` prefixes takes. */
export const addressTableWords = (entries: number): number => IPV4_AT + ipv4TableWords(entries) + ipv6TableWords(entries);

/** Writes a table at `at`; the words there must be zero. Of equal prefixes the last one stays. */
export function writeAddressTable(words: Int32Array, at: number, entries: readonly AddressEntry[]): void {
  const ipv4 = entries.filter((e) => e.family === 4);
  const ipv6 = entries.filter((e) => e.family === 6);
  words[at] = IPV4_AT + ipv4TableWords(ipv4.length);
  writeIpv4Table(
    words,
    at + IPV4_AT,
    ipv4.map((e) => ({ word: e.words[3], length: e.length - 96, value: e.value })),
  );
  writeIpv6Table(words, at + words[at]!, ipv6);
}

/** Value of the longest prefix that holds the IPv4 address, an int32 word, or -1. */
export const findAddress4 = (words: Int32Array, at: number, address: number): number => findIpv4(words, at + IPV4_AT, address);

/** Value of the longest prefix that holds the IPv6 address given as 4 int32 words, or -1. */
export const findAddress6 = (words: Int32Array, at: number, a: number, b: number, c: number, d: number): number =>
  findIpv6(words, at + words[at]!, a, b, c, d);

/** The same for an address of either family; an IPv4 address is its last word. */
export const findAddress = (words: Int32Array, at: number, family: number, a: number, b: number, c: number, d: number): number =>
  family === 4 ? findAddress4(words, at, d) : findAddress6(words, at, a, b, c, d);
