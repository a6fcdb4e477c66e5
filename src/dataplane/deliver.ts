/** Handing a packet to this host's own kernel. */
import {
  GSO_NONE,
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
import { DELIVERED } from "../shm/verdict.ts";
import { type Context, roomForKernel } from "./context.ts";
import { appendIov } from "./queue.ts";

/**
 * Queues the packet in hand for the kernel. A super-segment goes whole, and a checksum left open stays open: the kernel
 * takes both back as it gave them. `gsoType` is the record's. Returns DELIVERED.
 */
export function deliver(context: Context, gsoType: number): number {
  const p = context.parsed;
  const ip = p.ip;
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
  }
  return DELIVERED;
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
