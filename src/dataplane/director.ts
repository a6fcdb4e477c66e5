/** The role of a host for packets from the router: find the service and the owner, send the packet there. */
import {
  LINK_ETHERNET,
  type LinkType,
  RX_FLAGS,
  RX_GSO_TYPE,
  RX_LENGTH,
  RX_OFFSET,
  RX_STRIDE,
  RX_TRUNCATED,
  type RxBurst,
} from "../io/packet-io.ts";
import { counterAt, countService, countVerdict } from "../shm/counters.ts";
import { fetchLines, firstLine } from "../shm/flow-table.ts";
import { UDP_STATELESS, udpMode } from "../shm/forwarding-table.ts";
import { FORWARDED, MALFORMED, NO_HOST_LEFT, NOT_OURS, OK, PENDING } from "../shm/verdict.ts";
import { NO_HOST } from "../steering/maglev.ts";
import { ipInEthernet } from "../wire/ethernet.ts";
import { TCP } from "../wire/tcp.ts";
import { UDP } from "../wire/udp.ts";
import { judgeLong, LONGEST, parseLong } from "./big-tcp.ts";
import { dropFirst, setChain, setKnownChain } from "./chain.ts";
import { type Context, WAITING } from "./context.ts";
import { deliver } from "./deliver.ts";
import { sendAlong } from "./encap.ts";
import { forwardPlain } from "./fast-path.ts";
import { bucketFor, destinationVip, hashFlow, serviceOf } from "./flow.ts";
import { SOCKET_UNKNOWN, socketAnswer } from "./flow-memory.ts";
import { AS_DIRECTOR, judgeFragment, noteFirst } from "./fragments.ts";
import { readOffloads } from "./offloads.ts";
import { ASKED, isSyn, MINE, noteFlow, ownership } from "./ownership.ts";
import { parseNetwork, parseTransport } from "./parse.ts";
import {
  createParsed,
  createRing,
  FRAGMENT_FIRST,
  FRAGMENT_NONE,
  type Parsed,
  PLAIN,
  payloadAt,
  setSingle,
  wireBytes,
} from "./parsed.ts";
import { anyByFlow, sameQuicHost, setQuicChain } from "./quic.ts";
import { directSlice } from "./slice.ts";

const FRAMES = counterAt("uplinkFrames");
const PACKETS = counterAt("uplinkPackets");
const BYTES = counterAt("uplinkBytes");
const TRUNCATED = counterAt("truncated");

/**
 * Frames are read some at a time before the first of them is steered: then the lines of the flow table that they need are
 * fetched all at once. One after the other, most of a packet's time would be waiting for memory.
 */
const READ_AHEAD = 32;
const ahead = createRing(READ_AHEAD);
/** The line of each that its flow is looked for in first. */
const lines = new Int32Array(READ_AHEAD);
/** For a frame that is looked at again. */
const again = createParsed();

/** Steers a burst from the uplink. */
export function direct(context: Context, burst: RxBurst, link: LinkType): void {
  const { counters } = context;
  const { directs, flows } = context.memory;
  const records = burst.records;
  let packets = 0;
  let plain = 0;
  let bytes = 0;
  // Packets of one service mostly come one behind the other: they are counted together.
  let service = 0;
  let ofService = 0;
  let serviceBytes = 0;
  for (let first = 0; first < burst.count; first += READ_AHEAD) {
    const from = first * RX_STRIDE;
    const end = Math.min(first + READ_AHEAD, burst.count) * RX_STRIDE;
    let p = ahead;
    let read = 0;
    let all = PLAIN;
    for (let r = from; r < end; r += RX_STRIDE) {
      readFrame(context, records, r, link, p);
      bytes += records[r + RX_LENGTH]!;
      all &= p.verdict;
      // That of a packet without a flow is some line.
      lines[read++] = firstLine(flows, p.hash, p.hash2);
      p = p.next;
    }
    if (directs) fetchLines(flows, lines, read, all === PLAIN);
    read = 0;
    p = ahead;
    for (let r = from; r < end; r += RX_STRIDE) {
      const line = lines[read++]!;
      const found = p.verdict === PLAIN ? forwardPlain(context, p, line) : -1;
      if (found < 0) {
        packets += steerFrame(context, records, r, p);
      } else {
        if (found !== service) {
          countService(counters, service, ofService, serviceBytes);
          plain += ofService;
          service = found;
          ofService = 0;
          serviceBytes = 0;
        }
        ofService++;
        serviceBytes += p.end - p.ip;
      }
      p = p.next;
      if (context.waitingCount === WAITING) packets += settle(context, records, link);
    }
  }
  if (context.waitingCount > 0) packets += settle(context, records, link);
  countService(counters, service, ofService, serviceBytes);
  plain += ofService;
  countVerdict(counters, FORWARDED, plain);
  packets += plain;
  counters[FRAMES] = counters[FRAMES]! + burst.count;
  counters[PACKETS] = counters[PACKETS]! + packets;
  counters[BYTES] = counters[BYTES]! + bytes;
}

/** Reads a frame as far as it stands alone: what is wrong with it becomes its verdict. */
function readFrame(context: Context, records: Int32Array, r: number, link: LinkType, p: Parsed): void {
  p.verdict = readPacket(context, records, r, link, p);
}

