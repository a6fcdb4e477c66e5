/**
 * Counters: one block of float64 per worker, written by that worker alone with plain adds, summed by whoever reads. A float64
 * is exact up to 2^53 and its stores are never torn on 64-bit machines.
 */
import { HEADER_WORDS, type Layout, magic } from "./region.ts";
import { VERDICT_NAMES } from "./verdict.ts";

export const COUNTERS_LAYOUT: Layout = { magic: magic("HCnt"), version: 3 };

export const MAX_HOSTS = 4096;
export const MAX_SERVICES = 1024;

const VERDICTS = 64;

/** Counters of a worker that are not verdicts, in order behind the verdicts. */
export const WORKER_COUNTERS = [
  "uplinkFrames", // frames as received, before super-segments are taken apart
  "uplinkPackets", // packets in them
  "uplinkBytes",
  "gueMessages", // reads from the GUE sockets
  "guePackets",
  "gueBytes",
  "uplinkBursts",
  "gueBursts",
  "gueSends", // messages to peers; each a packet or a train of them
  "kernelWrites", // writes to the TUN
  "gueSendFailed", // messages the kernel did not take
  "kernelWriteFailed",
  "kernelDrops", // frames the kernel lost before we read them
  "waits", // times the worker had nothing to do
  "truncated", // frames longer than a slot
  "icmpSendFailed",
  "icmpSent", // messages to sources whose packets do not fit
  "secondHops", // packets in GUE sent on to the second host of their chain
  "thirdHops", // to the third
  "furtherHops", // to the fourth, or back to the first
] as const;
export type WorkerCounter = (typeof WORKER_COUNTERS)[number];

/** Of how long bursts took: bounds are powers of two of a microsecond, the first is 4. */
const FIRST_BOUND_BITS = 2;
const BOUNDS = 16;

const WORKER_AT = VERDICTS;
/** Bursts below each bound, those above all, and microseconds in all. */
const BURSTS_AT = WORKER_AT + 32;
const BURST_SUM_AT = BURSTS_AT + BOUNDS + 1;
const HOSTS_AT = BURSTS_AT + 24;
const HOST_COUNTERS = ["sentPackets", "sentBytes", "receivedPackets", "receivedBytes"] as const;
const HOST_STRIDE = HOST_COUNTERS.length;
const SERVICES_AT = HOSTS_AT + MAX_HOSTS * HOST_STRIDE;
const SERVICE_COUNTERS = ["packets", "bytes"] as const;
const SERVICE_STRIDE = SERVICE_COUNTERS.length;
const BLOCK = SERVICES_AT + MAX_SERVICES * SERVICE_STRIDE;
const FIRST_BLOCK = (HEADER_WORDS * 4) / 8;

/** Bytes of the counters of so many workers. */
export const countersBytes = (workers: number): number => (FIRST_BLOCK + workers * BLOCK) * 8;

/** The block of one worker. */
export const workerBlock = (buffer: ArrayBufferLike, worker: number): Float64Array =>
  new Float64Array(buffer, (FIRST_BLOCK + worker * BLOCK) * 8, BLOCK);

const workersIn = (buffer: ArrayBufferLike): number => Math.floor((buffer.byteLength / 8 - FIRST_BLOCK) / BLOCK);

/** Adds packets to a verdict's counter. */
export function countVerdict(block: Float64Array, verdict: number, packets: number): void {
  block[verdict] = block[verdict]! + packets;
}

/** Position of a worker counter in its block. */
export const counterAt = (name: WorkerCounter): number => WORKER_AT + WORKER_COUNTERS.indexOf(name);

const TURNS = (["uplinkBursts", "gueBursts", "waits"] as const).map(counterAt);

/** How often a worker has taken a burst or found that there was none: it grows once a second at least while the worker runs. */
export const turnsOf = (block: Float64Array): number => TURNS.reduce((sum, at) => sum + block[at]!, 0);

