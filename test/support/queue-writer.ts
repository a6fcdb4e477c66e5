/** Appends messages to a TxQueue the plain way, for tests of sinks. Payloads are copied into the pool. */
import {
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
import { parseAddress } from "../../src/wire/address.ts";

export class QueueWriter {
  readonly #queue: TxQueue;
  readonly #pool: Uint8Array;
  readonly #first: number;
  #free: number;

  /** Payloads are put into the pool from `first` on. */
  constructor(queue: TxQueue, pool: Uint8Array, first: number) {
    this.#queue = queue;
    this.#pool = pool;
    this.#first = first;
    this.#free = first;
  }

  /** Copies bytes into the pool and appends a gather pair for each of `parts` of them. Returns the first pair. */
  #gather(parts: readonly Uint8Array[]): number {
    const queue = this.#queue;
    if (queue.count === 0) this.#free = this.#first;
    const start = queue.iovCount;
    for (const part of parts) {
      this.#pool.set(part, this.#free);
      queue.iovs[queue.iovCount * 2] = this.#free;
      queue.iovs[queue.iovCount * 2 + 1] = part.length;
      queue.iovCount++;
      this.#free += part.length;
    }
    return start;
  }

  /** A GUE message whose gather list is `parts`. */
  gue(to: string, parts: readonly Uint8Array[], { source = 0, segmentSize = 0, trafficClass = 0 } = {}): void {
    const address = parseAddress(to)!;
    const at = this.#queue.count * TX_STRIDE;
    const { records } = this.#queue;
    records[at + TX_IOV_START] = this.#gather(parts);
    records[at + TX_IOV_COUNT] = parts.length;
    records[at + TX_LENGTH] = parts.reduce((sum, part) => sum + part.length, 0);
    records[at + TX_SEGMENT_SIZE] = segmentSize;
    records[at + TX_TRAFFIC_CLASS] = trafficClass;
    records[at + TX_SOURCE] = source;
    records[at + TX_FAMILY] = address.family;
    records.set(address.words, at + TX_ADDRESS);
    this.#queue.count++;
  }

  /** A packet for the kernel; with `gso` a super-segment. Returns where in the pool its bytes begin. */
  up(
    parts: readonly Uint8Array[],
    gso: { flags?: number; type?: number; size?: number; start?: number; offset?: number; headers?: number } = {},
  ): number {
    const at = this.#queue.count * UP_STRIDE;
    const { records } = this.#queue;
    records[at + UP_IOV_START] = this.#gather(parts);
    const begin = this.#queue.iovs[records[at + UP_IOV_START]! * 2]!;
    records[at + UP_IOV_COUNT] = parts.length;
    records[at + UP_LENGTH] = parts.reduce((sum, part) => sum + part.length, 0);
    records[at + UP_FLAGS] = gso.flags ?? 0;
    records[at + UP_GSO_TYPE] = gso.type ?? 0;
    records[at + UP_GSO_SIZE] = gso.size ?? 0;
    records[at + UP_CSUM_START] = gso.start ?? 0;
    records[at + UP_CSUM_OFFSET] = gso.offset ?? 0;
    records[at + UP_HEADER_LENGTH] = gso.headers ?? 0;
    this.#queue.count++;
    return begin;
  }
}
