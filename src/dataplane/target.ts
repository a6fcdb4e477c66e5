/** The role of a host for packets that come in GUE: check who sent them, unwrap, deliver. */
import { RX_GSO_SIZE, RX_LENGTH, RX_OFFSET, RX_PEER, RX_STRIDE, RX_TRAFFIC_CLASS, type RxBurst } from "../io/packet-io.ts";
import { counterAt, countReceived, countVerdict } from "../shm/counters.ts";
import { findPeer } from "../shm/forwarding-table.ts";
import { ECN_DROP, GUE_MALFORMED, HOPS_UNKNOWN, NOT_A_PEER, NOT_A_VIP, OK } from "../shm/verdict.ts";
import { hopsLeft, innerOffset } from "../wire/gue.ts";
import type { Context } from "./context.ts";
import { deliver } from "./deliver.ts";
import { combineEcn } from "./ecn.ts";
import { destinationVip } from "./flow.ts";
import { parseNetwork } from "./parse.ts";

const MESSAGES = counterAt("gueMessages");
const PACKETS = counterAt("guePackets");
const BYTES = counterAt("gueBytes");
const MAPPED = 0xffff;

/** Takes in a burst from a GUE socket. A record may hold several datagrams of equal size (UDP_GRO). */
export function receiveGue(context: Context, burst: RxBurst): void {
  const { counters, parsed: p } = context;
  const records = burst.records;
  p.packets = 1;
  p.sumField = -1;
  let packets = 0;
  let bytes = 0;
  for (let i = 0; i < burst.count; i++) {
    const r = i * RX_STRIDE;
    const peer = peerOf(context, records, r);
    const start = records[r + RX_OFFSET]!;
    const length = records[r + RX_LENGTH]!;
    const size = records[r + RX_GSO_SIZE]! || length;
    let inRecord = 0;
    for (let at = start; at < start + length || inRecord === 0; at += size) {
      const available = Math.min(size, start + length - at);
      const verdict = peer < 0 ? NOT_A_PEER : receivePacket(context, at, available, records[r + RX_TRAFFIC_CLASS]!);
      countVerdict(counters, verdict, 1);
      inRecord++;
    }
    if (peer >= 0) countReceived(counters, peer, inRecord, length);
    packets += inRecord;
    bytes += length;
  }
  counters[MESSAGES] = counters[MESSAGES]! + burst.count;
  counters[PACKETS] = counters[PACKETS]! + packets;
  counters[BYTES] = counters[BYTES]! + bytes;
}

function peerOf(context: Context, records: Int32Array, r: number): number {
  const a = records[r + RX_PEER]!;
  const b = records[r + RX_PEER + 1]!;
  const c = records[r + RX_PEER + 2]!;
  const family = a === 0 && b === 0 && c === MAPPED ? 4 : 6;
  return findPeer(context.tables, family, a, b, c, records[r + RX_PEER + 3]!);
}

function receivePacket(context: Context, gue: number, length: number, trafficClass: number): number {
  const { bytes: b, parsed: p } = context;
  const inner = innerOffset(b, gue, length);
  if (inner < 0) return GUE_MALFORMED;
  const network = parseNetwork(b, gue + inner, length - inner, p);
  if (network !== OK) return network;
  const vip = destinationVip(context.tables, p);
  if (vip < 0) return NOT_A_VIP;
  // A packet to an egress IP went to the owner of its slice, who has no next hop: it is never asked whose it is.
  if (vip < context.tables.firstEgress && hopsLeft(b, gue, inner) > 0) return HOPS_UNKNOWN;
  return combineEcn(b, p, trafficClass) ? deliver(context, 0) : ECN_DROP;
}
