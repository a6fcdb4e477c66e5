/** Sources and sinks over plain memory, for replay, tests and benchmarks: what leaves are the bytes the wire would carry. */

import { viewOf } from "../wire/bytes.ts";
import { addBytes, complement, pseudoSum4, pseudoSum6 } from "../wire/checksum.ts";
import { IPV4_HEADER, writeIpv4 } from "../wire/ipv4.ts";
import { IPV6_HEADER, writeIpv6 } from "../wire/ipv6.ts";
import { UDP, UDP_CHECKSUM, UDP_HEADER, writeUdp } from "../wire/udp.ts";
import {
  CHECK_GOOD,
  CHECK_LENGTH,
  CHECK_PSEUDO,
  CHECK_START,
  CHECK_STRIDE,
  type ChecksumVerifier,
  GUE_FIRST_SOURCE_PORT,
  type PacketSink,
  RX_LENGTH,
  RX_OFFSET,
  RX_STRIDE,
  type RxBurst,
  SUM_FIELD,
  SUM_LENGTH,
  SUM_LENGTH2,
  SUM_START,
  SUM_START2,
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
  UP_IOV_COUNT,
  UP_IOV_START,
  UP_LENGTH,
  UP_STRIDE,
} from "./packet-io.ts";

/** An empty burst for so many packets. */
export const createBurst = (packets: number): RxBurst => ({ records: new Int32Array(packets * RX_STRIDE), count: 0 });

/** Appends a packet that already lies in the pool; the rest of its record is zero. Returns the offset of the record. */
export function addToBurst(burst: RxBurst, offset: number, length: number): number {
  const r = burst.count++ * RX_STRIDE;
  burst.records.fill(0, r, r + RX_STRIDE);
  burst.records[r + RX_OFFSET] = offset;
  burst.records[r + RX_LENGTH] = length;
  return r;
}

/** Does the checksum jobs of a queue in TypeScript; the addon does the same for real devices. */
export function finishSums(pool: DataView, queue: TxQueue): void {
  const s = queue.sums;
  for (let i = 0; i < queue.sumCount; i++) {
    const at = i * SUM_STRIDE;
    const first = addBytes(pool, s[at + SUM_START]!, s[at + SUM_LENGTH]!, 0);
    let sum = complement(addBytes(pool, s[at + SUM_START2]!, s[at + SUM_LENGTH2]!, first));
    if (sum === 0 && s[at + SUM_ZERO_AS_ONES] === 1) sum = 0xffff;
    pool.setUint16(s[at + SUM_FIELD]!, sum);
  }
  queue.sumCount = 0;
}

/** A verifier in TypeScript for `packets` packets of a pool at a time. */
export function memoryVerifier(pool: DataView, packets: number): ChecksumVerifier {
  const checks = new Int32Array(packets * CHECK_STRIDE);
  const verify = (count: number): void => {
    for (let at = 0; at < count * CHECK_STRIDE; at += CHECK_STRIDE) {
      if (checks[at + CHECK_LENGTH] === 0) continue;
      const sum = addBytes(pool, checks[at + CHECK_START]!, checks[at + CHECK_LENGTH]!, checks[at + CHECK_PSEUDO]!);
      checks[at + CHECK_GOOD] = complement(sum) === 0 ? 1 : 0;
    }
  };
  return { checks, verify };
}

/** Copies the gather list of a message to `to`. Returns the bytes copied. */
function gather(pool: Uint8Array, queue: TxQueue, start: number, count: number, to: Uint8Array, at: number): number {
  let bytes = 0;
  for (let i = start; i < start + count; i++) {
    const offset = queue.iovs[2 * i]!;
    const length = queue.iovs[2 * i + 1]!;
    to.set(pool.subarray(offset, offset + length), at + bytes);
    bytes += length;
  }
  return bytes;
}

function emptied(queue: TxQueue): 0 {
  queue.sends += queue.count;
  queue.count = 0;
  queue.iovCount = 0;
  return 0;
}

/** Takes a packet that leaves, IP header first. The bytes are the callee's to keep. */
export type Emit = (packet: Uint8Array) => void;

/** Outer addresses of the host that sends: its DIPs, 4 words each; IPv4 in the last word. */
export interface OuterSource {
  readonly ipv4: number;
  readonly ipv6: ArrayLike<number>;
  readonly guePort: number;
}

/** A sink that writes the outer IP and UDP headers a socket would: DF set, TTL 64, identification 0, checksum. */
export function memoryPeers(pool: Uint8Array, queue: TxQueue, from: OuterSource, emit: Emit): PacketSink {
  const payload = new Uint8Array(65_536);
  const view = viewOf(pool);
  const flush = (): number => {
    finishSums(view, queue);
    const r = queue.records;
    for (let i = 0; i < queue.count; i++) {
      const at = i * TX_STRIDE;
      const length = gather(pool, queue, r[at + TX_IOV_START]!, r[at + TX_IOV_COUNT]!, payload, 0);
      if (length !== r[at + TX_LENGTH]) throw new RangeError(`message of ${r[at + TX_LENGTH]} bytes gathers ${length}`);
      const size = r[at + TX_SEGMENT_SIZE]! || length;
      for (let o = 0; o < length; o += size) emit(wrap(payload.subarray(o, Math.min(length, o + size)), r, at, from));
    }
    return emptied(queue);
  };
  return { queue, flush };
}

function wrap(payload: Uint8Array, r: Int32Array, at: number, from: OuterSource): Uint8Array {
  const v4 = r[at + TX_FAMILY] === 4;
  const udp = v4 ? IPV4_HEADER : IPV6_HEADER;
  const length = UDP_HEADER + payload.length;
  const bytes = new Uint8Array(udp + length).fill(0xa5, 0, udp + UDP_HEADER);
  const packet = viewOf(bytes);
  const traffic = r[at + TX_TRAFFIC_CLASS]!;
  if (v4) writeIpv4(packet, 0, traffic, bytes.length, UDP, from.ipv4, r[at + TX_ADDRESS + 3]!);
  else writeIpv6(packet, 0, traffic, length, UDP, from.ipv6, r.subarray(at + TX_ADDRESS, at + TX_ADDRESS + 4));
  writeUdp(packet, udp, GUE_FIRST_SOURCE_PORT + r[at + TX_SOURCE]!, from.guePort, length, 0);
  bytes.set(payload, udp + UDP_HEADER);
  const pseudo = v4 ? pseudoSum4(packet, 0, UDP, length) : pseudoSum6(packet, 0, UDP, length);
  packet.setUint16(udp + UDP_CHECKSUM, complement(addBytes(packet, udp, length, pseudo)) || 0xffff);
  return bytes;
}

/** A sink in the place of the TUN: emits each packet as the kernel would get it, super-segments whole. */
export function memoryKernel(pool: Uint8Array, queue: TxQueue, emit: Emit): PacketSink {
  const view = viewOf(pool);
  const flush = (): number => {
    finishSums(view, queue);
    for (let i = 0; i < queue.count; i++) {
      const at = i * UP_STRIDE;
      const packet = new Uint8Array(queue.records[at + UP_LENGTH]!);
      gather(pool, queue, queue.records[at + UP_IOV_START]!, queue.records[at + UP_IOV_COUNT]!, packet, 0);
      emit(packet);
    }
    return emptied(queue);
  };
  return { queue, flush };
}
