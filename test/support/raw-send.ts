/** Sends packets with their IP headers as they are, from this network namespace. */
import { native } from "../../src/io/native.ts";
import { UP_IOV_COUNT, UP_IOV_START, UP_LENGTH, UP_STRIDE } from "../../src/io/packet-io.ts";
import { RawSink } from "../../src/io/raw-socket.ts";

/** All of one family, 64 at most, 1 MB together. Throws when the kernel does not take them. */
export function sendRaw(packets: readonly Uint8Array[], family: 4 | 6): void {
  const fd = native().openRawSender(family);
  try {
    const pool = new Uint8Array(1 << 20);
    const sink = new RawSink(family === 4 ? fd : -1, family === 6 ? fd : -1, pool, 64);
    const { queue } = sink;
    let at = 0;
    for (const packet of packets) {
      pool.set(packet, at);
      const r = queue.count++ * UP_STRIDE;
      queue.iovs.set([at, packet.length], queue.iovCount * 2);
      queue.records[r + UP_IOV_START] = queue.iovCount++;
      queue.records[r + UP_IOV_COUNT] = 1;
      queue.records[r + UP_LENGTH] = packet.length;
      at += packet.length;
    }
    if (sink.flush() > 0) throw new Error("packets were not taken");
  } finally {
    native().close(fd);
  }
}
