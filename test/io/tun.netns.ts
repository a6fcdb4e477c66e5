/** TUN against the kernel: packets delivered to local sockets, packets read from routes. Run by kernel.test.ts in a namespace. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { release } from "node:os";
import { test } from "node:test";
import { GueSink, GueSource } from "../../src/io/gue-socket.ts";
import { native } from "../../src/io/native.ts";
import {
  GSO_TCPV4,
  GSO_UDP_L4,
  GUE_SOURCE_PORTS,
  HEADROOM,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_LENGTH,
  RX_NEEDS_CSUM,
  RX_OFFSET,
  RX_PEER,
  RX_STRIDE,
  RX_TRUNCATED,
  SUM_STRIDE,
} from "../../src/io/packet-io.ts";
import { TunSink, TunSource } from "../../src/io/tun.ts";
import { ip, sysctl, until } from "../support/netns.ts";
import { QueueWriter } from "../support/queue-writer.ts";
import { l4ChecksumGood, pattern, rawPacket } from "../support/raw-packet.ts";

const SLOT = HEADROOM + 65536 + 192;
const SLOTS = 16;
const n = native();
const queues = [n.openTun("hp-tun", true), n.openTun("hp-tun", true)];
for (const path of ["all", "hp-tun"]) sysctl(`net/ipv4/conf/${path}/rp_filter`, 0);
ip("link set lo up");
ip("link set hp-tun up mtu 1500");
ip("addr add 192.0.2.10/32 dev lo");
ip("addr add 2001:db8::10/128 dev lo nodad");
ip("addr add 10.8.0.1/24 dev hp-tun");
ip("addr add fd00:8::1/64 dev hp-tun nodad");

const pool = new Uint8Array(2 * SLOTS * SLOT + (1 << 20));
const sink = new TunSink(queues[0]!, pool, 64, 256, 64);
const writer = new QueueWriter(sink.queue, pool, 2 * SLOTS * SLOT);
const sources = queues.map((fd, i) => new TunSource(fd, pool, i * SLOTS * SLOT, SLOT, SLOTS));

/** All packets that come within the time limit, from both queues, until `enough` says so. */
async function receiveAll(accept: (record: Int32Array) => boolean): Promise<Int32Array[]> {
  const found: Int32Array[] = [];
  await until("packet from the TUN", () => {
    for (const source of sources) {
      const count = source.receive();
      for (let i = 0; i < count; i++) {
        const record = source.burst.records.slice(i * RX_STRIDE, (i + 1) * RX_STRIDE);
        if (accept(record)) found.push(record);
      }
    }
    return found.length > 0;
  });
  return found;
}

const portOf = (record: Int32Array, ipLength: number): number => {
  const at = record[RX_OFFSET]! + ipLength + 2;
  return (pool[at]! << 8) | pool[at + 1]!;
};

for (const [type, client, vip] of [
  ["udp4", "198.51.100.7", "192.0.2.10"],
  ["udp6", "2001:db8:1::7", "2001:db8::10"],
] as const) {
  test(`${type}: a written packet reaches the socket on the VIP, its checksum finished on the way`, async (t) => {
    const server = createSocket(type);
    t.after(() => server.close());
    server.bind(5300, vip);
    await once(server, "listening");
    const payload = pattern(1001);
    const packet = rawPacket({
      source: client,
      destination: vip,
      protocol: "udp",
      sourcePort: 9,
      destinationPort: 5300,
      payload,
      partial: true,
    });
    const middle = 500;
    const begin = writer.up([packet.bytes.subarray(0, middle), packet.bytes.subarray(middle)]);
    const start = begin + packet.ipLength;
    sink.queue.sums.set([start, middle - packet.ipLength, begin + middle, packet.bytes.length - middle, start + 6, 1]);
    sink.queue.sumCount = 1;
    assert.equal(sink.queue.sums.length % SUM_STRIDE, 0);
    const arrived = once(server, "message");
    assert.equal(sink.flush(), 0);
    const [message, peer] = await arrived;
    assert.deepEqual(new Uint8Array(message), payload);
    assert.equal(peer.address, client);
  });
}

test("a UDP super-segment written at once arrives as its datagrams", async (t) => {
  const server = createSocket("udp4");
  t.after(() => server.close());
  server.bind(5301, "192.0.2.10");
  await once(server, "listening");
  const packet = rawPacket({
    source: "198.51.100.7",
    destination: "192.0.2.10",
    protocol: "udp",
    sourcePort: 9,
    destinationPort: 5301,
    payload: pattern(4300),
    partial: true,
  });
  const sizes: number[] = [];
  server.on("message", (message: Buffer) => sizes.push(message.length));
  writer.up([packet.bytes], { flags: RX_NEEDS_CSUM, type: GSO_UDP_L4, size: 1000, start: 20, offset: 6, headers: 28 });
  if (sink.flush() !== 0) return t.skip("needs Linux 6.2: this kernel takes no UDP super-segments");
  await until("datagrams", () => sizes.length === 5);
  assert.deepEqual(sizes, [1000, 1000, 1000, 1000, 300]);
});

test("GUE over IPv6 without an outer checksum is taken, as Linux fou does", async () => {
  const fd = n.openGueReceiver("2001:db8::10", 6080, true, true, 0);
  const source = new GueSource(fd, pool, 0, SLOT, SLOTS);
  const payload = pattern(200);
  const addresses = { source: "2001:db8:1::7", destination: "2001:db8::10" };
  const packet = rawPacket({ ...addresses, protocol: "udp", sourcePort: 50000, destinationPort: 6080, payload });
  packet.bytes.fill(0, 46, 48);
  writer.up([packet.bytes]);
  assert.equal(sink.flush(), 0);
  await until("datagram", () => source.receive() > 0);
  assert.equal(source.burst.records[RX_LENGTH], 200);
  assert.deepEqual([...source.burst.records.subarray(RX_PEER, RX_PEER + 4)], [0x20010db8, 0x00010000, 0, 7]);
  n.close(fd);
});

