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
import { P_END, P_HEADERS, P_IP, P_PACKETS, P_SEGMENT, P_SUM_FIELD, P_SUM_START } from "./parsed.ts";
import { appendIov } from "./queue.ts";

/**
 * Queues the packet in hand for the kernel. A super-segment goes whole, and a checksum left open stays open: the kernel
 * takes both back as it gave them. `gsoType` is the record's. Returns DELIVERED.
 */
export function deliver(context: Context, gsoType: number): number {
  roomForKernel(context);
  const p = context.parsed;
  const ip = p[P_IP]!;
  const length = p[P_END]! - ip;
  const queue = context.kernel.queue;
  appendIov(queue, ip, length);
  const r = queue.records;
  const at = queue.count++ * UP_STRIDE;
  const open = p[P_SUM_FIELD]! >= 0;
  r[at + UP_IOV_START] = queue.iovCount - 1;
  r[at + UP_IOV_COUNT] = 1;
  r[at + UP_LENGTH] = length;
  r[at + UP_FLAGS] = open ? RX_NEEDS_CSUM : 0;
  r[at + UP_CSUM_START] = open ? p[P_SUM_START]! - ip : 0;
  r[at + UP_CSUM_OFFSET] = open ? p[P_SUM_FIELD]! - p[P_SUM_START]! : 0;
  const train = p[P_PACKETS]! > 1;
  r[at + UP_GSO_TYPE] = train ? gsoType : 0;
  r[at + UP_GSO_SIZE] = train ? p[P_SEGMENT]! : 0;
  r[at + UP_HEADER_LENGTH] = train ? p[P_HEADERS]! : 0;
  return DELIVERED;
}
