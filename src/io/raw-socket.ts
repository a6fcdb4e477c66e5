/** Packets of our own, with their IP header, through raw sockets. */
import { type Native, type NativeHandle, native } from "./native.ts";
import { createTxQueue, type PacketSink, type TxQueue, UP_STRIDE } from "./packet-io.ts";

/** Sink of UP_* records over descriptors of openRawSender(), -1 for a family there is none of; capacities as in createTxQueue(). */
export class RawSink implements PacketSink {
  readonly queue: TxQueue;
  readonly #sink: NativeHandle;
  readonly #native: Native;

  constructor(fd4: number, fd6: number, pool: Uint8Array, messages: number) {
    this.#native = native();
    this.queue = createTxQueue(UP_STRIDE, messages, messages, 1);
    this.#sink = this.#native.createRawSink(pool, fd4, fd6, this.queue.records, this.queue.iovs, this.queue.sums);
  }

  /** One send each; what the kernel refuses (no route, say) is counted, not retried. */
  flush(): number {
    const { queue } = this;
    const lost = this.#native.send(this.#sink, queue.count, queue.iovCount, queue.sumCount);
    queue.count = 0;
    queue.iovCount = 0;
    queue.sumCount = 0;
    return lost;
  }
}
