/**
 * Samples of packets: a ring for each worker, written by it alone and read by whoever wants to. The oldest is overwritten. An
 * entry carries its number: zero while it is written, so that a reader who was too slow notices.
 *
 * Entry: int32 words number, verdict, rule's slot (-1: none), bytes kept, bytes there were, time (2 words), then the packet.
 */
import { HEADER_WORDS, type Layout, magic } from "./region.ts";

export const SAMPLES_LAYOUT: Layout = { magic: magic("HSmp"), version: 1 };

const ENTRIES = 512;
const ENTRY_BYTES = 2048;
const ENTRY_WORDS = ENTRY_BYTES / 4;
const NUMBER = 0;
const VERDICT = 1;
const RULE = 2;
const KEPT = 3;
const LENGTH = 4;
const SECONDS = 5;
const MICROSECONDS = 6;
const PACKET_AT = 32;
/** Bytes kept of a packet. */
export const SAMPLE_BYTES = ENTRY_BYTES - PACKET_AT;

/** Words before the entries of a ring: how many samples were ever taken. */
const RING_HEADER = 16;
const RING_WORDS = RING_HEADER + ENTRIES * ENTRY_WORDS;

export const samplesBytes = (workers: number): number => (HEADER_WORDS + workers * RING_WORDS) * 4;

export interface Sample {
  readonly verdict: number;
  /** Slot of the rule it was taken for. */
  readonly rule: number;
  /** Microseconds since the epoch. */
  readonly time: number;
  /** The packet from the IP header on, cut to SAMPLE_BYTES, and its whole length. */
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** The ring of one worker. */
export class SampleRing {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(buffer: ArrayBufferLike, worker: number) {
    const at = (HEADER_WORDS + worker * RING_WORDS) * 4;
    this.#words = new Int32Array(buffer, at, RING_WORDS);
    this.#bytes = new Uint8Array(buffer, at, RING_WORDS * 4);
  }

  /** Samples ever taken, modulo 2^32. */
  get taken(): number {
    return Atomics.load(this.#words, 0) >>> 0;
  }

  /** Number before the oldest sample that is still there. */
  get oldest(): number {
    return Math.max(0, this.taken - (ENTRIES - 1));
  }

  /** Writes the packet of `length` bytes at `start`. `time` is in milliseconds since the epoch. */
  write(b: DataView, start: number, length: number, verdict: number, rule: number, time: number): void {
    const w = this.#words;
    const next = (w[0]! + 1) | 0;
    const entry = RING_HEADER + ((next >>> 0) % ENTRIES) * ENTRY_WORDS;
    const kept = Math.min(length, SAMPLE_BYTES);
    Atomics.store(w, entry + NUMBER, 0);
    w[entry + VERDICT] = verdict;
    w[entry + RULE] = rule;
    w[entry + KEPT] = kept;
    w[entry + LENGTH] = length;
    w[entry + SECONDS] = Math.floor(time / 1000);
    w[entry + MICROSECONDS] = Math.floor((time % 1000) * 1000);
    const to = entry * 4 + PACKET_AT;
    for (let i = 0; i < kept; i++) this.#bytes[to + i] = b.getUint8(start + i);
    Atomics.store(w, entry + NUMBER, next);
    Atomics.store(w, 0, next);
  }

  /** Samples after number `after`, oldest first, as far as they are still there. */
  read(after: number): Sample[] {
    const samples: Sample[] = [];
    const last = this.taken;
    const waiting = Math.min((last - after) >>> 0, ENTRIES - 1);
    for (let back = waiting - 1; back >= 0; back--) {
      const sample = this.#entry((last - back) >>> 0);
      if (sample !== null) samples.push(sample);
    }
    return samples;
  }

  #entry(number: number): Sample | null {
    const w = this.#words;
    const entry = RING_HEADER + (number % ENTRIES) * ENTRY_WORDS;
    if (Atomics.load(w, entry + NUMBER) !== (number | 0)) return null;
    const from = entry * 4 + PACKET_AT;
    const kept = Math.min(Math.max(0, w[entry + KEPT]!), SAMPLE_BYTES);
    const sample = {
      verdict: w[entry + VERDICT]!,
      rule: w[entry + RULE]!,
      time: w[entry + SECONDS]! * 1e6 + w[entry + MICROSECONDS]!,
      bytes: this.#bytes.slice(from, from + kept),
      length: w[entry + LENGTH]!,
    };
    return Atomics.load(w, entry + NUMBER) === (number | 0) ? sample : null;
  }
}
