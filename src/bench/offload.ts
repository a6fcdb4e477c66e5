/**
 * What super-segments cost in the pipeline, without devices: a director takes frames of 64 KB with open checksums apart, for one host; a target
 * takes in what that gave, as trains of datagrams. Nanoseconds per inner packet of MTU size.
 *
 *     headers    the director's own part: headers of each packet, gather lists, checksum jobs
 *     segment    the same with the jobs done, as the sending socket does them: sums over all payload
 *     deliver    the target's part, with what it leaves to sum
 */
import type { Config } from "../control/config.ts";
import { configTables } from "../control/offline.ts";
import { type Context, createContext } from "../dataplane/context.ts";
import { createFlowMemory } from "../dataplane/flow-memory.ts";
import { HELD_BYTES } from "../dataplane/held-fragments.ts";
import { createTurn, type Turn } from "../dataplane/pipeline.ts";
import { plainQuestions } from "../dataplane/socket-questions.ts";
import { addToBurst, createBurst, memoryPeers } from "../io/memory.ts";
import { native } from "../io/native.ts";
import {
  createTxQueue,
  GSO_TCPV4,
  HEADROOM,
  LINK_GUE,
  LINK_RAW,
  type PacketSink,
  type PacketSource,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_LENGTH,
  RX_NEEDS_CSUM,
  RX_PEER,
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
import { IPV4_HEADER, writeIpv4 } from "../wire/ipv4.ts";
import { ACK, setFlags, setTcpChecksum, TCP, TCP_CHECKSUM } from "../wire/tcp.ts";
import { UDP_HEADER } from "../wire/udp.ts";
import { type Measurement, measure, type Subject } from "./measure.ts";

const FRAMES = 16;
const SLOT = HEADROOM + 65_536 + 320;
const SCRATCH = 384 * 1024;
const TCP_HEADER = 20;
/** Payload of a packet, and packets of a frame, as between hosts with an MTU of 1500. */
const SEGMENT = 1460;
const SEGMENTS = 44;
const FLOWS = 1024;
const WARM_UP = 15;
/** Times all frames are handled in a round. */
const TIMES = 20;

/** Forgets what it is given, or does the checksum jobs first. */
function endOf(stride: number, pool: Uint8Array, sums: boolean): PacketSink {
  const queue = createTxQueue(stride, 1024, 8192, 4096);
  const flush = (): number => {
    if (sums && queue.sumCount > 0) native().sumChecksums(pool, queue.sums, queue.sumCount);
    queue.count = 0;
    queue.iovCount = 0;
    queue.sumCount = 0;
    return 0;
  };
  return { queue, flush };
}

function contextOf(config: Config, host: string, pool: Uint8Array, peers: PacketSink, kernel: PacketSink): Context {
  const memory = createFlowMemory(
    viewFlows(new ArrayBuffer(flowTableBytes(FLOWS)), FLOWS),
    viewSyns(new ArrayBuffer(SYNS_BYTES)),
    viewFragments(new ArrayBuffer(FRAGMENTS_BYTES)),
    plainQuestions(() => false),
    true,
  );
  const counters = workerBlock(new ArrayBuffer(countersBytes(1)), 0);
  const tables = plainTables(configTables(config, host, 1600));
  const origin = endOf(UP_STRIDE, pool, false);
  return createContext(viewOf(pool), counters, tables, peers, kernel, origin, FRAMES * SLOT, FRAMES * SLOT + SCRATCH, memory);
}

const newPool = (): Uint8Array => new Uint8Array(FRAMES * SLOT + SCRATCH + HELD_BYTES);

/** The same burst for ever. */
const source = (burst: RxBurst, link: PacketSource["link"]): PacketSource => ({ link, burst, receive: () => burst.count });

/** Frames as AF_PACKET gives them, each of a connection of its own to the config's first service, port 80. */
function frames(config: Config, pool: Uint8Array): RxBurst {
  const b = viewOf(pool);
  const burst = createBurst(FRAMES);
  const vip = config.services[0]!.vips.find((v) => v.address.family === 4)!.address.words[3];
  for (let i = 0; i < FRAMES; i++) {
    const ip = i * SLOT + HEADROOM;
    const tcp = ip + IPV4_HEADER;
    const length = IPV4_HEADER + TCP_HEADER + SEGMENTS * SEGMENT;
    for (let k = 0; k < length; k++) b.setUint8(ip + k, (k * 31 + i) & 0xff);
    writeIpv4(b, ip, 0, length, TCP, 0x0a000000 + i, vip);
    setIpv4Checksum(b, ip, IPV4_HEADER);
    b.setUint16(tcp, 20_000 + i);
    b.setUint16(tcp + 2, 80);
    b.setUint8(tcp + 12, 5 << 4);
    setFlags(b, tcp, ACK);
    setTcpChecksum(b, tcp, pseudoSum4(b, ip, TCP, length - IPV4_HEADER) & 0xffff);
    const r = addToBurst(burst, ip, length);
    burst.records[r + RX_FLAGS] = RX_NEEDS_CSUM;
    burst.records[r + RX_CSUM_START] = IPV4_HEADER;
    burst.records[r + RX_CSUM_OFFSET] = TCP_CHECKSUM;
    burst.records[r + RX_GSO_TYPE] = GSO_TCPV4;
    burst.records[r + RX_GSO_SIZE] = SEGMENT;
  }
  return burst;
}

/** What a director sends of the frames, as trains that a GUE socket with UDP_GRO hands over: one for each frame. */
function trains(config: Config, director: string, pool: Uint8Array): RxBurst {
  const sending = newPool();
  const queue: TxQueue = createTxQueue(TX_STRIDE, 1024, 8192, 4096);
  const datagrams: Uint8Array[] = [];
  const outer = { ipv4: 0, ipv6: new Int32Array(4), guePort: config.gue.port };
  const peers = memoryPeers(sending, queue, outer, (packet) => datagrams.push(packet.subarray(IPV4_HEADER + UDP_HEADER)));
  const context = contextOf(config, director, sending, peers, endOf(UP_STRIDE, sending, false));
  createTurn(context, source(frames(config, sending), LINK_RAW), [])();
  const from = config.hosts.find(({ name }) => name === director)!.dips.find(({ family }) => family === 4)!.words[3];
  const burst = createBurst(FRAMES);
  for (let i = 0; i < FRAMES; i++) {
    const train = datagrams.slice(i * SEGMENTS, (i + 1) * SEGMENTS);
    const size = train[0]!.length;
    const at = i * SLOT + HEADROOM;
    // What would be longer than a UDP datagram the kernel hands over as two trains.
    const fitting = Math.min(SEGMENTS, Math.floor(65_507 / size));
    train.slice(0, fitting).forEach((datagram, k) => {
      pool.set(datagram, at + k * size);
    });
    const r = addToBurst(burst, at, fitting * size);
    burst.records[r + RX_GSO_SIZE] = size;
    burst.records[r + RX_PEER + 2] = 0xffff;
    burst.records[r + RX_PEER + 3] = from;
  }
  return burst;
}

function subject(turn: Turn, packets: number): Subject {
  return {
    run: () => {
      for (let n = 0; n < TIMES; n++) turn();
      return TIMES * packets;
    },
  };
}

/** Nanoseconds per inner packet of each part. The config is as for benchHotPath: the last host is the director. */
export function benchOffload(config: Config, rounds: number, onRound?: (round: number) => void): Record<string, Measurement> {
  const director = config.hosts.at(-1)!.name;
  const directing = (sums: boolean): Subject => {
    const pool = newPool();
    const context = contextOf(config, director, pool, endOf(TX_STRIDE, pool, sums), endOf(UP_STRIDE, pool, sums));
    return subject(createTurn(context, source(frames(config, pool), LINK_RAW), []), FRAMES * SEGMENTS);
  };
  const pool = newPool();
  const target = contextOf(config, config.hosts[0]!.name, pool, endOf(TX_STRIDE, pool, true), endOf(UP_STRIDE, pool, true));
  const burst = trains(config, director, pool);
  const packets = Array.from({ length: FRAMES }, (_, i) => packetsOf(burst, i * RX_STRIDE)).reduce((sum, n) => sum + n, 0);
  const delivering = subject(createTurn(target, null, [source(burst, LINK_GUE)]), packets);
  return measure({ headers: directing(false), segment: directing(true), deliver: delivering }, rounds, WARM_UP, onRound);
}

/** Datagrams of the train whose record begins at `r`. */
const packetsOf = ({ records }: RxBurst, r: number): number => Math.round(records[r + RX_LENGTH]! / records[r + RX_GSO_SIZE]!);
