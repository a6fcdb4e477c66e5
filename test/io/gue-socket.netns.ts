/** GUE sockets over the loopback device of a namespace, IPv4 and IPv6. Run by kernel.test.ts. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { GueSink, GueSource } from "../../src/io/gue-socket.ts";
import { native } from "../../src/io/native.ts";
import {
  GUE_SOURCE_PORTS,
  HEADROOM,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_LENGTH,
  RX_OFFSET,
  RX_PEER,
  RX_STRIDE,
  RX_TRAFFIC_CLASS,
} from "../../src/io/packet-io.ts";
import { ip, until } from "../support/netns.ts";
import { QueueWriter } from "../support/queue-writer.ts";
import { pattern } from "../support/raw-packet.ts";

const SLOT = HEADROOM + 65536 + 192;
const SLOTS = 32;
const SEND_AREA = SLOTS * SLOT;
const n = native();
ip("link set lo up");
ip("addr add 10.0.1.11/32 dev lo");
ip("addr add fd00:1::11/128 dev lo nodad");

const pool = new Uint8Array(SEND_AREA + (4 << 20));
const ports = Array.from({ length: GUE_SOURCE_PORTS }, (_, i) => 49152 + i);
const senders = {
  ipv4: ports.map((port) => n.openGueSender("10.0.1.11", port)),
  ipv6: ports.map((port) => n.openGueSender("fd00:1::11", port)),
};
const sink = new GueSink(senders, 6080, true, pool, 256, 1024, 1);
const writer = new QueueWriter(sink.queue, pool, SEND_AREA);

interface Datagram {
  bytes: Uint8Array;
  trafficClass: number;
}

/** Trains and datagrams of a burst one by one. */
function datagrams(source: GueSource): Datagram[] {
  const out: Datagram[] = [];
  for (let i = 0; i < source.burst.count; i++) {
    const record = source.burst.records.subarray(i * RX_STRIDE, (i + 1) * RX_STRIDE);
    const [offset, length] = [record[RX_OFFSET]!, record[RX_LENGTH]!];
    const size = record[RX_GSO_SIZE] || length;
    for (let at = 0; at < length; at += size) {
      out.push({ bytes: pool.slice(offset + at, offset + Math.min(at + size, length)), trafficClass: record[RX_TRAFFIC_CLASS]! });
    }
  }
  return out;
}

async function receive(source: GueSource, count: number): Promise<Datagram[]> {
  const found: Datagram[] = [];
  await until(`${count} datagrams`, () => {
    if (source.receive() > 0) found.push(...datagrams(source));
    return found.length >= count;
  });
  assert.equal(source.receive(), 0);
  return found;
}

/** What a train of `whole` in segments is, datagram by datagram. */
const cut = (whole: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => whole.slice(i * size, (i + 1) * size));

