/** Entries of the outgoing queues. */
import {
  GUE_SOURCE_PORTS,
  SUM_FIELD,
  SUM_LENGTH,
  SUM_LENGTH2,
  SUM_START,
  SUM_STRIDE,
  SUM_ZERO_AS_ONES,
  TX_ADDRESS,
  TX_FAMILY,
  TX_IOV_COUNT,
  TX_IOV_START,
  TX_LENGTH,
  TX_SEGMENT_SIZE,
  TX_SOURCE,
  TX_STRIDE,
  TX_TRAFFIC_CLASS,
  type TxQueue,
} from "../io/packet-io.ts";
import { HOST_IPV4, HOST_IPV6, hostAt, type Tables } from "../shm/forwarding-table.ts";
import { UDP } from "../wire/udp.ts";
import type { Parsed } from "./parsed.ts";

/** Which of the source ports the flow in hand leaves by. */
export const sourceOf = (p: Parsed): number => p.hash2 & (GUE_SOURCE_PORTS - 1);

/**
 * A position in a queue. The mask tells V8 that it is small: what is added to it then cannot overflow, and is not checked for
 * that, word by word.
 */
const small = (position: number): number => position & 0xfffff;

/** Appends a gather pair. */
export function appendIov(queue: TxQueue, offset: number, length: number): void {
  const at = small(queue.iovCount++) * 2;
  queue.iovs[at] = offset;
  queue.iovs[at + 1] = length;
}

/** Appends the rest of a checksum that the sender's kernel left to its network card. */
export function appendOpenSum(queue: TxQueue, p: Parsed): void {
  const at = queue.sumCount++ * SUM_STRIDE;
  const s = queue.sums;
  s[at + SUM_START] = p.sumStart;
  s[at + SUM_LENGTH] = p.end - p.sumStart;
  s[at + SUM_LENGTH2] = 0;
  s[at + SUM_FIELD] = p.sumField;
  s[at + SUM_ZERO_AS_ONES] = p.protocol === UDP ? 1 : 0;
}

/** Appends a message made of the last `iovs` gather pairs. `segment` is 0 for a single datagram. */
export function appendMessage(
  queue: TxQueue,
  t: Tables,
  host: number,
  family: number,
  p: Parsed,
  iovs: number,
  length: number,
  segment: number,
): void {
  const r = queue.records;
  const at = small(queue.count++) * TX_STRIDE;
  r[at + TX_IOV_START] = queue.iovCount - iovs;
  r[at + TX_IOV_COUNT] = iovs;
  r[at + TX_LENGTH] = length;
  r[at + TX_SEGMENT_SIZE] = segment;
  // RFC 6040, 4.1: in normal mode the outer ECN field is a copy too.
  r[at + TX_TRAFFIC_CLASS] = p.tos;
  r[at + TX_SOURCE] = sourceOf(p);
  r[at + TX_FAMILY] = family;
  const w = hostAt(t, host);
  if (family === 4) {
    r[at + TX_ADDRESS + 3] = t.words[w + HOST_IPV4]!;
  } else {
    for (let i = 0; i < 4; i++) r[at + TX_ADDRESS + i] = t.words[w + HOST_IPV6 + i]!;
  }
}
