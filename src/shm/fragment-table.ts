/**
 * What became of first fragments, so that later ones, which have no ports, can follow: for 5 seconds, in shared memory, since the
 * kernel may hand fragments of one datagram to several workers. Sets of 4 entries, one cache line for two of them; of a datagram only a
 * 64-bit keyed tag is kept.
 *
 * words of an entry: [tag, second tag, time, action, hops 0 and 1, hops 2 and 3, hash of the flow, bytes in the first fragment]
 *
 * Workers write without locks. The second tag is mixed with all that the entry says, so that one put together from two
 * writers' words is nobody's.
 */
import { HEADER_WORDS, type Layout, magic } from "./region.ts";

export const FRAGMENTS_LAYOUT: Layout = { magic: magic("HFrg"), version: 2 };

const ENTRY = 8;
const WAYS = 4;
const SET_WORDS = WAYS * ENTRY;
const LOG_SETS = 12;
const FIRST_SET = SET_WORDS;

const TAG2 = 1;
const TIME = 2;
const ACTION = 3;
const HOPS_A = 4;
const HOPS_B = 5;
const FLOW = 6;
const FIRST_BYTES = 7;

export const FRAGMENTS_BYTES = (FIRST_SET + 2 ** LOG_SETS * SET_WORDS) * 4;
if (HEADER_WORDS > FIRST_SET) throw new RangeError("the header must fit in front of the sets");

/** How long a first fragment is remembered, ms. */
export const REMEMBERED_MS = 5000;
/** Times are milliseconds in 30 bits, see dataplane/clock.ts. */
const TIME_MASK = 0x3fffffff;

/** What is done with the fragments of a datagram: how, up to 5 hosts, and the hash its flow's packets leave by. */
export interface FragmentDecision {
  /** Not 0; 16 bits whose meaning is the caller's. */
  action: number;
  readonly hosts: Int32Array;
  flow: number;
  /** Bytes of payload in the first fragment: what no other fragment may overlap. */
  firstBytes: number;
}
export const FRAGMENT_HOSTS = 5;
export const createDecision = (): FragmentDecision => ({
  action: 0,
  hosts: new Int32Array(FRAGMENT_HOSTS),
  flow: 0,
  firstBytes: 0,
});

/** A view over a buffer of FRAGMENTS_BYTES. */
export const viewFragments = (buffer: ArrayBufferLike): Int32Array => new Int32Array(buffer);

const setOf = (hash2: number): number => FIRST_SET + (hash2 >>> (32 - LOG_SETS)) * SET_WORDS;

/** What the second tag vouches for. */
function vouch(w: Int32Array, entry: number): number {
  let mix = 0;
  for (let i = ACTION; i < ENTRY; i++) mix = Math.imul(mix ^ w[entry + i]!, 0x9e3779b1) + i;
  return mix | 0;
}

const isFor = (w: Int32Array, entry: number, hash: number, hash2: number): boolean =>
  w[entry] === hash && w[entry + ACTION] !== 0 && (w[entry + TAG2]! ^ vouch(w, entry)) === hash2;

/** Reads what was decided for the datagram with this 64-bit hash at `now`. Returns false when nothing was. */
export function findFragment(w: Int32Array, hash: number, hash2: number, now: number, out: FragmentDecision): boolean {
  const set = setOf(hash2);
  for (let entry = set; entry < set + SET_WORDS; entry += ENTRY) {
    if (!isFor(w, entry, hash, hash2)) continue;
    if (((now - w[entry + TIME]!) & TIME_MASK) > REMEMBERED_MS) return false;
    const action = w[entry + ACTION]!;
    out.action = action & 0xffff;
    out.hosts[0] = w[entry + HOPS_A]! & 0xffff;
    out.hosts[1] = w[entry + HOPS_A]! >>> 16;
    out.hosts[2] = w[entry + HOPS_B]! & 0xffff;
    out.hosts[3] = w[entry + HOPS_B]! >>> 16;
    out.hosts[4] = action >>> 16;
    out.flow = w[entry + FLOW]!;
    out.firstBytes = w[entry + FIRST_BYTES]!;
    return true;
  }
  return false;
}

/** Remembers a decision; in a full set the oldest makes room. */
export function rememberFragment(w: Int32Array, hash: number, hash2: number, now: number, d: FragmentDecision): void {
  const entry = placeFor(w, hash, hash2, now);
  w[entry + ACTION] = 0;
  w[entry] = hash;
  w[entry + TIME] = now;
  w[entry + HOPS_A] = d.hosts[0]! | (d.hosts[1]! << 16);
  w[entry + HOPS_B] = d.hosts[2]! | (d.hosts[3]! << 16);
  w[entry + FLOW] = d.flow;
  w[entry + FIRST_BYTES] = d.firstBytes;
  w[entry + ACTION] = d.action | (d.hosts[4]! << 16);
  w[entry + TAG2] = hash2 ^ vouch(w, entry);
}

function placeFor(w: Int32Array, hash: number, hash2: number, now: number): number {
  const set = setOf(hash2);
  let oldest = set;
  let age = -1;
  for (let entry = set; entry < set + SET_WORDS; entry += ENTRY) {
    if (w[entry + ACTION] === 0 || isFor(w, entry, hash, hash2)) return entry;
    const own = (now - w[entry + TIME]!) & TIME_MASK;
    if (own > age) {
      age = own;
      oldest = entry;
    }
  }
  return oldest;
}
