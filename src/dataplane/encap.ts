/** Wrapping a packet for a peer: GUE header in front of it, and a message for the sending socket. */
import { countSent } from "../shm/counters.ts";
import {
  HAS_IPV4,
  HOST_FLAGS,
  HOST_IPV4,
  HOST_IPV6,
  HOST_MTU,
  hostAt,
  outerFamily,
  type Tables,
} from "../shm/forwarding-table.ts";
import { FORWARDED, NO_HOST_LEFT, NO_ROOM } from "../shm/verdict.ts";
import { GUE_HEADER, GUE_HOPS, gueHeaderLength, HOPS_IPV4, HOPS_IPV6, writeGue, writeGueHops } from "../wire/gue.ts";
import type { Chain } from "./chain.ts";
import { type Context, roomForOne } from "./context.ts";
import { outerOverhead } from "./outer-overhead.ts";
import { isTrain, wireBytes } from "./parsed.ts";
import { appendIov, appendMessage, appendOpenSum } from "./queue.ts";
import { sendTrain } from "./segment.ts";
import { tooBig } from "./too-big.ts";

/** Queues the packet in hand for the first host of a chain, with a plain header or with the further hops in it. */
export function sendAlong(context: Context, chain: Chain): number {
  if (chain.count === 0) return sendToPeer(context, chain.first);
  const { bytes, parsed: p, tables } = context;
  const type = hopsType(tables, chain);
  const length = gueHeaderLength(chain.count, type);
  const gue = p.ip - length;
  writeGueHops(bytes, gue, p.version, chain.count, type);
  writeHopAddresses(bytes, gue + GUE_HOPS, tables, chain, type);
  return sendWrapped(context, chain.first, length);
}

/** Queues the packet in hand for a host, with the plain header. Returns FORWARDED or why it cannot go. */
export function sendToPeer(context: Context, host: number): number {
  const p = context.parsed;
  writeGue(context.bytes, p.ip - GUE_HEADER, p.version);
  return sendWrapped(context, host, GUE_HEADER);
}

/** The same for a packet that has a GUE header of `gueLength` bytes right in front of it. */
function sendWrapped(context: Context, host: number, gueLength: number): number {
  const { tables, parsed: p } = context;
  const family = outerFamily(tables, host);
  if (family === 0) return NO_HOST_LEFT;
  const train = isTrain(p);
  const length = wireBytes(p);
  const packets = p.packets;
  const largest = packets > 1 ? p.headers + p.segment : length;
  const overhead = outerOverhead(family, gueLength);
  const room = tables.words[hostAt(tables, host) + HOST_MTU]! - overhead;
  if (largest > room) return tooBig(context, host, family, gueLength, room, FORWARDED);

  if (train) {
    if (!sendTrain(context, host, family, gueLength)) return NO_ROOM;
  } else {
    if (!roomForOne(context)) return NO_ROOM;
    const queue = context.toPeers;
    appendIov(queue, p.ip - gueLength, length + gueLength);
    appendMessage(queue, tables, host, family, p, 1, length + gueLength, 0);
    if (p.sumField >= 0) appendOpenSum(queue, p);
  }
  countSent(context.counters, host, packets, length + packets * overhead);
  return FORWARDED;
}

/** Addresses of 4 bytes when every hop has an IPv4 DIP. */
function hopsType(t: Tables, chain: Chain): number {
  for (let i = 0; i < chain.count; i++) {
    if ((t.words[hostAt(t, chain.hops[i]!) + HOST_FLAGS]! & HAS_IPV4) === 0) return HOPS_IPV6;
  }
  return HOPS_IPV4;
}

function writeHopAddresses(b: DataView, at: number, t: Tables, chain: Chain, type: number): void {
  for (let i = 0; i < chain.count; i++) {
    const host = hostAt(t, chain.hops[i]!);
    if (type === HOPS_IPV4) {
      b.setInt32(at + 4 * i, t.words[host + HOST_IPV4]!);
    } else if ((t.words[host + HOST_FLAGS]! & HAS_IPV4) !== 0) {
      b.setInt32(at + 16 * i, 0);
      b.setInt32(at + 16 * i + 4, 0);
      b.setInt32(at + 16 * i + 8, 0xffff);
      b.setInt32(at + 16 * i + 12, t.words[host + HOST_IPV4]!);
    } else {
      for (let w = 0; w < 4; w++) b.setInt32(at + 16 * i + 4 * w, t.words[host + HOST_IPV6 + w]!);
    }
  }
}
