/**
 * Token buckets by source prefix, bounded: a table of sets, in which a newcomer takes the place that was used least recently.
 * All workers of a host share one table, so that a source has its limit however its flows are spread. They do not lock: two
 * that meet in a bucket may let one packet more through, nothing worse.
 */
import { BUCKET_SETS, BUCKET_WAYS, bucketKeys, bucketStates, KEY_WORDS, STATE_WORDS } from "../shm/bucket-layout.ts";
import { type FlowHash, hashLong } from "../steering/flow-hash.ts";

const SEEN = 0;
const PACKETS = 1;
const BITS = 2;
/** A limit in bits is never below one packet of the largest size. */
const LEAST_BITS = 65_535 * 8;

export class TokenBuckets {
  readonly #states: Float64Array;
  readonly #keys: Int32Array;
  readonly #hash: FlowHash = { hash: 0, hash2: 0 };
  readonly #first = new Int32Array(1);
  readonly #key0: number;
  readonly #key1: number;
  /** What to look for, to be filled in before take(): rule and family, then the source's words under the prefix. */
  readonly key = new Int32Array(KEY_WORDS);

  /** Over a region of BUCKETS_BYTES. The words are the hash's key, so that nobody can aim at a set. */
  constructor(buffer: ArrayBufferLike, key0: number, key1: number) {
    this.#states = bucketStates(buffer);
    this.#keys = bucketKeys(buffer);
    this.#key0 = key0;
    this.#key1 = key1;
  }

  /**
   * Whether `packets` of `bits` in all may pass at `now` (ms) under limits of so many per second (infinite: none); if so they
   * are taken from the bucket. A bucket holds what comes in a second and begins full.
   */
  take(now: number, packets: number, bits: number, pps: number, bps: number): boolean {
    const at = this.#find(now, pps, bps) * STATE_WORDS;
    const s = this.#states;
    const seconds = Math.max(0, now - s[at + SEEN]!) / 1000;
    const mostBits = Math.max(bps, LEAST_BITS);
    // What is not limited stays out of the sums: infinite less infinite is no number.
    const hasPackets = pps === Number.POSITIVE_INFINITY ? packets : Math.min(pps, s[at + PACKETS]! + seconds * pps);
    const hasBits = bps === Number.POSITIVE_INFINITY ? bits : Math.min(mostBits, s[at + BITS]! + seconds * bps);
    // A super-segment of more than a second's worth passes when the bucket is full, and leaves a debt.
    const passes = hasPackets >= Math.min(packets, pps) && hasBits >= Math.min(bits, mostBits);
    s[at + SEEN] = now;
    s[at + PACKETS] = passes ? hasPackets - packets : hasPackets;
    s[at + BITS] = passes ? hasBits - bits : hasBits;
    return passes;
  }

  /** The bucket of the key; a full one in place of the oldest of its set when there is none. */
  #find(now: number, pps: number, bps: number): number {
    const { key } = this;
    this.#first[0] = key[1]!;
    hashLong(this.#first, key[2]!, key[3]!, key[4]!, key[0]!, this.#key0, this.#key1, this.#hash);
    const first = (this.#hash.hash & (BUCKET_SETS - 1)) * BUCKET_WAYS;
    let oldest = first;
    for (let bucket = first; bucket < first + BUCKET_WAYS; bucket++) {
      if (this.#belongs(bucket)) return bucket;
      if (this.#states[bucket * STATE_WORDS + SEEN]! < this.#states[oldest * STATE_WORDS + SEEN]!) oldest = bucket;
    }
    for (let i = 0; i < KEY_WORDS; i++) this.#keys[oldest * KEY_WORDS + i] = key[i]!;
    const at = oldest * STATE_WORDS;
    this.#states[at + SEEN] = now;
    this.#states[at + PACKETS] = pps === Number.POSITIVE_INFINITY ? 0 : pps;
    this.#states[at + BITS] = bps === Number.POSITIVE_INFINITY ? 0 : Math.max(bps, LEAST_BITS);
    return oldest;
  }

  #belongs(bucket: number): boolean {
    const at = bucket * KEY_WORDS;
    for (let i = 0; i < KEY_WORDS; i++) if (this.#keys[at + i] !== this.key[i]) return false;
    return true;
  }
}
