/**
 * What a host hands to its kernel, taken apart naively: gather lists and virtio words to single packets with finished checksums,
 * as the kernel makes them. Fails on what a kernel would refuse or take apart otherwise.
 */
import assert from "node:assert/strict";
import {
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
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
} from "../../src/io/packet-io.ts";
import { destinationOf, isV4, sourceOf, totalLength, transportOf } from "./naive.ts";
import { checksum } from "./packets.ts";

/** UIO_MAXIOV of Linux, less the pair that the virtio header takes. */
const PAIRS_MOST = 1023;
/** UDP_MAX_SEGMENTS of kernels before 6.8. */
const DATAGRAMS_MOST = 64;
const FIN_PSH = 0x09;
const CWR = 0x80;

/** One write: the packets it stands for. */
export interface Write {
  readonly packets: Uint8Array[];
  readonly length: number;
  readonly pairs: number;
}

const set16 = (b: Uint8Array, at: number, value: number): void => b.set([value >> 8, value & 255], at);
const get16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;
const get32 = (b: Uint8Array, at: number): number => get16(b, at) * 0x10000 + get16(b, at + 2);

/** Sum of the pseudo-header with the length of what is from `l4` on, complemented. */
function pseudo(packet: Uint8Array, l4: number, protocol: number): number {
  const length = packet.length - l4;
  const tail = Uint8Array.of(0, length >>> 16, (length >> 8) & 255, length & 255, 0, 0, 0, protocol);
  return checksum(Buffer.concat([sourceOf(packet), destinationOf(packet), tail]));
}

/** The packet with its checksum as a kernel leaves it to a network card: the sum of the pseudo-header. */
export function leftOpen(packet: Uint8Array): Uint8Array {
  const { l4, protocol } = transportOf(packet);
  const copy = packet.slice();
  set16(copy, l4 + (protocol === 6 ? 16 : 6), ~pseudo(packet, l4, protocol) & 0xffff);
  return copy;
}

/** Writes lengths and checksums into a packet of TCP or UDP, whose transport header is at `l4`. */
export function finishPacket(packet: Uint8Array, l4: number, protocol: number): void {
  if (isV4(packet)) {
    set16(packet, 2, packet.length);
    set16(packet, 10, 0);
    set16(packet, 10, checksum(packet.subarray(0, (packet[0]! & 15) * 4)));
  } else {
    set16(packet, 4, packet.length - 40);
  }
  const field = l4 + (protocol === 6 ? 16 : 6);
  if (protocol === 17) set16(packet, l4 + 4, packet.length - l4);
  set16(packet, field, 0);
  const open = ~pseudo(packet, l4, protocol) & 0xffff;
  const rest = ~checksum(packet.subarray(l4)) & 0xffff;
  const sum = ~((open + rest > 0xffff ? open + rest + 1 : open + rest) & 0xffff) & 0xffff;
  set16(packet, field, sum === 0 && protocol === 17 ? 0xffff : sum);
}

