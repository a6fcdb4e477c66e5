/** What a worker's pipeline works on: allocated once, handed to every stage. */
import { type PacketSink, SUM_STRIDE, TX_STRIDE, type TxQueue, UP_STRIDE } from "../io/packet-io.ts";
import { counterAt } from "../shm/counters.ts";
import type { Tables } from "../shm/forwarding-table.ts";
import { type Chain, createChain } from "./chain.ts";
import type { Coalescer } from "./coalesce.ts";
import type { DropRules } from "./drop.ts";
import type { FlowMemory } from "./flow-memory.ts";
import { createHeld, type HeldFragments } from "./held-fragments.ts";
import { createOrigin, type Origin } from "./origin.ts";
import { createParsed, type Parsed } from "./parsed.ts";

const GUE_SENDS = counterAt("gueSends");
const KERNEL_WRITES = counterAt("kernelWrites");

/** Packets that can wait at a time, and words that each may need. */
export const WAITING = 128;
export const WAITING_WORDS = 3;

export interface Context {
  /** The pool: all packets of this worker, and the scratch space for headers. */
  readonly bytes: DataView;
  /** The packet in hand. */
  parsed: Parsed;
  /** This worker's counter block. */
  readonly counters: Float64Array;
  /** Toward peers, in GUE. */
  readonly peers: PacketSink;
  /** Toward this host's kernel. */
  readonly kernel: PacketSink;
  /** Toward sources: messages of our own. */
  readonly origin: Origin;
  /** Time of the turn in hand: as in clock.ts. */
  clock: number;
  /** The sinks' queues once more: sinks differ in shape, queues do not. */
  readonly toPeers: TxQueue;
  readonly toKernel: TxQueue;
  /** What the queue to peers holds at most. */
  readonly mostMessages: number;
  readonly mostIovs: number;
  readonly mostSums: number;
  /** Scratch space in the pool for headers that are written anew, emptied with the queues. */
  readonly scratchStart: number;
  readonly scratchEnd: number;
  scratchNext: number;
  /** Tables of the burst in hand: always the same object. */
  readonly tables: Tables;
  readonly memory: FlowMemory;
  /** Rules that packets from the uplink go through first; null: none. */
  drop: DropRules | null;
  /** What comes in GUE is put together for the kernel; null: each packet goes alone. */
  coalescer: Coalescer | null;
  /** Hosts that the packet in hand is sent along. */
  readonly chain: Chain;
  /** Packets of the burst that wait for the kernel to say whether there is a socket for them: where they lie. */
  readonly waiting: Int32Array;
  waitingCount: number;
  /** Fragments that wait for the first of their datagram. */
  readonly held: HeldFragments;
  /** Messages the sinks did not take since the worker last looked. */
  peersFailed: number;
  kernelFailed: number;
  originFailed: number;
}

/** A context over a pool whose bytes from `scratchStart` to `scratchEnd` are free for headers; what is behind holds fragments. */
export function createContext(
  bytes: DataView,
  counters: Float64Array,
  tables: Tables,
  peers: PacketSink,
  kernel: PacketSink,
  origin: PacketSink,
  scratchStart: number,
  scratchEnd: number,
  memory: FlowMemory,
): Context {
  return {
    bytes,
    parsed: createParsed(),
    counters,
    peers,
    kernel,
    origin: createOrigin(origin),
    clock: 0,
    toPeers: peers.queue,
    toKernel: kernel.queue,
    mostMessages: Math.floor(peers.queue.records.length / TX_STRIDE),
    mostIovs: peers.queue.iovs.length / 2,
    mostSums: Math.floor(peers.queue.sums.length / SUM_STRIDE),
    scratchStart,
    scratchEnd,
    scratchNext: scratchStart,
    tables,
    memory,
    drop: null,
    coalescer: null,
    chain: createChain(),
    waiting: new Int32Array(WAITING * WAITING_WORDS),
    waitingCount: 0,
    held: createHeld(scratchEnd, bytes.byteLength),
    peersFailed: 0,
    kernelFailed: 0,
    originFailed: 0,
  };
}

/** Sends all that has been queued and frees the scratch space. The packets of the burst stay where they are. */
export function flush(context: Context): void {
  const { counters, toPeers, toKernel } = context;
  if (toPeers.count > 0) {
    context.peersFailed += context.peers.flush();
    counters[GUE_SENDS]! += toPeers.sends;
    toPeers.sends = 0;
  }
  if (toKernel.count > 0) {
    counters[KERNEL_WRITES]! += toKernel.count;
    context.kernelFailed += context.kernel.flush();
  }
  if (context.origin.sink.queue.count > 0) context.originFailed += context.origin.sink.flush();
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
  const queue = context.toPeers;
  return (
    queue.count + messages <= context.mostMessages &&
    queue.iovCount + iovs <= context.mostIovs &&
    queue.sumCount + sums <= context.mostSums &&
    context.scratchNext + scratch <= context.scratchEnd
  );
}

/** The same for one packet that lies in one piece. */
export function roomForOne(context: Context): boolean {
  const queue = context.toPeers;
  const room = queue.count < context.mostMessages && queue.iovCount < context.mostIovs && queue.sumCount < context.mostSums;
  return room || roomForPeers(context, 1, 1, 1, 0);
}

/** Makes room for a message of `pairs` gather pairs in the kernel's queue, flushing if need be. */
export function roomForKernel(context: Context, pairs: number): void {
  const { records, iovs, count, iovCount } = context.toKernel;
  if ((count + 1) * UP_STRIDE > records.length || (iovCount + pairs) * 2 > iovs.length) flush(context);
}
