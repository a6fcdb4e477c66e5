/** Handing a packet to this host's own kernel. */
import {
  RX_NEEDS_CSUM,
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
  roomForKernel(context);
  const p = context.parsed;
  const ip = p.ip;
  const length = p.end - ip;
  const queue = context.toKernel;
  appendIov(queue, ip, length);
  const r = queue.records;
  const at = queue.count++ * UP_STRIDE;
  const open = p.sumField >= 0;
  r[at + UP_IOV_START] = queue.iovCount - 1;
  r[at + UP_IOV_COUNT] = 1;
  r[at + UP_LENGTH] = length;
  r[at + UP_FLAGS] = open ? RX_NEEDS_CSUM : 0;
  r[at + UP_CSUM_START] = open ? p.sumStart - ip : 0;
  r[at + UP_CSUM_OFFSET] = open ? p.sumField - p.sumStart : 0;
  const train = p.packets > 1;
  r[at + UP_GSO_TYPE] = train ? gsoType : 0;
  r[at + UP_GSO_SIZE] = train ? p.segment : 0;
  r[at + UP_HEADER_LENGTH] = train ? p.headers : 0;
  return DELIVERED;
}
