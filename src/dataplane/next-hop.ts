/** Sending a packet on along its chain. */
import { counterAt, countSent } from "../shm/counters.ts";
import { findPeer, HOST_MTU, hostAt, outerFamily, type Tables } from "../shm/forwarding-table.ts";
import { ECN_DROP, NEXT_HOP, NO_HOST_LEFT, NO_ROOM, NOT_A_PEER } from "../shm/verdict.ts";
import { advanceHop, hopFamily, hopIndex, nextHopAddress } from "../wire/gue.ts";
import { deliverCoalesced } from "./coalesce.ts";
import { type Context, roomForOne } from "./context.ts";
import { deliverUnwrapped } from "./deliver.ts";
import { combineEcn } from "./ecn.ts";
import { outerOverhead } from "./outer-overhead.ts";
import { FRAGMENT_NONE } from "./parsed.ts";
import { appendIov, appendMessage } from "./queue.ts";
import { tooBig } from "./too-big.ts";

const MAPPED = 0xffff;
const [SECOND, THIRD, FURTHER] = [counterAt("secondHops"), counterAt("thirdHops"), counterAt("furtherHops")];

/** Queues a packet as it came, wrapper and all, for the next hop of its chain. */
export function sendOn(context: Context, gue: number, length: number, trafficClass: number): number {
  const { bytes: b, parsed: p, tables: t } = context;
  const at = nextHopAddress(b, gue);
  const host = hopFamily(b, gue) === 4 ? findPeer(t, 4, 0, 0, MAPPED, b.getInt32(at)) : findHop6(t, b, at);
  if (host < 0) return NOT_A_PEER;
  const index = hopIndex(b, gue);
  advanceHop(b, gue);
  if (host === t.self) {
    if (!combineEcn(b, p, trafficClass)) return ECN_DROP;
    if (context.coalescer !== null) deliverCoalesced(context, context.coalescer);
    return deliverUnwrapped(context, p.fragment === FRAGMENT_NONE);
  }
  const family = outerFamily(t, host);
  if (family === 0) return NO_HOST_LEFT;
  p.tos = trafficClass;
  const verdict = sendTo(context, host, family, gue, length);
  if (verdict === NEXT_HOP) context.counters[index === 0 ? SECOND : index === 1 ? THIRD : FURTHER]! += 1;
  return verdict;
}

/** Queues the wrapped packet for a host. Returns NEXT_HOP or why it cannot go. */
function sendTo(context: Context, host: number, family: number, gue: number, length: number): number {
  const { parsed: p, tables: t } = context;
  const overhead = outerOverhead(family, 0);
  const room = t.words[hostAt(t, host) + HOST_MTU]! - overhead;
  if (length > room) return tooBig(context, host, family, p.ip - gue, room - p.ip + gue, NEXT_HOP);
  if (!roomForOne(context)) return NO_ROOM;
  const queue = context.toPeers;
  appendIov(queue, gue, length);
  appendMessage(queue, t, host, family, p, 1, length, 0);
  countSent(context.counters, host, 1, length + overhead);
  return NEXT_HOP;
}

function findHop6(t: Tables, b: DataView, at: number): number {
  const [a0, a1, a2] = [b.getInt32(at), b.getInt32(at + 4), b.getInt32(at + 8)];
  const family = a0 === 0 && a1 === 0 && a2 === MAPPED ? 4 : 6;
  return findPeer(t, family, a0, a1, a2, b.getInt32(at + 12));
}
