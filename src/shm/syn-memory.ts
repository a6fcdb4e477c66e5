/**
 * Which flows sent a SYN here lately: two bitmaps, one filled and one fading, as a Bloom filter with two bits a flow. A kernel that
 * answers with SYN cookies has no socket for the ACK that completes the handshake, and a flow table under a flood has no entry.
 */
import { HEADER_WORDS, type Layout, magic } from "./region.ts";

export const SYNS_LAYOUT: Layout = { magic: magic("HSyn"), version: 2 };

/** Bits of one bitmap, as a power of two: a million SYNs in a window give one false answer in twenty. */
const LOG_BITS = 23;
const MAP_WORDS = 2 ** LOG_BITS / 32;
/** Seconds a bitmap is filled: a SYN is remembered for one to two windows. */
const WINDOW = 60;
const WINDOW_NUMBER = HEADER_WORDS;
const FIRST_MAP = 16;

export const SYNS_BYTES = (FIRST_MAP + 2 * MAP_WORDS) * 4;

/** A view over a buffer of SYNS_BYTES. */
export const viewSyns = (buffer: ArrayBufferLike): Int32Array => new Int32Array(buffer);

const bitOf = (hash: number): number => hash >>> (32 - LOG_BITS);

/** Clears what has faded: the map that the window at `now`, in seconds, fills, and the other one after a pause of both. */
function turn(words: Int32Array, window: number): void {
  const before = Atomics.exchange(words, WINDOW_NUMBER, window);
  if (before === window) return;
  const clear = (map: number): void => {
    words.fill(0, FIRST_MAP + map * MAP_WORDS, FIRST_MAP + (map + 1) * MAP_WORDS);
  };
  clear(window & 1);
  if (window - before !== 1) clear((window & 1) ^ 1);
}

/** Remembers a flow's SYN. */
export function rememberSyn(words: Int32Array, hash: number, hash2: number, now: number): void {
  const window = Math.trunc(now / WINDOW);
  if (Atomics.load(words, WINDOW_NUMBER) !== window) turn(words, window);
  const map = FIRST_MAP + (window & 1) * MAP_WORDS;
  set(words, map, bitOf(hash));
  set(words, map, bitOf(hash2));
}

function set(words: Int32Array, map: number, bit: number): void {
  Atomics.or(words, map + (bit >>> 5), 1 << (bit & 31));
}

/** Whether the flow's SYN came here within the last minute; false answers of "yes" are rare and harmless. */
export function synSeen(words: Int32Array, hash: number, hash2: number, now: number): boolean {
  const window = Math.trunc(now / WINDOW);
  const filled = Atomics.load(words, WINDOW_NUMBER);
  for (let w = window; w >= window - 1; w--) {
    if (w !== filled && w !== filled - 1) continue;
    const map = FIRST_MAP + (w & 1) * MAP_WORDS;
    if (has(words, map, bitOf(hash)) && has(words, map, bitOf(hash2))) return true;
  }
  return false;
}

const has = (words: Int32Array, map: number, bit: number): boolean => (words[map + (bit >>> 5)]! & (1 << (bit & 31))) !== 0;