function readPacket(context: Context, records: Int32Array, r: number, link: LinkType, p: Parsed): number {
  const { bytes: b, tables: t } = context;
  const offset = records[r + RX_OFFSET]!;
  const length = records[r + RX_LENGTH]!;
  const ip = link === LINK_ETHERNET ? ipInEthernet(b, offset, length) : offset;
  if (ip < 0) {
    p.fragment = FRAGMENT_NONE;
    return NOT_OURS;
  }
  const long = length > LONGEST;
  const network = long ? parseLong(b, records, r, ip, p) : parseNetwork(b, ip, offset + length - ip, p);
  if (network !== OK) return network;
  p.vip = destinationVip(t, p);
  if (p.vip < 0) return NOT_OURS;
  const transport = parseTransport(b, p);
  if (transport !== OK) return long ? judgeLong(p, transport) : transport;
  hashFlow(t, p);
  if ((records[r + RX_FLAGS]! | records[r + RX_GSO_TYPE]!) !== 0) return readOffloads(b, records, r, p);
  return p.protocol === TCP && p.fragment === FRAGMENT_NONE && !isSyn(p) ? PLAIN : OK;
}

/** Steers a frame that has been read and counts its verdict. Returns how many packets that were; 0 when it waits for an answer. */
function steerFrame(context: Context, records: Int32Array, r: number, p: Parsed): number {
  context.parsed = p;
  if (p.verdict !== OK || (records[r + RX_FLAGS]! | records[r + RX_GSO_TYPE]!) === 0) {
    setSingle(p);
    if (p.verdict === PLAIN) p.verdict = OK;
  }
  const verdict = steerPacket(context, p, records[r + RX_GSO_TYPE]!);
  if (verdict === PENDING) {
    context.waiting[context.waitingCount++] = r;
    return 0;
  }
  if (p.fragment === FRAGMENT_FIRST) noteFirst(context, verdict, AS_DIRECTOR);
  // A frame that was cut contradicts its own length.
  if (verdict === MALFORMED && (records[r + RX_FLAGS]! & RX_TRUNCATED) !== 0) context.counters[TRUNCATED]! += 1;
  countVerdict(context.counters, verdict, p.packets);
  return p.packets;
}

/** Asks the kernel about the frames that wait, and steers them by what it says. */
function settle(context: Context, records: Int32Array, link: LinkType): number {
  const m = context.memory;
  let packets = 0;
  m.sockets.ask();
  for (let i = 0; i < context.waitingCount; i++) {
    m.answer = socketAnswer(m, i);
    const r = context.waiting[i]!;
    readFrame(context, records, r, link, again);
    packets += steerFrame(context, records, r, again);
  }
  m.answer = SOCKET_UNKNOWN;
  m.sockets.clear();
  context.waitingCount = 0;
  return packets;
}

function steerPacket(context: Context, p: Parsed, gsoType: number): number {
  const t = context.tables;
  const verdict =
    p.fragment === FRAGMENT_NONE ? p.verdict : judgeFragment(context, p.verdict, AS_DIRECTOR, p.ip, p.end - p.ip, 0);
  if (verdict !== OK) return verdict;
  if (p.vip >= t.firstEgress) return directSlice(context, p.vip, gsoType);
  const service = serviceOf(t, p.vip, p);
  if (service < 0) return -service;
  if (p.packets > 1 && p.protocol === UDP) {
    const run = sameQuicHost(context.bytes, t, service, p, 0);
    if (run < p.packets) return steerRuns(context, p, service, gsoType, run);
  }
  return steerToService(context, p, service, gsoType);
}

/**
 * Steers a super-segment whose datagrams do not all go the same way, each run of those that do by itself; the first is of `first`
 * datagrams. Counts all but the last run, whose verdict it returns; that is the packet in hand then.
 */
function steerRuns(context: Context, p: Parsed, service: number, gsoType: number, first: number): number {
  const { bytes: b, tables: t, counters } = context;
  // Who owns the flow is asked for those that go by it before any of the others has left.
  if (anyByFlow(b, t, service, p) && asksForOwner(context, p, service)) return PENDING;
  const { packets, end } = p;
  for (let from = 0, run = first; ; ) {
    p.run = 1;
    p.first = from;
    p.packets = run;
    p.end = from + run === packets ? end : payloadAt(p, run);
    const verdict = steerToService(context, p, service, gsoType);
    from += run;
    if (from === packets) return verdict;
    countVerdict(counters, verdict, run);
    counters[PACKETS] = counters[PACKETS]! + run;
    p.run = 0;
    p.first = 0;
    p.packets = packets;
    p.end = end;
    run = sameQuicHost(b, t, service, p, from);
  }
}

/** Whether the flow in hand may be this host's and the kernel has been asked. */
function asksForOwner(context: Context, p: Parsed, service: number): boolean {
  const { chain, memory, tables: t } = context;
  if (setKnownChain(chain, memory, t, p)) return false;
  setChain(chain, memory, t, service, bucketFor(t, service, p), p);
  return chain.first === t.self && chain.count > 0 && ownership(memory, p, t.self) === ASKED;
}

/** Steers the packet in hand, of a service, and counts it as the service's. */
function steerToService(context: Context, p: Parsed, service: number, gsoType: number): number {
  const t = context.tables;
  const chain = context.chain;
  if (p.protocol !== UDP || !setQuicChain(chain, context.bytes, t, service, p)) {
    if (!setKnownChain(chain, context.memory, t, p)) {
      setChain(chain, context.memory, t, service, bucketFor(t, service, p), p);
    }
  }
  if (chain.first === NO_HOST) return NO_HOST_LEFT;
  if (chain.first === t.self) {
    // The same question that a target asks.
    const mine = chain.count === 0 ? MINE : ownership(context.memory, p, t.self);
    if (mine === ASKED) return PENDING;
    if (mine === MINE) {
      countService(context.counters, service, p.packets, wireBytes(p));
      if (chain.count === 0) noteFlow(context.memory, p, t.self, udpMode(t, service) !== UDP_STATELESS);
      return deliver(context, gsoType);
    }
    dropFirst(chain);
  }
  countService(context.counters, service, p.packets, wireBytes(p));
  return sendAlong(context, chain);
}
