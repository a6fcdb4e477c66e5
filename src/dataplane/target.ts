/** The role of a host for packets that come in GUE: check who sent them, unwrap, deliver. */
import { RX_GSO_SIZE, RX_LENGTH, RX_OFFSET, RX_PEER, RX_STRIDE, RX_TRAFFIC_CLASS, type RxBurst } from "../io/packet-io.ts";
import { counterAt, countReceived, countVerdict } from "../shm/counters.ts";
import { findPeer, UDP_STATELESS, udpMode } from "../shm/forwarding-table.ts";
import { DELIVERED, ECN_DROP, GUE_MALFORMED, MALFORMED, NOT_A_PEER, NOT_A_VIP, OK, PENDING } from "../shm/verdict.ts";
import { hopsLeft, innerOffset } from "../wire/gue.ts";
import { TCP } from "../wire/tcp.ts";
import { UDP } from "../wire/udp.ts";
import { coalesce, deliverCoalesced, followsOn } from "./coalesce.ts";
import { type Context, WAITING, WAITING_WORDS } from "./context.ts";
import { deliverUnwrapped } from "./deliver.ts";
import { combineEcn } from "./ecn.ts";
import { destinationVip, hashFlow, serviceOf } from "./flow.ts";
import { SOCKET_UNKNOWN, socketAnswer } from "./flow-memory.ts";
import { AS_TARGET, judgeFragment, noteFirst } from "./fragments.ts";
import { sendOn } from "./next-hop.ts";
import { ASKED, isSyn, MINE, noteFlow, ownership } from "./ownership.ts";
import { parseNetwork, parseTransport } from "./parse.ts";
import { FRAGMENT_FIRST, FRAGMENT_NONE, setSingle } from "./parsed.ts";

const MESSAGES = counterAt("gueMessages");
const PACKETS = counterAt("guePackets");
const BYTES = counterAt("gueBytes");
const MAPPED = 0xffff;

/** Takes in a burst from a GUE socket. A record may hold several datagrams of equal size (UDP_GRO). */
export function receiveGue(context: Context, burst: RxBurst): void {
  const { counters, coalescer } = context;
  const records = burst.records;
  let packets = 0;
  let bytes = 0;
  for (let i = 0; i < burst.count; i++) {
    const r = i * RX_STRIDE;
    const peer = peerOf(context, records, r);
    const length = records[r + RX_LENGTH]!;
    const inRecord = receiveRecord(context, records, r, peer);
    if (peer >= 0) countReceived(counters, peer, inRecord, length);
    packets += inRecord;
    bytes += length;
  }
  if (context.waitingCount > 0) settle(context);
  if (coalescer !== null) deliverCoalesced(context, coalescer);
  counters[MESSAGES] = counters[MESSAGES]! + burst.count;
  counters[PACKETS] = counters[PACKETS]! + packets;
  counters[BYTES] = counters[BYTES]! + bytes;
}

/** Takes in the datagrams of one record. Returns how many they were; an empty one counts. */
function receiveRecord(context: Context, records: Int32Array, r: number, peer: number): number {
  const start = records[r + RX_OFFSET]!;
  const length = records[r + RX_LENGTH]!;
  const size = records[r + RX_GSO_SIZE]! || length;
  const trafficClass = records[r + RX_TRAFFIC_CLASS]!;
  const { bytes, coalescer } = context;
  let count = 0;
  let followed = 0;
  for (let at = start; at < start + length || count === 0; at += size) {
    const available = Math.min(size, start + length - at);
    count++;
    if (peer < 0) countVerdict(context.counters, NOT_A_PEER, 1);
    else if (coalescer !== null && followsOn(bytes, coalescer, at, available, trafficClass)) followed++;
    else receiveDatagram(context, at, available, trafficClass);
    if (context.waitingCount === WAITING) settle(context);
  }
  countVerdict(context.counters, DELIVERED, followed);
  return count;
}

