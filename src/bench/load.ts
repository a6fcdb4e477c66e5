/** What the benchmark of the hot path works on: packets of many flows in a pool, and a worker's context without devices. */
import { existsSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../control/config.ts";
import { configTables } from "../control/offline.ts";
import { type Context, createContext } from "../dataplane/context.ts";
import { createFlowMemory } from "../dataplane/flow-memory.ts";
import { plainQuestions } from "../dataplane/socket-questions.ts";
import { addToBurst, createBurst } from "../io/memory.ts";
import { native } from "../io/native.ts";
import {
  createTxQueue,
  LINK_RAW,
  type LinkType,
  type PacketSink,
  type PacketSource,
  RX_OFFSET,
  RX_STRIDE,
  type RxBurst,
  TX_STRIDE,
  type TxQueue,
  UP_STRIDE,
} from "../io/packet-io.ts";
import { plainTables } from "../replay/offline-host.ts";
import { countersBytes, workerBlock } from "../shm/counters.ts";
import { flowTableBytes, viewFlows } from "../shm/flow-table.ts";
import { FRAGMENTS_BYTES, viewFragments } from "../shm/fragment-table.ts";
import { SYNS_BYTES, viewSyns } from "../shm/syn-memory.ts";
import { viewOf } from "../wire/bytes.ts";
import { pseudoSum4, setIpv4Checksum } from "../wire/checksum.ts";
import { ETHERNET_HEADER } from "../wire/ethernet.ts";
import { IPV4_HEADER, IPV4_SOURCE, writeIpv4 } from "../wire/ipv4.ts";
import { setFlags, setTcpChecksum, TCP } from "../wire/tcp.ts";

/** Bytes of a packet. */
export const PACKET = 64;
/** Distance of packets in the pool, and the headroom in front of each: headers lie in one cache line, as behind Ethernet's in a worker's slot. */
const SLOT = 128;
const HEADROOM = 64 + ETHERNET_HEADER;
const BURST = 128;
/** TMPFS_MAGIC of linux/magic.h. */
const TMPFS = 0x01021994;
/** Flows the table has room for, as an agent has by default. */
const TRACKED = 1_000_000;
/** New flows a second: a worker's limit is below what a benchmark begins. */
const ANY_RATE = 2 ** 30;

/** A sink that forgets, so that only the pipeline is measured. */
function nullSink(stride: number): PacketSink {
  const queue: TxQueue = createTxQueue(stride, 1024, 8192, 4096);
  const forget = (): number => {
    queue.count = 0;
    queue.iovCount = 0;
    queue.sumCount = 0;
    return 0;
  };
  return { queue, flush: forget };
}

/** Writes packet `i`: TCP to a VIP's port 80, from an address and port that no other packet has. */
function writePacket(b: DataView, at: number, i: number, vip: number): void {
  writeIpv4(b, at, 0, PACKET, TCP, 0x0a000000 + (i >>> 4), vip);
  const tcp = at + IPV4_HEADER;
  b.setUint16(tcp, 1024 + ((i * 7) % 60_000));
  b.setUint16(tcp + 2, 80);
  b.setUint32(tcp + 4, i * 1000);
  b.setUint32(tcp + 8, 1);
  b.setUint8(tcp + 12, 5 << 4);
  setTcpChecksum(b, tcp, pseudoSum4(b, at, TCP, PACKET - IPV4_HEADER) & 0xffff);
  setIpv4Checksum(b, at, IPV4_HEADER);
}

export interface Load {
  readonly context: Context;
  readonly bursts: readonly RxBurst[];
  readonly packets: number;
  /** Addresses that the packets come from; their next ones are as many further on. */
  readonly sources: number;
}

/** Makes every packet one of a flow that has not been before. */
export function renewFlows({ context: { bytes }, bursts, sources }: Load): void {
  for (const { records, count } of bursts) {
    for (let i = 0; i < count; i++) {
      const at = records[i * RX_STRIDE + RX_OFFSET]! + IPV4_SOURCE;
      bytes.setInt32(at, bytes.getInt32(at) + sources);
    }
  }
}

/** Gives all packets these TCP flags. */
export function setAllFlags({ context, bursts }: Load, flags: number): void {
  for (const { records, count } of bursts) {
    for (let i = 0; i < count; i++) setFlags(context.bytes, records[i * RX_STRIDE + RX_OFFSET]! + IPV4_HEADER, flags);
  }
}

/** Hands out the packets of a load for ever, in bursts that are described in one and the same array, as by a device. */
export class BurstSource implements PacketSource {
  readonly link: LinkType = LINK_RAW;
  readonly burst: RxBurst = createBurst(BURST);
  readonly #packets: number;
  #next = 0;

  constructor({ packets }: Load) {
    this.#packets = packets;
    for (let i = 0; i < BURST; i++) addToBurst(this.burst, 0, PACKET);
  }

  receive(): number {
    const { records } = this.burst;
    const first = this.#next;
    const end = Math.min(first + BURST, this.#packets);
    for (let i = first; i < end; i++) records[(i - first) * RX_STRIDE + RX_OFFSET] = i * SLOT + HEADROOM;
    this.burst.count = end - first;
    this.#next = end === this.#packets ? 0 : end;
    return end - first;
  }
}

/** Where /run is no tmpfs, as it is in many containers, /dev/shm is one. */
const memoryFolder = (): string =>
  ["/run", "/dev/shm"].find((folder) => existsSync(folder) && statfsSync(folder).type === TMPFS) ?? tmpdir();

/** Memory as an agent's flow table has it: a mapped file. */
function mapped(bytes: number): ArrayBuffer {
  const file = join(memoryFolder(), `hafl-bench-${process.pid}`);
  try {
    return native().mapFile(file, bytes, true);
  } finally {
    rmSync(file, { force: true });
  }
}

/** Packets of `flows` flows, in bursts as a worker gets them. The host is one that owns none of them. */
export function prepare(config: Config, flows: number): Load {
  const spec = configTables(config, config.hosts.at(-1)!.name);
  const tables = plainTables(spec);
  const pool = viewOf(new Uint8Array(flows * SLOT + 4096));
  const bursts: RxBurst[] = [];
  const vip = config.services[0]!.vips.find((v) => v.address.family === 4)!.address.words[3];
  for (let i = 0; i < flows; i++) {
    if (i % BURST === 0) bursts.push(createBurst(Math.min(BURST, flows - i)));
    const at = i * SLOT + HEADROOM;
    writePacket(pool, at, i, vip);
    addToBurst(bursts.at(-1)!, at, PACKET);
  }
  const memory = createFlowMemory(
    viewFlows(mapped(flowTableBytes(TRACKED)), ANY_RATE),
    viewSyns(new ArrayBuffer(SYNS_BYTES)),
    viewFragments(new ArrayBuffer(FRAGMENTS_BYTES)),
    plainQuestions(() => false),
    true,
  );
  const counters = workerBlock(new ArrayBuffer(countersBytes(1)), 0);
  const sinks = [nullSink(TX_STRIDE), nullSink(UP_STRIDE), nullSink(UP_STRIDE)] as const;
  return {
    context: createContext(pool, counters, tables, sinks[0], sinks[1], sinks[2], flows * SLOT, pool.byteLength, memory),
    bursts,
    packets: flows,
    sources: Math.ceil(flows / 16),
  };
}