test("what is routed to the device is read raw, from one of its queues", async (t) => {
  const client = createSocket("udp4");
  t.after(() => client.close());
  client.send(pattern(600), 4000, "10.8.0.2");
  const [record] = await receiveAll((r) => portOf(r, 20) === 4000);
  assert.equal(record![RX_LENGTH], 628);
  assert.equal(record![RX_GSO_TYPE], 0);
  assert.equal((record![RX_OFFSET]! - HEADROOM) % SLOT, 0);
  const offset = record![RX_OFFSET]!;
  const bytes = pool.slice(offset, offset + 628);
  if (record![RX_FLAGS]! & RX_NEEDS_CSUM) {
    n.sumChecksums(bytes, Int32Array.of(20, 608, 0, 0, 26, 1), 1);
  }
  assert.ok(l4ChecksumGood(bytes, 20));
  assert.deepEqual(bytes.subarray(28), pattern(600));
});

test("a train sent into the device is read as one UDP super-segment where the kernel can", async () => {
  const senders = Array.from({ length: GUE_SOURCE_PORTS }, (_, i) => n.openGueSender("10.8.0.1", 49152 + i));
  const gue = new GueSink({ ipv4: senders, ipv6: [] }, 6080, true, pool, 8, 64, 1);
  new QueueWriter(gue.queue, pool, 2 * SLOTS * SLOT).gue("10.8.0.3", [pattern(10_000)], { segmentSize: 1000, source: 3 });
  assert.equal(gue.flush(), 0);
  const [record] = await receiveAll((r) => portOf(r, 20) === 6080);
  if (record![RX_GSO_TYPE] !== 0) {
    assert.equal(record![RX_GSO_TYPE], GSO_UDP_L4);
    assert.equal(record![RX_GSO_SIZE], 1000);
    assert.equal(record![RX_LENGTH], 10_028);
  } else {
    assert.equal(record![RX_LENGTH], 1028);
  }
  for (const fd of senders) n.close(fd);
});

test("a packet longer than its slot is marked and the next one is whole", async (t) => {
  const slot = HEADROOM + 256;
  const small = queues.map((fd) => new TunSource(fd, pool, 0, slot, SLOTS));
  const client = createSocket("udp4");
  t.after(() => client.close());
  client.send(pattern(600), 4001, "10.8.0.2");
  client.send(pattern(100), 4001, "10.8.0.2");
  const found: number[][] = [];
  await until("two packets", () => {
    for (const source of small) {
      const count = source.receive();
      for (let i = 0; i < count; i++) {
        const at = i * RX_STRIDE;
        const record = source.burst.records.subarray(at, at + RX_STRIDE);
        if (portOf(record, 20) === 4001) found.push([record[RX_FLAGS]! & RX_TRUNCATED, record[RX_LENGTH]!]);
      }
    }
    return found.length === 2;
  });
  found.sort((a, b) => a[1]! - b[1]!);
  assert.deepEqual(found, [
    [0, 128],
    [RX_TRUNCATED, 256],
  ]);
});

test("records that contradict themselves or the kernel are counted, the others still go", async (t) => {
  const server = createSocket("udp4");
  t.after(() => server.close());
  server.bind(5302, "192.0.2.10");
  await once(server, "listening");
  const good = rawPacket({
    source: "198.51.100.7",
    destination: "192.0.2.10",
    protocol: "udp",
    sourcePort: 9,
    destinationPort: 5302,
    payload: pattern(9),
  });
  writer.up([good.bytes], { size: 70_000 }); // no 16-bit number
  writer.up([good.bytes], { flags: RX_NEEDS_CSUM, type: GSO_TCPV4, size: 100, start: 60_000, offset: 6 }); // beyond the packet
  writer.up([good.bytes]);
  sink.queue.records[2 * 12 + 2] = 5; // length is not the sum of the pairs
  writer.up([good.bytes]);
  const arrived = once(server, "message");
  assert.equal(sink.flush(), 3);
  await arrived;
});

test("names that are taken, and a device that goes away", () => {
  ip("tuntap add hp-single mode tun");
  assert.throws(() => n.openTun("hp-single", false), {
    code: "EINVAL",
    message:
      "ioctl(TUNSETIFF) on hp-single: EINVAL: the name is taken by a device that is no multi-queue TUN, or is not a valid name",
  });
  assert.throws(() => n.openTun("lo", false), { code: "EINVAL", syscall: "ioctl" });
  ip("link set hp-tun down");
  writer.up([pattern(60)]);
  assert.equal(sink.flush(), 1);
  for (const source of sources) source.receive();
  ip("link del hp-tun");
  assert.throws(() => sources[0]!.receive(), { code: "EBADFD", message: "read(TUN): EBADFD: the device is gone" });
  writer.up([pattern(60)]);
  assert.equal(sink.flush(), 1);
});

test("what the kernel does to many packets is tried, and nothing stays", () => {
  const links = (): string => ip("-o link show");
  const before = links();
  const can = native().testOffloads();
  assert.equal(links(), before);
  assert.equal(can & 4, 4, "every kernel we run on takes TCP");
  const [major, minor] = release().split(".").map(Number) as [number, number];
  assert.equal(can & 8, major > 6 || (major === 6 && minor >= 2) ? 8 : 0);
  assert.equal(can & 3, native().hasUdpSegment() ? 3 : 0);
  // Where loopback is down, nothing can be tried there: what the kernel knows counts.
  ip("link set lo down");
  assert.equal(native().testOffloads(), can);
  ip("link set lo up");
});
