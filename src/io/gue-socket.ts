/** GUE from and to other hosts through UDP sockets. */
import { type Native, type NativeHandle, native } from "./native.ts";
import {
  createTxQueue,
  LINK_GUE,
  type PacketSink,
  type PacketSource,
  RX_STRIDE,
  type RxBurst,
  TX_STRIDE,
  type TxQueue,
} from "./packet-io.ts";

/**
 * Source over a descriptor of openGueReceiver(), which stays the caller's to close. Slots as in PacketSocketSource; with
 * UDP_GRO one slot takes a train of up to 64 KB, whose datagrams are RX_GSO_SIZE bytes each.
 */
export class GueSource implements PacketSource {
  readonly link = LINK_GUE;
  readonly burst: RxBurst;
  readonly #receiver: NativeHandle;
  readonly #native: Native;

  constructor(fd: number, pool: Uint8Array, first: number, slotSize: number, slots: number) {
    this.#native = native();
    this.burst = { records: new Int32Array(slots * RX_STRIDE), count: 0 };
    this.#receiver = this.#native.createReceiver("gue", fd, pool, first, slotSize, slots, this.burst.records);
  }

  receive(): number {
    this.burst.count = this.#native.receive(this.#receiver);
    return this.burst.count;
  }
}

/** Descriptors of openGueSender() by source port: GUE_SOURCE_PORTS of a family, or none where the host has no such DIP. */
export interface GueSenders {
  readonly ipv4: readonly number[];
  readonly ipv6: readonly number[];
}

/**
 * Sink of TX_* records that go to UDP port `port` of their addresses, in trains if `segmentation` is set and the kernel can;
 * capacities as in createTxQueue().
 */
export class GueSink implements PacketSink {
  readonly queue: TxQueue;
  readonly #sink: NativeHandle;
  readonly #native: Native;
  readonly #sends = new Int32Array(1);

  constructor(
    senders: GueSenders,
    port: number,
    segmentation: boolean,
    pool: Uint8Array,
    messages: number,
    iovs: number,
    sums: number,
  ) {
    this.#native = native();
    this.queue = createTxQueue(TX_STRIDE, messages, iovs, sums);
    const ipv4 = Int32Array.from(senders.ipv4);
    const ipv6 = Int32Array.from(senders.ipv6);
    const { records, iovs: pairs, sums: jobs } = this.queue;
    this.#sink = this.#native.createGueSink(pool, port, ipv4, ipv6, segmentation, records, pairs, jobs, this.#sends);
  }

  /** One sendmmsg per source port in use; a train the kernel cannot segment goes as single datagrams. */
  flush(): number {
    const { queue } = this;
    const lost = this.#native.send(this.#sink, queue.count, queue.iovCount, queue.sumCount);
    queue.sends += this.#sends[0]!;
    queue.count = 0;
    queue.iovCount = 0;
    queue.sumCount = 0;
    return lost;
  }
}