/** Counts packets and bytes sent to a host. */
export function countSent(block: Float64Array, host: number, packets: number, bytes: number): void {
  const at = HOSTS_AT + host * HOST_STRIDE;
  block[at] = block[at]! + packets;
  block[at + 1] = block[at + 1]! + bytes;
}

/** Counts packets and bytes received in GUE from a host. */
export function countReceived(block: Float64Array, host: number, packets: number, bytes: number): void {
  const at = HOSTS_AT + host * HOST_STRIDE + 2;
  block[at] = block[at]! + packets;
  block[at + 1] = block[at + 1]! + bytes;
}

/** Counts packets and bytes steered for a service. */
export function countService(block: Float64Array, service: number, packets: number, bytes: number): void {
  const at = SERVICES_AT + service * SERVICE_STRIDE;
  block[at] = block[at]! + packets;
  block[at + 1] = block[at + 1]! + bytes;
}

/** Counts a burst that took so long, microseconds. */
export function countBurst(block: Float64Array, microseconds: number): void {
  const bits = 32 - Math.clz32(microseconds);
  const at = BURSTS_AT + Math.min(Math.max(bits - FIRST_BOUND_BITS, 0), BOUNDS);
  block[at] = block[at]! + 1;
  block[BURST_SUM_AT] = block[BURST_SUM_AT]! + microseconds;
}

/** Upper bounds of how long bursts took, seconds. */
export const BURST_BOUNDS: readonly number[] = Array.from({ length: BOUNDS }, (_, i) => 2 ** (i + FIRST_BOUND_BITS) / 1e6);

/** How long the bursts of a worker took. */
export interface BurstTimes {
  /** Bursts that took less than each bound and not less than the one before; the last: those above all. */
  readonly counts: readonly number[];
  /** Seconds in all. */
  readonly sum: number;
}

/** How long bursts took, by worker. */
export const readBurstTimes = (buffer: ArrayBufferLike): BurstTimes[] =>
  Array.from({ length: workersIn(buffer) }, (_, i) => {
    const block = workerBlock(buffer, i);
    return { counts: [...block.subarray(BURSTS_AT, BURST_SUM_AT)], sum: block[BURST_SUM_AT]! / 1e6 };
  });

type Named<K extends string> = Record<K, number>;
export interface CounterSnapshot {
  /** All verdicts of all workers, zeros included. */
  readonly verdicts: Record<string, number>;
  readonly perHost: Record<string, Named<(typeof HOST_COUNTERS)[number]>>;
  readonly perService: Record<string, Named<(typeof SERVICE_COUNTERS)[number]>>;
  readonly workers: readonly Named<WorkerCounter>[];
}

/** Sums the counters of all workers. Names by id come from the forwarding tables. */
export function readCounters(
  buffer: ArrayBufferLike,
  hosts: ReadonlyMap<number, string>,
  services: ReadonlyMap<number, string>,
): CounterSnapshot {
  const blocks = Array.from({ length: workersIn(buffer) }, (_, i) => workerBlock(buffer, i));
  const sum = (at: number): number => blocks.reduce((total, block) => total + block[at]!, 0);
  const named = <K extends string>(names: readonly K[], at: number): Named<K> =>
    Object.fromEntries(names.map((name, i) => [name, sum(at + i)])) as Named<K>;
  return {
    verdicts: Object.fromEntries(VERDICT_NAMES.slice(1).map((name, i) => [name, sum(i + 1)])),
    perHost: Object.fromEntries([...hosts].map(([id, name]) => [name, named(HOST_COUNTERS, HOSTS_AT + id * HOST_STRIDE)])),
    perService: Object.fromEntries(
      [...services].map(([id, name]) => [name, named(SERVICE_COUNTERS, SERVICES_AT + id * SERVICE_STRIDE)]),
    ),
    workers: blocks.map(
      (block) => Object.fromEntries(WORKER_COUNTERS.map((name, i) => [name, block[WORKER_AT + i]!])) as Named<WorkerCounter>,
    ),
  };
}
