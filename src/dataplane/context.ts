/** What a worker's pipeline works on: allocated once, handed to every stage. */
import { type PacketSink, SUM_STRIDE, TX_STRIDE, UP_STRIDE } from "../io/packet-io.ts";
import type { Tables } from "../shm/forwarding-table.ts";
import { createParsed } from "./parsed.ts";

export interface Context {
  /** The pool: all packets of this worker, and the scratch space for headers. */
  readonly bytes: DataView;
  readonly parsed: Int32Array;
  /** This worker's counter block. */
  readonly counters: Float64Array;
  /** Toward peers, in GUE. */
  readonly peers: PacketSink;
  /** Toward this host's kernel. */
  readonly kernel: PacketSink;
  /** Scratch space in the pool for headers that are written anew, emptied with the queues. */
  readonly scratchStart: number;
  readonly scratchEnd: number;
  scratchNext: number;
  /** Tables of the burst in hand. */
  tables: Tables;
  /** Messages the sinks did not take since the worker last looked. */
  peersFailed: number;
  kernelFailed: number;
}

/** A context over a pool whose bytes from `scratchStart` to `scratchEnd` are free for headers. */
export function createContext(
  bytes: DataView,
  counters: Float64Array,
  tables: Tables,
  peers: PacketSink,
  kernel: PacketSink,
  scratchStart: number,
  scratchEnd: number,
): Context {
  return {
    bytes,
    parsed: createParsed(),
    counters,
    peers,
    kernel,
    scratchStart,
    scratchEnd,
    scratchNext: scratchStart,
    tables,
    peersFailed: 0,
    kernelFailed: 0,
  };
}

/** Sends all that has been queued and frees the scratch space. The packets of the burst stay where they are. */
export function flush(context: Context): void {
  if (context.peers.queue.count > 0) context.peersFailed += context.peers.flush();
  if (context.kernel.queue.count > 0) context.kernelFailed += context.kernel.flush();
  context.scratchNext = context.scratchStart;
}

/**
 * Makes room in the peers' queue, flushing if need be. Returns false when even empty queues could not take that much.
 * `scratch` is in bytes.
 */
export function roomForPeers(context: Context, messages: number, iovs: number, sums: number, scratch: number): boolean {
  if (hasRoom(context, messages, iovs, sums, scratch)) return true;
  flush(context);
  return hasRoom(context, messages, iovs, sums, scratch);
}

function hasRoom(context: Context, messages: number, iovs: number, sums: number, scratch: number): boolean {
  const { records, iovs: pairs, sums: jobs, count, iovCount, sumCount } = context.peers.queue;
  return (
    (count + messages) * TX_STRIDE <= records.length &&
    (iovCount + iovs) * 2 <= pairs.length &&
    (sumCount + sums) * SUM_STRIDE <= jobs.length &&
    context.scratchNext + scratch <= context.scratchEnd
  );
}

/** Makes room for one packet in the kernel's queue, flushing if it is full. */
export function roomForKernel(context: Context): void {
  const { records, iovs, count, iovCount } = context.kernel.queue;
  if ((count + 1) * UP_STRIDE > records.length || (iovCount + 1) * 2 > iovs.length) flush(context);
}
