/**
 * A host without devices: the pipeline of a worker over plain memory, one packet at a time. Replay, fixtures and fuzzing run
 * what the wire runs.
 */
import { CLOCK_MASK } from "../dataplane/clock.ts";
import { type Context, createContext, flush } from "../dataplane/context.ts";
import { direct } from "../dataplane/director.ts";
import { DropRules } from "../dataplane/drop.ts";
import { createFlowMemory, type FlowMemory, type SocketQuestions } from "../dataplane/flow-memory.ts";
import { settleHeld } from "../dataplane/fragments.ts";
import { HELD_BYTES } from "../dataplane/held-fragments.ts";
import type { Parsed } from "../dataplane/parsed.ts";
import { plainQuestions } from "../dataplane/socket-questions.ts";
import { receiveGue } from "../dataplane/target.ts";
import { TokenBuckets } from "../dataplane/token-buckets.ts";
import { addToBurst, createBurst, memoryKernel, memoryPeers } from "../io/memory.ts";
import {
  createTxQueue,
  HEADROOM,
  LINK_RAW,
  type PacketSink,
  RX_PEER,
  RX_TRAFFIC_CLASS,
  TX_STRIDE,
  type TxQueue,
  UP_STRIDE,
} from "../io/packet-io.ts";
import { BUCKETS_BYTES } from "../shm/bucket-layout.ts";
import { countersBytes, workerBlock } from "../shm/counters.ts";
import { type FlowTable, flowTableBytes, viewFlows } from "../shm/flow-table.ts";
import {
  createTables,
  HOST_IPV4,
  HOST_IPV6,
  hostAt,
  load,
  type Tables,
  type TablesSpec,
  tablesBytes,
  writeTables,
} from "../shm/forwarding-table.ts";
import { FRAGMENTS_BYTES, viewFragments } from "../shm/fragment-table.ts";
import { type RuleSpec, ruleBlock, ruleCountersBytes } from "../shm/rules.ts";
import { SYNS_BYTES, viewSyns } from "../shm/syn-memory.ts";
import { VERDICT_NAMES, type VerdictName } from "../shm/verdict.ts";
import { viewOf } from "../wire/bytes.ts";
import { outerOf } from "./outer.ts";

export type Role = "director" | "target";

const BURST = 128;
const SLOT = HEADROOM + 65_536 + 320;
/** The longest frame: one of BIG TCP, which lies in more than one slot. */
const LONGEST_FRAME = 524_280 + 384;
const SCRATCH = 384 * 1024;
const MESSAGES = 1024;
const IOVS = 8192;
const SUMS = 4096;
/** Flows the host has room for. */
const FLOWS = 65_536;

/** A bank in plain memory. */
export function plainBank(spec: TablesSpec): ArrayBuffer {
  const buffer = new ArrayBuffer(Math.ceil(tablesBytes(spec) / 8) * 8);
  writeTables(buffer, spec);
  return buffer;
}

/** Tables in plain memory. */
export function plainTables(spec: TablesSpec): Tables {
  const tables = createTables();
  load(tables, plainBank(spec));
  return tables;
}

export interface OfflineOptions {
  /** Whether the host's kernel has a socket for the flow of a packet; by default it has none. */
  readonly hasSocket?: (p: Parsed) => boolean;
  /** The same of a kernel that is asked in batches, in place of hasSocket. */
  readonly sockets?: SocketQuestions;
  /** What the host knows already, in regions of their own; by default nothing. */
  readonly flows?: FlowTable;
  readonly syns?: Int32Array;
  readonly limits?: ArrayBuffer;
  /** Whether directors use the flow table; by default they do. */
  readonly directorFlows?: boolean;
  /** Rules that packets from the router go through first. */
  readonly drop?: readonly RuleSpec[];
}

