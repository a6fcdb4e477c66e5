/** Packets from and to the kernel through a queue of a TUN device. */
import { type Native, type NativeHandle, native } from "./native.ts";
import {
  createTxQueue,
  LINK_RAW,
  type PacketSink,
  type PacketSource,
  RX_STRIDE,
  type RxBurst,
  type TxQueue,
  UP_STRIDE,
} from "./packet-io.ts";

/**
 * Source over a descriptor of openTun(), which stays the caller's to close. Slots as in PacketSocketSource; one byte of each
 * is lost, as a packet that fills its slot cannot be told from one that was cut.
 */
export class TunSource implements PacketSource {
  readonly link = LINK_RAW;
  readonly burst: RxBurst;
  readonly #receiver: NativeHandle;
  readonly #native: Native;

  constructor(fd: number, pool: Uint8Array, first: number, slotSize: number, slots: number) {
    this.#native = native();
    this.burst = { records: new Int32Array(slots * RX_STRIDE), count: 0 };
    this.#receiver = this.#native.createReceiver("tun", fd, pool, first, slotSize, slots, this.burst.records);
  }

  /** Throws a NativeError (EBADFD) when the device is gone. */
  receive(): number {
    this.burst.count = this.#native.receive(this.#receiver);
    return this.burst.count;
  }
}

/** Sink of UP_* records over a descriptor of openTun(); capacities as in createTxQueue(). */
export class TunSink implements PacketSink {
  readonly queue: TxQueue;
  readonly #sink: NativeHandle;
  readonly #native: Native;

  constructor(fd: number, pool: Uint8Array, messages: number, iovs: number, sums: number) {
    this.#native = native();
    this.queue = createTxQueue(UP_STRIDE, messages, iovs, sums);
    this.#sink = this.#native.createTunSink(pool, fd, this.queue.records, this.queue.iovs, this.queue.sums);
  }

  /** Every packet is a write of its own; one the kernel refuses (device down, header wrong) is counted, not retried. */
  flush(): number {
    const { queue } = this;
    const lost = this.#native.send(this.#sink, queue.count, queue.iovCount, queue.sumCount);
    queue.count = 0;
    queue.iovCount = 0;
    queue.sumCount = 0;
    return lost;
  }
}