for (const [family, address, peer] of [
  [4, "10.0.1.11", [0, 0, 0xffff, 0x0a00010b]],
  [6, "fd00:1::11", [0xfd000001 | 0, 0, 0, 0x11]],
] as const) {
  const open = (gro: boolean): { fd: number; source: GueSource } => {
    const fd = n.openGueReceiver(address, 6080, true, gro, 4 << 20);
    return { fd, source: new GueSource(fd, pool, 0, SLOT, SLOTS) };
  };

  test(`IPv${family}: a train goes out in one send and comes in one piece, gathered from parts`, async () => {
    const { fd, source } = open(true);
    const whole = pattern(9500);
    writer.gue(address, [whole.subarray(0, 4), whole.subarray(4, 1300), whole.subarray(1300)], { segmentSize: 1000, source: 5 });
    assert.equal(sink.flush(), 0);
    await until("train", () => source.receive() > 0);
    const record = source.burst.records.subarray(0, RX_STRIDE);
    assert.equal(record[RX_FLAGS], 0);
    assert.deepEqual([...record.subarray(RX_PEER, RX_PEER + 4)], [...peer]);
    if (n.hasUdpSegment()) {
      assert.equal(source.burst.count, 1);
      assert.equal(record[RX_LENGTH], 9500);
      assert.equal(record[RX_GSO_SIZE], 1000);
    }
    assert.deepEqual(
      datagrams(source).map((d) => d.bytes),
      cut(whole, 1000),
    );
    n.close(fd);
  });

  test(`IPv${family}: the traffic class arrives, of trains and of single datagrams, and does not stick`, async () => {
    const { fd, source } = open(true);
    for (const trafficClass of [0xb9, 0, 0x03, 0xff]) writer.gue(address, [pattern(100)], { trafficClass });
    writer.gue(address, [pattern(300)], { trafficClass: 0x2a, segmentSize: 100 });
    assert.equal(sink.flush(), 0);
    const classes = (await receive(source, 7)).map((d) => d.trafficClass);
    assert.deepEqual(classes, [0xb9, 0, 0x03, 0xff, 0x2a, 0x2a, 0x2a]);
    n.close(fd);
  });

  test(`IPv${family}: a single datagram has no segment size, and a receiver without GRO gets trains cut`, async () => {
    const { fd, source } = open(false);
    writer.gue(address, [pattern(1200)], { segmentSize: 1200 });
    writer.gue(address, [pattern(3001)], { segmentSize: 1000 });
    assert.equal(sink.flush(), 0);
    const found = await receive(source, 5);
    assert.deepEqual(
      found.map((d) => d.bytes.length),
      [1200, 1000, 1000, 1000, 1],
    );
    assert.equal(source.burst.records[RX_GSO_SIZE], 0);
    n.close(fd);
  });

  test(`IPv${family}: trains longer than the kernel takes are sent in several pieces`, async () => {
    const { fd, source } = open(true);
    const many = pattern(200 * 300 + 7);
    const large = pattern(90_000);
    writer.gue(address, [many.subarray(0, 33_333), many.subarray(33_333)], { segmentSize: 300, trafficClass: 8 });
    writer.gue(address, cut(large, 700), { segmentSize: 40_000 }); // one datagram each: two do not fit 65507
    assert.equal(sink.flush(), 0);
    const found = await receive(source, 204);
    assert.deepEqual(
      found.slice(0, 201).map((d) => d.bytes),
      cut(many, 300),
    );
    assert.ok(found.slice(0, 201).every((d) => d.trafficClass === 8));
    assert.deepEqual(
      found.slice(201).map((d) => d.bytes),
      cut(large, 40_000),
    );
    n.close(fd);
  });

  test(`IPv${family}: order is kept per source port over a burst that mixes ports`, async () => {
    const { fd, source } = open(true);
    const found: Datagram[] = [];
    for (let burst = 0; burst < 4; burst++) {
      for (let i = 0; i < 200; i++) writer.gue(address, [Uint8Array.of(i % 7, burst, i)], { source: i % 7 });
      assert.equal(sink.flush(), 0);
      found.push(...(await receive(source, 200)));
    }
    for (let port = 0; port < 7; port++) {
      const order = found.filter((d) => d.bytes[0] === port).map((d) => d.bytes[1]! * 256 + d.bytes[2]!);
      assert.deepEqual(
        order,
        [...order].sort((a, b) => a - b),
      );
    }
    n.close(fd);
  });

  test(`IPv${family}: what cannot be sent is counted, and what follows still goes`, async () => {
    const { fd, source } = open(true);
    const unreachable = family === 4 ? "198.51.100.1" : "2001:db8::1";
    writer.gue(address, [Uint8Array.of(1)]);
    writer.gue(unreachable, [pattern(10)]);
    writer.gue(address, [pattern(66_000)]); // more than a datagram holds
    writer.gue(address, [Uint8Array.of(2)]);
    writer.gue(address, [pattern(10)], { source: 64 });
    writer.gue(address, [pattern(10)]);
    sink.queue.iovs[sink.queue.iovCount * 2 - 1] = pool.length; // reaches outside
    writer.gue(address, [Uint8Array.of(3)], { segmentSize: -1 });
    writer.gue(address, [Uint8Array.of(4)], { trafficClass: 256 });
    writer.gue(address, [Uint8Array.of(5)]);
    assert.equal(sink.flush(), 6);
    assert.deepEqual(
      (await receive(source, 3)).map((d) => d.bytes[0]),
      [1, 2, 5],
    );
    n.close(fd);
  });
}

test("a sender takes nothing in, and DF is set on what it sends", async () => {
  const stranger = createSocket("udp4");
  await new Promise<void>((resolve) => stranger.send("x", 49152, "10.0.1.11", () => resolve()));
  assert.equal(n.wait(n.createWaiter(Int32Array.of(senders.ipv4[0]!)), 20, 0), 0);
  stranger.close();
  ip("link set lo mtu 1500");
  writer.gue("10.0.1.11", [pattern(1473)]); // would be fragmented without DF
  writer.gue("fd00:1::11", [pattern(1453)]);
  writer.gue("10.0.1.11", [pattern(1472)]);
  assert.equal(sink.flush(), 2);
  ip("link set lo mtu 65536");
});

test("workers share ports and the flood of one flow stays with one of them", async () => {
  const receivers = [0, 1].map((i) => {
    const fd = n.openGueReceiver("10.0.1.11", 6080, true, true, 1 << 20);
    return { fd, source: new GueSource(fd, pool, (i * SLOTS * SLOT) / 2, SLOT, SLOTS / 2) };
  });
  const counts = [0, 0];
  for (let i = 0; i < 10; i++) writer.gue("10.0.1.11", [Uint8Array.of(i)], { source: 9 });
  assert.equal(sink.flush(), 0);
  await until("ten", () => {
    receivers.forEach(({ source }, i) => {
      if (source.receive() > 0) counts[i]! += datagrams(source).length;
    });
    return counts[0]! + counts[1]! === 10;
  });
  assert.ok(counts.includes(10), `${counts}`);
  for (const { fd } of receivers) n.close(fd);
});
