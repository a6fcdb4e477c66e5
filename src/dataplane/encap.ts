/** Wrapping a packet for a peer: GUE header in front of it, and a message for the sending socket. */
import { SUM_FIELD, SUM_LENGTH, SUM_LENGTH2, SUM_START, SUM_STRIDE, SUM_ZERO_AS_ONES, type TxQueue } from "../io/packet-io.ts";
import { countSent } from "../shm/counters.ts";
import { HOST_MTU, hostAt, outerFamily } from "../shm/forwarding-table.ts";
import { FORWARDED, NO_HOST_LEFT, NO_ROOM, TOO_BIG } from "../shm/verdict.ts";
import { GUE_HEADER, writeGue } from "../wire/gue.ts";
import { IPV4_HEADER } from "../wire/ipv4.ts";
import { IPV6_HEADER } from "../wire/ipv6.ts";
import { UDP, UDP_HEADER } from "../wire/udp.ts";
import { type Context, roomForPeers } from "./context.ts";
import { P_END, P_HEADERS, P_IP, P_PACKETS, P_PROTOCOL, P_SEGMENT, P_SUM_FIELD, P_SUM_START, P_VERSION } from "./parsed.ts";
import { appendIov, appendMessage } from "./queue.ts";
import { sendTrain } from "./segment.ts";

/** Bytes of outer IP, UDP and GUE headers. */
export const outerOverhead = (family: number, gueLength: number): number =>
  (family === 4 ? IPV4_HEADER : IPV6_HEADER) + UDP_HEADER + gueLength;

/** Queues the packet in hand for a host. Returns FORWARDED or why it cannot go. */
export function sendToPeer(context: Context, host: number): number {
  const { tables, parsed: p, bytes } = context;
  const family = outerFamily(tables, host);
  if (family === 0) return NO_HOST_LEFT;
  const ip = p[P_IP]!;
  const length = p[P_END]! - ip;
  const packets = p[P_PACKETS]!;
  const largest = packets > 1 ? p[P_HEADERS]! + p[P_SEGMENT]! : length;
  const overhead = outerOverhead(family, GUE_HEADER);
  if (largest + overhead > tables.words[hostAt(tables, host) + HOST_MTU]!) return TOO_BIG;

  if (packets > 1) {
    if (!sendTrain(context, host, family)) return NO_ROOM;
  } else {
    if (!roomForPeers(context, 1, 1, 1, 0)) return NO_ROOM;
    const gue = ip - GUE_HEADER;
    writeGue(bytes, gue, p[P_VERSION]!);
    const queue = context.peers.queue;
    appendIov(queue, gue, length + GUE_HEADER);
    appendMessage(queue, tables, host, family, p, 1, length + GUE_HEADER, 0);
    if (p[P_SUM_FIELD]! >= 0) finishChecksum(queue, p);
  }
  countSent(context.counters, host, packets, length + packets * overhead);
  return FORWARDED;
}

/** Queues the rest of a checksum that the sender's kernel left to its network card. */
function finishChecksum(queue: TxQueue, p: Int32Array): void {
  const at = queue.sumCount++ * SUM_STRIDE;
  const s = queue.sums;
  s[at + SUM_START] = p[P_SUM_START]!;
  s[at + SUM_LENGTH] = p[P_END]! - p[P_SUM_START]!;
  s[at + SUM_LENGTH2] = 0;
  s[at + SUM_FIELD] = p[P_SUM_FIELD]!;
  s[at + SUM_ZERO_AS_ONES] = p[P_PROTOCOL] === UDP ? 1 : 0;
}