export class OfflineHost {
  readonly tables: Tables;
  readonly context: Context;
  readonly role: Role;
  /** Counters of drop rules, by slot. */
  readonly ruleCounts = ruleBlock(new ArrayBuffer(ruleCountersBytes(1)), 0);
  /** What the host remembers; `memory.now` is its clock, in seconds. */
  readonly memory: FlowMemory;
  /** Where the packets of a burst lie: for tests that look at what is around them. */
  readonly pool: Uint8Array;
  /** Token buckets of drop rules; null: there are no rules. */
  readonly #limits: ArrayBuffer | null;
  readonly #burst = createBurst(BURST);
  readonly #counts: Float64Array;
  readonly #before = new Float64Array(VERDICT_NAMES.length);
  #out: Uint8Array[] = [];

  /** Takes tables as they are, or makes them. */
  constructor(tables: TablesSpec | Tables, role: Role, options: OfflineOptions = {}) {
    this.role = role;
    this.memory = createFlowMemory(
      options.flows ?? viewFlows(new ArrayBuffer(flowTableBytes(FLOWS)), FLOWS),
      options.syns ?? viewSyns(new ArrayBuffer(SYNS_BYTES)),
      viewFragments(new ArrayBuffer(FRAGMENTS_BYTES)),
      options.sockets ?? plainQuestions(options.hasSocket ?? (() => false)),
      options.directorFlows ?? true,
    );
    this.tables = "words" in tables ? tables : plainTables(tables);
    this.pool = new Uint8Array(BURST * SLOT + SCRATCH + HELD_BYTES);
    this.#counts = workerBlock(new ArrayBuffer(countersBytes(1)), 0);
    const emit = (packet: Uint8Array): void => {
      this.#out.push(packet);
    };
    const { words, guePort, key0, key1 } = this.tables;
    const self = hostAt(this.tables, this.tables.self);
    const from = {
      ipv4: words[self + HOST_IPV4]!,
      ipv6: words.subarray(self + HOST_IPV6, self + HOST_IPV6 + 4),
      guePort,
    };
    const peers = memoryPeers(this.pool, createTxQueue(TX_STRIDE, MESSAGES, IOVS, SUMS), from, emit);
    const kernel = memoryKernel(this.pool, createTxQueue(UP_STRIDE, MESSAGES, MESSAGES, 1), emit);
    this.context = createContext(
      viewOf(this.pool),
      this.#counts,
      this.tables,
      peers,
      kernel,
      memoryKernel(this.pool, createTxQueue(UP_STRIDE, MESSAGES, MESSAGES, 1), emit),
      BURST * SLOT,
      BURST * SLOT + SCRATCH,
      this.memory,
    );
    const rules = options.drop ?? [];
    this.#limits = rules.length === 0 ? null : (options.limits ?? new ArrayBuffer(BUCKETS_BYTES));
    if (this.#limits !== null) {
      const buckets = new TokenBuckets(this.#limits, key0, key1);
      this.context.drop = new DropRules(rules, this.ruleCounts, null, buckets);
    }
  }

  /** Sets the host's clock, in milliseconds since the epoch. */
  set now(milliseconds: number) {
    this.memory.now = Math.trunc(milliseconds / 1000);
    this.context.clock = Math.trunc(milliseconds % (CLOCK_MASK + 1));
    if (this.context.drop !== null) this.context.drop.now[0] = milliseconds;
  }

  /**
   * Takes one packet, IP header first, through the pipeline. `offloads` sets words of the receive record (RX_*). Returns the
   * packets that leave, outer headers and all, in order.
   */
  take(packet: Uint8Array, offloads: Readonly<Record<number, number>> = {}): Uint8Array[] {
    this.#out = [];
    this.#before.set(this.#counts.subarray(0, VERDICT_NAMES.length));
    this.#burst.count = 0;
    if (!this.#load(packet, 0, LONGEST_FRAME)) {
      const verdict = VERDICT_NAMES.indexOf(this.role === "target" ? "not_ours" : "malformed");
      this.#counts[verdict] = this.#counts[verdict]! + 1;
      return this.#out;
    }
    for (const [word, value] of Object.entries(offloads)) this.#burst.records[Number(word)] = value;
    this.#stage(this.context);
    settleHeld(this.context);
    flush(this.context);
    return this.#out;
  }

  /** Verdict of the packet that take() took last. */
  lastVerdict(): VerdictName {
    return VERDICT_NAMES.find((_, i) => this.#counts[i] !== this.#before[i]) ?? "none";
  }

  /** Gives up waiting: fragments that are still held become orphans. */
  finish(): void {
    settleHeld(this.context, 0);
  }

  /** Verdicts so far, those that occurred only. */
  verdicts(): Record<string, number> {
    const seen = VERDICT_NAMES.map((name, i) => [name, this.#counts[i]!] as const).filter(([, count]) => count > 0);
    return Object.fromEntries(seen);
  }

  /**
   * Nanoseconds per packet for these packets in bursts, through drop rules, parse, steering and headers, without sending: the median
   * of several rounds over all of them. `times`: when each came, ms; limits of drop rules let the same pass in each round.
   * Counters run on; call it last.
   */
  measure(packets: readonly Uint8Array[], milliseconds: number, times: readonly number[] = []): number {
    const silent = silentContext(this.context);
    const { drop } = silent;
    const rounds: number[] = [];
    const until = performance.now() + milliseconds;
    do {
      let time = 0;
      let count = 0;
      if (this.#limits !== null) new Uint8Array(this.#limits).fill(0);
      for (let first = 0; first < packets.length; first += BURST) {
        this.#burst.count = 0;
        for (let i = first; i < Math.min(packets.length, first + BURST); i++) this.#load(packets[i]!, this.#burst.count);
        if (drop !== null) drop.now[0] = times[first] ?? drop.now[0]!;
        // Drop rules leave in the burst what they let pass alone: they cost time for each packet.
        const loaded = this.#burst.count;
        if (loaded === 0) continue;
        const start = performance.now();
        this.#stage(silent);
        time += performance.now() - start;
        count += loaded;
        flush(silent);
      }
      if (count === 0) return 0;
      rounds.push((time * 1e6) / count);
    } while (performance.now() < until);
    return rounds.sort((a, b) => a - b)[rounds.length >>> 1]!;
  }

  #stage(context: Context): void {
    if (this.role === "target") receiveGue(context, this.#burst);
    else if (context.drop === null) direct(context, this.#burst, LINK_RAW);
    else context.drop.direct(context, this.#burst, LINK_RAW);
  }

  /** Lays a packet of up to `most` bytes into slot `slot` of the burst. Returns false when a host in this role would not get to see it. */
  #load(packet: Uint8Array, slot: number, most = SLOT - HEADROOM): boolean {
    if (packet.length > most) return false;
    const at = slot * SLOT + HEADROOM;
    if (this.role === "director") {
      this.pool.set(packet, at);
      addToBurst(this.#burst, at, packet.length);
      return true;
    }
    const outer = outerOf(packet, this.tables);
    if (outer === null) return false;
    this.pool.set(packet.subarray(outer.gue, outer.end), at);
    const r = addToBurst(this.#burst, at, outer.end - outer.gue);
    this.#burst.records[r + RX_TRAFFIC_CLASS] = outer.trafficClass;
    this.#burst.records.set(outer.source, r + RX_PEER);
    return true;
  }
}

/** The same context with sinks that forget. */
function silentContext(c: Context): Context {
  const silent = (queue: TxQueue): PacketSink => ({
    queue,
    flush: () => {
      queue.count = 0;
      queue.iovCount = 0;
      queue.sumCount = 0;
      return 0;
    },
  });
  const [peers, kernel, origin] = [silent(c.toPeers), silent(c.toKernel), silent(c.origin.sink.queue)];
  const context = createContext(c.bytes, c.counters, c.tables, peers, kernel, origin, c.scratchStart, c.scratchEnd, c.memory);
  context.drop = c.drop;
  return context;
}
