/** Handing a packet to this host's own kernel. */
import {
  GSO_NONE,
  RX_CWR_FIRST,
  RX_NEEDS_CSUM,
  type TxQueue,
  UP_CSUM_OFFSET,
  UP_CSUM_START,
  UP_FLAGS,
  UP_GSO_SIZE,
  UP_GSO_TYPE,
  UP_HEADER_LENGTH,
  UP_IOV_COUNT,
  UP_IOV_START,
  UP_LENGTH,
  UP_STRIDE,
} from "../io/packet-io.ts";
import { DELIVERED, NO_ROOM } from "../shm/verdict.ts";
import { fold, pseudoSum4, pseudoSum6 } from "../wire/checksum.ts";
import { TCP, TCP_CHECKSUM } from "../wire/tcp.ts";
import { UDP, UDP_CHECKSUM } from "../wire/udp.ts";
import { LONGEST } from "./big-tcp.ts";
import { type Context, roomForKernel, roomForPeers } from "./context.ts";
import { payloadAt } from "./parsed.ts";
import { appendIov } from "./queue.ts";
import { pseudoSum, writeHeaders } from "./segment.ts";

/**
 * Queues the packet in hand for the kernel. A super-segment of up to 64 KB goes whole, and a checksum left open stays open: the
 * kernel takes both back as it gave them. `gsoType` is the record's. Returns DELIVERED.
 */
export function deliver(context: Context, gsoType: number): number {
  const p = context.parsed;
  const ip = p.ip;
  if (p.run !== 0 || p.end - ip > LONGEST) return deliverParts(context, gsoType);
  deliverBytes(context, ip, p.end - ip);
  const queue = context.toKernel;
  const at = (queue.count - 1) * UP_STRIDE;
  if (p.sumField >= 0) {
    queue.records[at + UP_FLAGS] = RX_NEEDS_CSUM;
    queue.records[at + UP_CSUM_START] = p.sumStart - ip;
    queue.records[at + UP_CSUM_OFFSET] = p.sumField - p.sumStart;
  }
  if (p.packets > 1) {
    queue.records[at + UP_GSO_TYPE] = gsoType;
    queue.records[at + UP_GSO_SIZE] = p.segment;
    queue.records[at + UP_HEADER_LENGTH] = p.headers;
    if (p.cwrFirst !== 0) queue.records[at + UP_FLAGS]! |= RX_CWR_FIRST;
  }
  return DELIVERED;
}

/** Queues the packet in hand, which came in GUE, for the kernel; `whole`: it is no fragment, and read through its ports. */
export function deliverUnwrapped(context: Context, whole: boolean): number {
  const p = context.parsed;
  const verdict = deliver(context, GSO_NONE);
  if (whole && (p.protocol === TCP || p.protocol === UDP)) finishOpen(context, p.ip, p.end - p.ip, p.l4 - p.ip, p.protocol);
  return verdict;
}

/** Queues the super-segment in hand, or the run of one, as super-segments that are no longer than LONGEST, under headers of their own. */
function deliverParts(context: Context, gsoType: number): number {
  const { parsed: p, bytes: b, toKernel: queue } = context;
  const { headers, packets, segment } = p;
  const most = Math.max(1, Math.floor((LONGEST - headers) / segment));
  const pseudo = pseudoSum(b, p);
  const sumOffset = p.protocol === TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
  for (let i = 0; i < packets; i += most) {
    const count = Math.min(most, packets - i);
    const last = i + count === packets;
    const payload = payloadAt(p, i);
    const length = last ? p.end - payload : count * segment;
    roomForKernel(context, 2);
    if (!roomForPeers(context, 0, 0, 0, headers)) return NO_ROOM;
    const at = context.scratchNext;
    context.scratchNext = at + headers;
    writeHeaders(b, p, i, length, last, at, pseudo);
    appendIov(queue, at, headers);
    appendIov(queue, payload, length);
    const type = count > 1 ? gsoType : GSO_NONE;
    deliverGathered(queue, 2, headers + length, p.l4 - p.ip, sumOffset, type, count > 1 ? segment : 0, count > 1 ? headers : 0);
    const flags = RX_NEEDS_CSUM | (count > 1 && i === 0 && p.cwrFirst !== 0 ? RX_CWR_FIRST : 0);
    queue.records[(queue.count - 1) * UP_STRIDE + UP_FLAGS] = flags;
  }
  return DELIVERED;
}

/**
 * Leaves it to the kernel to finish the checksum of a whole packet of TCP or UDP that came in GUE, when it is open: the packet at `ip`, of
 * `length` bytes, queued last, with its transport header `l4` bytes behind `ip`. A kernel that wraps a packet (fou, IPVS) leaves the inner
 * checksum to its network card, and a veth or a virtio card between machines of one host hands it on so; a UDP socket does not tell.
 * That the field holds exactly the sum of the pseudo-header does. A good packet may by chance look so: that is right as well then.
 */
export function finishOpen(context: Context, ip: number, length: number, l4: number, protocol: number): void {
  const { bytes: b, toKernel: queue } = context;
  const offset = protocol === TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
  const rest = length - l4;
  const v4 = b.getUint8(ip) >>> 4 === 4;
  const open = fold(v4 ? pseudoSum4(b, ip, protocol, rest) : pseudoSum6(b, ip, protocol, rest));
  if (b.getUint16(ip + l4 + offset) !== open) return;
  const at = (queue.count - 1) * UP_STRIDE;
  queue.records[at + UP_FLAGS] = RX_NEEDS_CSUM;
  queue.records[at + UP_CSUM_START] = l4;
  queue.records[at + UP_CSUM_OFFSET] = offset;
}

/** Queues a packet of `length` bytes at `ip` for the kernel, as it is. */
export function deliverBytes(context: Context, ip: number, length: number): void {
  roomForKernel(context, 1);
  appendIov(context.toKernel, ip, length);
  deliverGathered(context.toKernel, 1, length, 0, 0, GSO_NONE, 0, 0);
}

/**
 * Queues what the last `iovs` gather pairs hold, `length` bytes. With a `gsoType` it is a super-segment whose packets have `size`
 * bytes of payload each behind `headers` bytes of headers, and whose checksum, at `sumOffset` from `sumStart`, is left open.
 */
export function deliverGathered(
  queue: TxQueue,
  iovs: number,
  length: number,
  sumStart: number,
  sumOffset: number,
  gsoType: number,
  size: number,
  headers: number,
): void {
  const r = queue.records;
  const at = queue.count++ * UP_STRIDE;
  r[at + UP_IOV_START] = queue.iovCount - iovs;
  r[at + UP_IOV_COUNT] = iovs;
  r[at + UP_LENGTH] = length;
  r[at + UP_FLAGS] = gsoType === GSO_NONE ? 0 : RX_NEEDS_CSUM;
  r[at + UP_CSUM_START] = sumStart;
  r[at + UP_CSUM_OFFSET] = sumOffset;
  r[at + UP_GSO_TYPE] = gsoType;
  r[at + UP_GSO_SIZE] = size;
  r[at + UP_HEADER_LENGTH] = headers;
}
