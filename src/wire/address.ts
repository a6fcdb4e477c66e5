/** IPv4 and IPv6 addresses and prefixes as text, as words and as bytes. IPv4 is carried mapped: ::ffff:a.b.c.d. */
import { isIPv4, isIPv6 } from "node:net";
import { viewOf } from "./bytes.ts";

export interface Address {
  readonly family: 4 | 6;
  /** 128 bits as 4 unsigned words, most significant first; IPv4 mapped (0, 0, 0xffff, address). */
  readonly words: readonly [number, number, number, number];
}

export interface Prefix {
  readonly address: Address;
  /** Bits, in the family's own terms: 0..32 or 0..128. */
  readonly length: number;
}

const MAPPED = 0xffff;

/** An IPv4 address from its 32-bit word. */
export const ipv4 = (word: number): Address => ({ family: 4, words: [0, 0, MAPPED, word >>> 0] });

/** An address from 4 words; a mapped one becomes IPv4. */
export function addressOf(a: number, b: number, c: number, d: number): Address {
  const family = a === 0 && b === 0 && c >>> 0 === MAPPED ? 4 : 6;
  return { family, words: [a >>> 0, b >>> 0, c >>> 0, d >>> 0] };
}

function parseIpv4(text: string): number {
  const [a, b, c, d] = text.split(".").map(Number) as [number, number, number, number];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** Reads an address; null when the text is not one (zone ids and mapped IPv6 are not taken). */
export function parseAddress(text: string): Address | null {
  if (isIPv4(text)) return ipv4(parseIpv4(text));
  if (!isIPv6(text) || text.includes("%")) return null;
  let head = text;
  const groups: number[] = [];
  const dotted = text.lastIndexOf(".") < 0 ? -1 : text.lastIndexOf(":") + 1;
  if (dotted > 0) {
    const v4 = parseIpv4(text.slice(dotted));
    head = `${text.slice(0, dotted)}${(v4 >>> 16).toString(16)}:${(v4 & 0xffff).toString(16)}`;
  }
  const [left = "", right] = head.split("::");
  const hex = (part: string): number[] => (part === "" ? [] : part.split(":").map((g) => Number.parseInt(g, 16)));
  const before = hex(left);
  const after = right === undefined ? [] : hex(right);
  groups.push(...before);
  if (right !== undefined) groups.push(...new Array<number>(8 - before.length - after.length).fill(0));
  groups.push(...after);
  const word = (i: number): number => ((groups[i]! << 16) | groups[i + 1]!) >>> 0;
  const words = [word(0), word(2), word(4), word(6)] as const;
  return words[0] === 0 && words[1] === 0 && words[2] === MAPPED ? null : { family: 6, words };
}

/** The address as text; IPv6 in the form of RFC 5952. */
export function formatAddress(address: Address): string {
  const w = address.words;
  if (address.family === 4) return `${w[3] >>> 24}.${(w[3] >>> 16) & 255}.${(w[3] >>> 8) & 255}.${w[3] & 255}`;
  const groups = w.flatMap((x) => [x >>> 16, x & 0xffff]);
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > bestLength) {
      best = i;
      bestLength = n;
    }
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(":");
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`;
}

/** Mask of word `i` for a prefix of `bits` out of 128. */
export function maskWord(bits: number, i: number): number {
  const inWord = Math.min(32, Math.max(0, bits - 32 * i));
  return inWord === 0 ? 0 : (-1 << (32 - inWord)) >>> 0;
}

/** Prefix length counted over 128 bits, where IPv4 stands behind 96 bits. */
export const mappedLength = (prefix: Prefix): number => (prefix.address.family === 4 ? prefix.length + 96 : prefix.length);

/** Whether an address lies in a prefix. */
export function contains(prefix: Prefix, address: Address): boolean {
  if (prefix.address.family !== address.family) return false;
  const bits = mappedLength(prefix);
  return address.words.every((w, i) => (w & maskWord(bits, i)) >>> 0 === prefix.address.words[i]);
}

/** Reads `address` or `address/length`; null when malformed or when bits beyond the length are set. */
export function parsePrefix(text: string): Prefix | null {
  const [host = "", bits, extra] = text.split("/");
  const address = parseAddress(host);
  if (address === null || extra !== undefined) return null;
  const most = address.family === 4 ? 32 : 128;
  if (bits !== undefined && !/^\d{1,3}$/.test(bits)) return null;
  const length = bits === undefined ? most : Number(bits);
  const prefix = { address, length };
  return length <= most && contains(prefix, address) ? prefix : null;
}

/** The prefix as text; a host prefix without its length. */
export function formatPrefix(prefix: Prefix): string {
  const most = prefix.address.family === 4 ? 32 : 128;
  const address = formatAddress(prefix.address);
  return prefix.length === most ? address : `${address}/${prefix.length}`;
}

/** Reads an address of 4 or 16 bytes in network order at `o`. */
export function readAddress(b: Uint8Array, o: number, family: 4 | 6): Address {
  const view = viewOf(b);
  if (family === 4) return ipv4(view.getUint32(o));
  return { family, words: [view.getUint32(o), view.getUint32(o + 4), view.getUint32(o + 8), view.getUint32(o + 12)] };
}

/** Writes the 4 or 16 bytes of an address in network order at `o`. Returns how many. */
export function writeAddress(b: Uint8Array, o: number, address: Address): number {
  const view = viewOf(b);
  if (address.family === 4) {
    view.setUint32(o, address.words[3]);
    return 4;
  }
  for (let i = 0; i < 4; i++) view.setUint32(o + 4 * i, address.words[i]!);
  return 16;
}
