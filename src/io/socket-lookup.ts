/** Whether a TCP or UDP socket for exactly a flow exists on this host, asked of the kernel in batches. */
import { type Native, type NativeHandle, native } from "./native.ts";

/** Words of one query. The flow is as the client's packets have it: source is the client, destination the VIP. */
export const QUERY_FAMILY = 0; // 4 or 6
export const QUERY_PROTOCOL = 1; // 6 or 17
/** Addresses: 4 words in host order; for IPv4 the address is in the last word, the others are ignored. */
export const QUERY_SOURCE = 2;
export const QUERY_DESTINATION = 6;
export const QUERY_SOURCE_PORT = 10;
export const QUERY_DESTINATION_PORT = 11;
export const QUERY_STRIDE = 12;

export const ANSWER_NONE = 0;
export const ANSWER_FOUND = 1;
/** No answer: a query that is none, or the kernel was short of memory. To be asked again, not to be remembered. */
export const ANSWER_UNKNOWN = 255;
export type Answer = typeof ANSWER_NONE | typeof ANSWER_FOUND | typeof ANSWER_UNKNOWN;

/**
 * A batch of look-ups over a descriptor of openSockDiag(), which stays the caller's to close. Found is a TCP connection in
 * any state from half-open to TIME_WAIT, never a listener, and a UDP socket connected to the client. IPv4 flows of
 * dual-stack sockets are found. Sockets bound to a device (SO_BINDTODEVICE) and sockets of other namespaces are not.
 */
export class SocketLookup {
  /** QUERY_* records, to be filled by add() or directly. */
  readonly queries: Int32Array;
  /** What run() found, by query. */
  readonly answers: Uint8Array;
  readonly capacity: number;
  /** Queries in the batch. */
  count = 0;
  readonly #handle: NativeHandle;
  readonly #native: Native;

  /** `capacity` is 1 to 1024 queries. */
  constructor(fd: number, capacity: number) {
    this.#native = native();
    this.capacity = capacity;
    this.queries = new Int32Array(capacity * QUERY_STRIDE);
    this.answers = new Uint8Array(capacity);
    this.#handle = this.#native.createSocketLookup(fd, this.queries, this.answers);
  }

  /**
   * Adds a flow: addresses word by word, IPv4 in the last one with the others ignored. Returns its index in the batch, -1
   * when the batch is full.
   */
  add(
    family: number,
    protocol: number,
    source0: number,
    source1: number,
    source2: number,
    source3: number,
    destination0: number,
    destination1: number,
    destination2: number,
    destination3: number,
    sourcePort: number,
    destinationPort: number,
  ): number {
    if (this.count >= this.capacity) return -1;
    const { queries } = this;
    const at = this.count * QUERY_STRIDE;
    queries[at + QUERY_FAMILY] = family;
    queries[at + QUERY_PROTOCOL] = protocol;
    queries[at + QUERY_SOURCE] = source0;
    queries[at + QUERY_SOURCE + 1] = source1;
    queries[at + QUERY_SOURCE + 2] = source2;
    queries[at + QUERY_SOURCE + 3] = source3;
    queries[at + QUERY_DESTINATION] = destination0;
    queries[at + QUERY_DESTINATION + 1] = destination1;
    queries[at + QUERY_DESTINATION + 2] = destination2;
    queries[at + QUERY_DESTINATION + 3] = destination3;
    queries[at + QUERY_SOURCE_PORT] = sourcePort;
    queries[at + QUERY_DESTINATION_PORT] = destinationPort;
    return this.count++;
  }

  /** Answers all queries. Throws a NativeError only when the descriptor is unusable. */
  run(): void {
    this.#native.lookUpSockets(this.#handle, this.count);
  }

  /** What run() found for query `index`. */
  found(index: number): Answer {
    return this.answers[index] as Answer;
  }

  /** Empties the batch; answers stay until the next run(). */
  clear(): void {
    this.count = 0;
  }
}