/** Takes in one datagram and counts its verdict, or has it wait for an answer. */
function receiveDatagram(context: Context, gue: number, length: number, trafficClass: number): void {
  const p = context.parsed;
  setSingle(p);
  p.fragment = FRAGMENT_NONE;
  const verdict = receivePacket(context, gue, length, trafficClass);
  if (verdict !== PENDING) {
    if (p.fragment === FRAGMENT_FIRST) noteFirst(context, verdict, AS_TARGET);
    countVerdict(context.counters, verdict, p.packets);
    return;
  }
  const at = context.waitingCount++ * WAITING_WORDS;
  context.waiting[at] = gue;
  context.waiting[at + 1] = length;
  context.waiting[at + 2] = trafficClass;
}

/** Asks the kernel about the datagrams that wait, and takes them in by what it says. */
function settle(context: Context): void {
  const { memory: m, waiting: w, waitingCount: count } = context;
  m.sockets.ask();
  context.waitingCount = 0;
  for (let i = 0; i < count; i++) {
    m.answer = socketAnswer(m, i);
    receiveDatagram(context, w[i * WAITING_WORDS]!, w[i * WAITING_WORDS + 1]!, w[i * WAITING_WORDS + 2]!);
  }
  m.answer = SOCKET_UNKNOWN;
  m.sockets.clear();
}

function peerOf(context: Context, records: Int32Array, r: number): number {
  const a = records[r + RX_PEER]!;
  const b = records[r + RX_PEER + 1]!;
  const c = records[r + RX_PEER + 2]!;
  const family = a === 0 && b === 0 && c === MAPPED ? 4 : 6;
  return findPeer(context.tables, family, a, b, c, records[r + RX_PEER + 3]!);
}

function receivePacket(context: Context, gue: number, length: number, trafficClass: number): number {
  const { bytes: b, parsed: p, tables: t } = context;
  const inner = innerOffset(b, gue, length);
  if (inner < 0) return GUE_MALFORMED;
  const network = parseNetwork(b, gue + inner, length - inner, p);
  if (network !== OK) return network;
  const vip = destinationVip(t, p);
  if (vip < 0) return NOT_A_VIP;
  let transport = OK;
  if (vip >= t.firstEgress) {
    // It went to the owner of its slice, who has no next hop: it is never asked whose it is.
    transport = parseTransport(b, p);
    if (p.fragment !== FRAGMENT_NONE) transport = MALFORMED;
    p.fragment = FRAGMENT_NONE;
  } else {
    transport = parseTransport(b, p);
    if (hopsLeft(b, gue, inner) === 0) {
      if (transport === OK) noteArrival(context, vip);
    } else {
      if (transport !== OK || p.fragment !== FRAGMENT_NONE) {
        const verdict = judgeFragment(context, transport, AS_TARGET, gue, length, trafficClass);
        if (verdict !== OK) return verdict;
      }
      hashFlow(t, p);
      const mine = ownership(context.memory, p, t.self);
      if (mine === ASKED) return PENDING;
      if (mine !== MINE) return sendOn(context, gue, length, trafficClass);
    }
  }
  if (!combineEcn(b, p, trafficClass)) return ECN_DROP;
  return deliverHere(context, transport === OK && p.fragment === FRAGMENT_NONE, inner);
}

/** Delivers the packet in hand; when it is `whole`, and of TCP or UDP, with others of its flow. */
function deliverHere(context: Context, whole: boolean, gueLength: number): number {
  const { parsed: p, coalescer } = context;
  if (coalescer === null) return deliverUnwrapped(context, whole);
  if (whole && (p.protocol === TCP || p.protocol === UDP)) return coalesce(context, coalescer, gueLength);
  // It may be of any flow, and must not overtake packets of its own.
  if (!whole) deliverCoalesced(context, coalescer);
  return deliverUnwrapped(context, whole);
}

/** Remembers the flow of a packet that comes without further hops, so that it is known when a chain asks for it. */
function noteArrival(context: Context, vip: number): void {
  const { parsed: p, tables: t } = context;
  const udp = (p.kind & 0xff) === UDP;
  if (!udp && !isSyn(p)) return;
  const service = serviceOf(t, vip, p);
  if (service < 0) return;
  hashFlow(t, p);
  noteFlow(context.memory, p, t.self, udp && udpMode(t, service) !== UDP_STATELESS);
}