/** Takes a super-segment apart. */
function segment(packet: Uint8Array, record: Int32Array): Uint8Array[] {
  const v4 = isV4(packet);
  const l4 = v4 ? 20 : 40;
  const protocol = packet[v4 ? 9 : 6]!;
  const type = protocol === 17 ? GSO_UDP_L4 : v4 ? GSO_TCPV4 : GSO_TCPV6;
  const headers = l4 + (protocol === 6 ? (packet[l4 + 12]! >> 4) * 4 : 8);
  const field = protocol === 6 ? 16 : 6;
  const size = record[UP_GSO_SIZE]!;
  assert.ok(protocol === 6 || protocol === 17, "protocol of a super-segment");
  if (v4) assert.equal(packet[0], 0x45, "IPv4 options in a super-segment");
  if (v4) assert.equal(checksum(packet.subarray(0, 20)), 0, "IPv4 header checksum of a super-segment");
  assert.deepEqual(
    [record[UP_FLAGS], record[UP_GSO_TYPE], record[UP_CSUM_START], record[UP_CSUM_OFFSET], record[UP_HEADER_LENGTH]],
    [RX_NEEDS_CSUM, type, l4, field, headers],
    "virtio header",
  );
  assert.equal(totalLength(packet), packet.length, "length of a super-segment");
  if (protocol === 17) assert.equal(get16(packet, l4 + 4), packet.length - l4, "UDP length of a super-segment");
  assert.equal(get16(packet, l4 + field) % 0xffff, (~pseudo(packet, l4, protocol) & 0xffff) % 0xffff, "open checksum");
  assert.ok(size > 0 && packet.length > headers + size, "a super-segment has more than one packet");

  const out: Uint8Array[] = [];
  for (let at = headers; at < packet.length; at += size) {
    const last = at + size >= packet.length;
    const one = Uint8Array.from(Buffer.concat([packet.subarray(0, headers), packet.subarray(at, at + size)]));
    if (v4) set16(one, 4, (get16(packet, 4) + out.length) & 0xffff);
    if (protocol === 6) {
      const sequence = (get32(packet, l4 + 4) + at - headers) >>> 0;
      set16(one, l4 + 4, sequence >>> 16);
      set16(one, l4 + 6, sequence & 0xffff);
      if (!last) one[l4 + 13]! &= ~FIN_PSH;
      if (out.length > 0) one[l4 + 13]! &= ~CWR;
    }
    finishPacket(one, l4, protocol);
    out.push(one);
  }
  if (protocol === 17) assert.ok(out.length <= DATAGRAMS_MOST, `${out.length} datagrams in one write`);
  return out;
}

/** Finishes the checksum of a single packet that was left open, as its virtio header says. */
function finishOpen(packet: Uint8Array, record: Int32Array): void {
  const { l4, protocol } = transportOf(packet);
  const field = protocol === 6 ? 16 : 6;
  const words = [record[UP_FLAGS], record[UP_CSUM_START], record[UP_CSUM_OFFSET]];
  assert.deepEqual(words, [RX_NEEDS_CSUM, l4, field], "virtio header of a single packet");
  assert.equal(get16(packet, l4 + field), ~pseudo(packet, l4, protocol) & 0xffff, "open checksum of a single packet");
  set16(packet, l4 + field, checksum(packet.subarray(l4)) || (protocol === 17 ? 0xffff : 0));
}

/** All that a queue toward the kernel holds, taken apart. */
export function segmented(pool: Uint8Array, queue: TxQueue): Write[] {
  assert.ok(queue.count * UP_STRIDE <= queue.records.length && queue.iovCount * 2 <= queue.iovs.length, "room in the queue");
  return Array.from({ length: queue.count }, (_, i) => {
    const record = queue.records.slice(i * UP_STRIDE, (i + 1) * UP_STRIDE);
    const [start, pairs] = [record[UP_IOV_START]!, record[UP_IOV_COUNT]!];
    assert.ok(pairs > 0 && pairs <= PAIRS_MOST && start + pairs <= queue.iovCount, `${pairs} gather pairs`);
    const parts: Uint8Array[] = [];
    for (let k = start; k < start + pairs; k++) {
      const [offset, length] = [queue.iovs[2 * k]!, queue.iovs[2 * k + 1]!];
      assert.ok(length > 0 && offset >= 0 && offset + length <= pool.length, "a gather pair in the pool");
      parts.push(pool.subarray(offset, offset + length));
    }
    const packet = Uint8Array.from(Buffer.concat(parts));
    assert.equal(packet.length, record[UP_LENGTH], "bytes of a write");
    assert.ok(packet.length <= 65_535, `${packet.length} bytes in one write`);
    if (record[UP_GSO_TYPE] !== GSO_NONE) return { packets: segment(packet, record), length: packet.length, pairs };
    assert.equal(record[UP_GSO_SIZE], 0, "a packet that goes alone");
    if (record[UP_FLAGS] !== 0) finishOpen(packet, record);
    return { packets: [packet], length: packet.length, pairs };
  });
}
