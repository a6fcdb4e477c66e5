/** What a packet costs in the pipeline: 64-byte TCP packets of many flows, through each stage alone and through all. */
import type { Config } from "../control/config.ts";
import { configTables } from "../control/offline.ts";
import { type Context, createContext, flush } from "../dataplane/context.ts";
import { sendToPeer } from "../dataplane/encap.ts";
import { bucketFor, destinationVip, hashFlow, serviceOf } from "../dataplane/flow.ts";
import { createFlowMemory } from "../dataplane/flow-memory.ts";
import { parseNetwork, parseTransport } from "../dataplane/parse.ts";
import { createTurn } from "../dataplane/pipeline.ts";
import { plainQuestions } from "../dataplane/socket-questions.ts";
import { addToBurst, createBurst } from "../io/memory.ts";
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
import { hopOf, type Tables } from "../shm/forwarding-table.ts";
import { FRAGMENTS_BYTES, viewFragments } from "../shm/fragment-table.ts";
import { SYNS_BYTES, viewSyns } from "../shm/syn-memory.ts";
import { viewOf } from "../wire/bytes.ts";
import { pseudoSum4, setIpv4Checksum } from "../wire/checksum.ts";
import { writeIpv4 } from "../wire/ipv4.ts";
import { ACK, setTcpChecksum, TCP } from "../wire/tcp.ts";
import { type Measurement, measure } from "./measure.ts";

const PACKET = 64;
/** Distance of packets in the pool; the lower part is headroom. */
const SLOT = 192;
const HEADROOM = 96;
const BURST = 128;
/** Flows the table has room for, as an agent has by default. */
const TRACKED = 1_000_000;

/** A sink that forgets, so that only the pipeline is measured. */
export function nullSink(stride: number): PacketSink {
  const queue: TxQueue = createTxQueue(stride, 1024, 8192, 4096);
  const forget = (): number => {
    queue.count = 0;
    queue.iovCount = 0;
    queue.sumCount = 0;
    return 0;
  };
  return { queue, flush: forget };
}

/** Writes an established flow's TCP packet number `i` to a VIP: distinct source address and port for each. */
function writePacket(b: DataView, at: number, i: number, vip: number): void {
  writeIpv4(b, at, 0, PACKET, TCP, 0xc6336400 + (i & 0xff), vip);
  const tcp = at + 20;
  b.setUint16(tcp, 1024 + ((i * 7) % 60_000));
  b.setUint16(tcp + 2, 80);
  b.setUint32(tcp + 4, i * 1000);
  b.setUint32(tcp + 8, 1);
  b.setUint8(tcp + 12, 5 << 4);
  b.setUint8(tcp + 13, ACK);
  setTcpChecksum(b, tcp, pseudoSum4(b, at, TCP, PACKET - 20) & 0xffff);
  setIpv4Checksum(b, at, 20);
}

interface Load {
  readonly context: Context;
  readonly bursts: readonly RxBurst[];
  readonly packets: number;
}

/** Hands out the same bursts for ever. */
class BurstSource implements PacketSource {
  readonly link: LinkType = LINK_RAW;
  readonly #bursts: readonly RxBurst[];
  #next = 0;
  burst: RxBurst;

  constructor(bursts: readonly RxBurst[]) {
    this.#bursts = bursts;
    this.burst = bursts[0]!;
  }

  receive(): number {
    this.burst = this.#bursts[this.#next]!;
    this.#next = this.#next + 1 === this.#bursts.length ? 0 : this.#next + 1;
    return this.burst.count;
  }
}

/** Packets of `flows` flows, in bursts as a worker gets them. The host is one that owns none of them. */
function prepare(config: Config, flows: number): Load {
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
    viewFlows(new ArrayBuffer(flowTableBytes(TRACKED)), TRACKED),
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
  };
}

type Step = (context: Context, tables: Tables, ip: number) => number;

const parse: Step = ({ bytes, parsed }, _tables, ip) => parseNetwork(bytes, ip, PACKET, parsed) + parseTransport(bytes, parsed);

const service: Step = (context, tables, ip) => {
  parse(context, tables, ip);
  const found = serviceOf(tables, destinationVip(tables, context.parsed), context.parsed);
  hashFlow(tables, context.parsed);
  return found;
};

const lookUp: Step = (context, tables, ip) => {
  const found = service(context, tables, ip);
  return hopOf(tables, found, bucketFor(tables, found, context.parsed), 0);
};

const encapsulate: Step = (context, tables, ip) => {
  const host = lookUp(context, tables, ip);
  context.parsed.sumField = -1;
  context.parsed.packets = 1;
  return sendToPeer(context, host);
};

/** Kept, so that no stage is optimised away. */
let sink = 0;

function stage(load: Load, step: Step): () => number {
  const { context, bursts } = load;
  return () => {
    for (const burst of bursts) {
      for (let i = 0; i < burst.count; i++) sink += step(context, context.tables, burst.records[i * RX_STRIDE + RX_OFFSET]!);
      flush(context);
    }
    return load.packets;
  };
}

function repeated(times: number, subject: () => number): () => number {
  return () => {
    let units = 0;
    for (let i = 0; i < times; i++) units += subject();
    return units;
  };
}

/**
 * Nanoseconds per packet, each stage with all stages before it, and `whole` for the worker's own loop with counters. The
 * config's first service must have TCP port 80 on an IPv4 VIP, and the last host must not be in its pool.
 */
export function benchHotPath(
  config: Config,
  flows: number,
  rounds: number,
  onRound?: (round: number) => void,
  only?: readonly string[],
): Record<string, Measurement> {
  const load = prepare(config, flows);
  const turn = createTurn(load.context, new BurstSource(load.bursts), []);
  const { tables } = load.context;
  const whole = (): number => {
    let packets = 0;
    while (packets < load.packets) packets += turn(tables);
    return packets;
  };
  const times = Math.max(1, Math.round(200_000 / flows));
  const stages = { parse, service, lookUp, encapsulate };
  const subjects = Object.fromEntries(Object.entries(stages).map(([name, step]) => [name, repeated(times, stage(load, step))]));
  const all = { ...subjects, whole: repeated(times, whole) };
  const result = measure(
    only ? (Object.fromEntries(Object.entries(all).filter(([n]) => only.includes(n))) as typeof all) : all,
    rounds,
    5,
    onRound,
  );
  if (Number.isNaN(sink)) throw new Error("no result");
  return result;
}
