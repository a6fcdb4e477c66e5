/** Workers without devices, that share what the workers of an agent share. */
import { type Context, createContext } from "../../src/dataplane/context.ts";
import { createFlowMemory } from "../../src/dataplane/flow-memory.ts";
import { HELD_BYTES } from "../../src/dataplane/held-fragments.ts";
import { createTurn, endTurns, type Turn } from "../../src/dataplane/pipeline.ts";
import { plainQuestions } from "../../src/dataplane/socket-questions.ts";
import { addToBurst, createBurst, memoryKernel, memoryPeers } from "../../src/io/memory.ts";
import {
  createTxQueue,
  HEADROOM,
  LINK_GUE,
  LINK_RAW,
  type LinkType,
  type PacketSource,
  RX_PEER,
  TX_STRIDE,
  UP_STRIDE,
} from "../../src/io/packet-io.ts";
import { plainTables } from "../../src/replay/offline-host.ts";
import { countersBytes, workerBlock } from "../../src/shm/counters.ts";
import { flowTableBytes, viewFlows } from "../../src/shm/flow-table.ts";
import { HOST_IPV4, HOST_IPV6, hostAt, type Tables, type TablesSpec } from "../../src/shm/forwarding-table.ts";
import { FRAGMENTS_BYTES, viewFragments } from "../../src/shm/fragment-table.ts";
import { SYNS_BYTES, viewSyns } from "../../src/shm/syn-memory.ts";
import { VERDICT_NAMES } from "../../src/shm/verdict.ts";
import { viewOf } from "../../src/wire/bytes.ts";

const SLOTS = 64;
const SLOT = HEADROOM + 2048;
const SCRATCH = 65_536;
const FLOWS = 4096;

/** Buffers that all workers of a host map. */
export interface SharedMemory {
  readonly flows: ArrayBufferLike;
  readonly syns: ArrayBufferLike;
  readonly fragments: ArrayBufferLike;
}

export const sharedMemory = (): SharedMemory => ({
  flows: new SharedArrayBuffer(flowTableBytes(FLOWS)),
  syns: new SharedArrayBuffer(SYNS_BYTES),
  fragments: new SharedArrayBuffer(FRAGMENTS_BYTES),
});

/** A source that has what it was given, once. */
class GivenSource implements PacketSource {
  readonly burst = createBurst(SLOTS);
  readonly link: LinkType;
  readonly #pool: Uint8Array;
  readonly #first: number;
  #given = 0;

  constructor(link: LinkType, pool: Uint8Array, first: number) {
    this.link = link;
    this.#pool = pool;
    this.#first = first;
  }

  /** Lays a packet into the next slot. Returns the offset of its record. */
  give(packet: Uint8Array): number {
    if (this.#given === 0) this.burst.count = 0;
    const at = this.#first + this.#given++ * SLOT + HEADROOM;
    this.#pool.set(packet, at);
    return addToBurst(this.burst, at, packet.length);
  }

  receive(): number {
    this.burst.count = this.#given;
    this.#given = 0;
    return this.burst.count;
  }
}

/** One worker: its turn, its pool, its counters. */
export class MemoryWorker {
  readonly #tables: Tables;
  readonly #context: Context;
  readonly #uplink: GivenSource;
  readonly #gue: GivenSource;
  readonly #turn: Turn;
  readonly #counters = workerBlock(new ArrayBuffer(countersBytes(1)), 0);
  #out: Uint8Array[] = [];

  constructor(spec: TablesSpec, shared: SharedMemory) {
    const pool = new Uint8Array(2 * SLOTS * SLOT + SCRATCH + HELD_BYTES);
    this.#tables = plainTables(spec);
    this.#uplink = new GivenSource(LINK_RAW, pool, 0);
    this.#gue = new GivenSource(LINK_GUE, pool, SLOTS * SLOT);
    const { words, self } = this.#tables;
    const at = hostAt(this.#tables, self);
    const from = {
      ipv4: words[at + HOST_IPV4]!,
      ipv6: words.subarray(at + HOST_IPV6, at + HOST_IPV6 + 4),
      guePort: spec.guePort,
    };
    const emit = (packet: Uint8Array): void => {
      this.#out.push(packet);
    };
    const kernel = () => memoryKernel(pool, createTxQueue(UP_STRIDE, SLOTS, SLOTS, 1), emit);
    const memory = createFlowMemory(
      viewFlows(shared.flows, FLOWS),
      viewSyns(shared.syns),
      viewFragments(shared.fragments),
      plainQuestions(() => false),
      true,
    );
    this.#context = createContext(
      viewOf(pool),
      this.#counters,
      this.#tables,
      memoryPeers(pool, createTxQueue(TX_STRIDE, SLOTS, SLOTS, SLOTS), from, emit),
      kernel(),
      kernel(),
      2 * SLOTS * SLOT,
      2 * SLOTS * SLOT + SCRATCH,
      memory,
    );
    this.#turn = createTurn(this.#context, this.#uplink, [this.#gue], () => Date.now());
  }

  /** Packets that it holds back. */
  get holds(): number {
    return this.#context.held.count;
  }

  /** A turn with these packets from the router, or with none. Returns what leaves. */
  turn(...packets: readonly Uint8Array[]): Uint8Array[] {
    for (const packet of packets) this.#uplink.give(packet);
    return this.#run();
  }

  /** A turn with datagrams from the peer with an IPv4 address, as a number, each from its GUE header on. */
  fromPeer(peer: number, ...datagrams: readonly Uint8Array[]): Uint8Array[] {
    for (const datagram of datagrams) {
      const r = this.#gue.give(datagram);
      this.#gue.burst.records.set([0, 0, 0xffff, peer], r + RX_PEER);
    }
    return this.#run();
  }

  /** Ends the turns. Returns what leaves. */
  stop(): Uint8Array[] {
    this.#out = [];
    endTurns(this.#context);
    return this.#out;
  }

  /** Verdicts so far, by name. */
  verdicts(): Record<string, number> {
    const seen = VERDICT_NAMES.map((name, i) => [name, this.#counters[i]!] as const).filter(([, count]) => count > 0);
    return Object.fromEntries(seen);
  }

  #run(): Uint8Array[] {
    this.#out = [];
    this.#turn();
    return this.#out;
  }
}
