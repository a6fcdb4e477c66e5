/** AF_PACKET against the kernel. Run by kernel.test.ts in a namespace: TUN hp-tun -> kernel forwards -> veth hp-a = hp-b, where the sockets are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketSocketSource } from "../../src/io/af-packet.ts";
import { native } from "../../src/io/native.ts";
import {
  GSO_TCPV4,
  GSO_TCPV6,
  HEADROOM,
  LINK_ETHERNET,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_CWR_FIRST,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_LENGTH,
  RX_NEEDS_CSUM,
  RX_OFFSET,
  RX_STRIDE,
  RX_TRUNCATED,
} from "../../src/io/packet-io.ts";
import { TunSink } from "../../src/io/tun.ts";
import { ip, sysctl, until } from "../support/netns.ts";
import { QueueWriter } from "../support/queue-writer.ts";
import { l4ChecksumGood, pattern, rawPacket } from "../support/raw-packet.ts";

const SLOT = HEADROOM + 65536 + 192;
const SLOTS = 32;
const ETHERNET = 14;
const n = native();

const tunFd = n.openTun("hp-tun", true);
ip("link set hp-tun up");
ip("link add hp-a address 02:00:00:00:00:0a type veth peer name hp-b address 02:00:00:00:00:0b");
for (const path of ["ipv4/conf/all/rp_filter", "ipv4/conf/hp-tun/rp_filter", "ipv6/conf/hp-b/disable_ipv6"]) {
  sysctl(`net/${path}`, path.startsWith("ipv6") ? 1 : 0);
}
sysctl("net/ipv4/ip_forward", 1);
sysctl("net/ipv6/conf/all/forwarding", 1);
sysctl("net/ipv4/conf/hp-b/forwarding", 0); // else what arrives there would go round again
ip("link set hp-b up");
ip("link set hp-a up");
ip("addr add 10.9.0.1/24 dev hp-a");
ip("addr add fd00:9::1/64 dev hp-a nodad");
ip("addr add 10.8.0.1/24 dev hp-tun");
ip("addr add fd00:8::1/64 dev hp-tun nodad");
for (const address of ["10.9.0.2", "10.9.0.3", "fd00:9::2"])
  ip(`neigh add ${address} lladdr 02:00:00:00:00:0b dev hp-a nud permanent`);

const pool = new Uint8Array(2 * SLOTS * SLOT + (1 << 20));
const sink = new TunSink(tunFd, pool, 128, 256, 128);
const writer = new QueueWriter(sink.queue, pool, 2 * SLOTS * SLOT);

/** Classic BPF: IPv4 to an address, or nothing but IPv6 TCP when null. */
function filterFor(address: number | null): Uint8Array {
  const program =
    address === null
      ? [
          [0x28, 0, 0, 12],
          [0x15, 0, 3, 0x86dd],
          [0x30, 0, 0, 20],
          [0x15, 0, 1, 6],
          [0x06, 0, 0, 0x40000],
          [0x06, 0, 0, 0],
        ]
      : [
          [0x28, 0, 0, 12],
          [0x15, 0, 3, 0x0800],
          [0x20, 0, 0, 30],
          [0x15, 0, 1, address],
          [0x06, 0, 0, 0x40000],
          [0x06, 0, 0, 0],
        ];
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach(([code, yes, no, k], i) => {
    view.setUint16(8 * i, code!, true);
    view.setUint8(8 * i + 2, yes!);
    view.setUint8(8 * i + 3, no!);
    view.setUint32(8 * i + 4, k!, true);
  });
  return bytes;
}

function sendUdp(destination: string, sourcePort = 1000, length = 40): void {
  const packet = rawPacket({
    source: "10.8.0.2",
    destination,
    protocol: "udp",
    sourcePort,
    destinationPort: 53,
    payload: pattern(length),
  });
  writer.up([packet.bytes]);
}

function open(filter: Uint8Array | null, group = -1, first = 0, slotSize = SLOT): { fd: number; source: PacketSocketSource } {
  const fd = n.openPacketSocket("hp-b", group, 4 << 20, filter);
  return { fd, source: new PacketSocketSource(fd, LINK_ETHERNET, pool, first, slotSize, SLOTS) };
}

for (const [family, source, destination, type, cwr] of [
  [4, "10.8.0.2", "10.9.0.2", GSO_TCPV4, 0],
  [6, "fd00:8::2", "fd00:9::2", GSO_TCPV6, RX_CWR_FIRST],
] as const) {
  test(`a TCP super-segment of IPv${family} comes whole, with a checksum to finish and what it says of CWR (${cwr})`, async () => {
    const { fd, source: packets } = open(family === 4 ? filterFor(0x0a090002) : filterFor(null));
    const packet = rawPacket({
      source,
      destination,
      protocol: "tcp",
      sourcePort: 1,
      destinationPort: 80,
      payload: pattern(50_000),
      partial: true,
    });
    const headers = packet.ipLength + packet.l4Length;
    writer.up([packet.bytes.subarray(0, headers), packet.bytes.subarray(headers)], {
      flags: RX_NEEDS_CSUM | cwr,
      type,
      size: 1400,
      start: packet.ipLength,
      offset: 16,
      headers,
    });
    assert.equal(sink.flush(), 0);
    await until("frame", () => packets.receive() > 0);
    assert.equal(packets.burst.count, 1);
    const record = packets.burst.records.subarray(0, RX_STRIDE);
    const offset = record[RX_OFFSET]!;
    assert.equal(offset, HEADROOM);
    assert.equal(record[RX_LENGTH], ETHERNET + packet.bytes.length);
    assert.equal(record[RX_FLAGS], RX_NEEDS_CSUM | cwr);
    assert.equal(record[RX_GSO_TYPE], type);
    assert.equal(record[RX_GSO_SIZE], 1400);
    assert.equal(record[RX_CSUM_START], ETHERNET + packet.ipLength);
    assert.equal(record[RX_CSUM_OFFSET], 16);
    // Finishing the sum makes the one big packet right.
    const start = offset + record[RX_CSUM_START]!;
    n.sumChecksums(pool, Int32Array.of(start, packet.bytes.length - packet.ipLength, 0, 0, start + 16, 0), 1);
    const inner = pool.slice(offset + ETHERNET, offset + ETHERNET + packet.bytes.length);
    assert.ok(l4ChecksumGood(inner, packet.ipLength));
    assert.deepEqual(inner.subarray(headers), packet.bytes.subarray(headers));
    assert.equal(packets.receive(), 0);
    n.close(fd);
  });
}

test("the filter keeps other packets out and can be replaced while traffic flows", async () => {
  const { fd, source } = open(filterFor(0x0a090002));
  const destinationOf = (i: number) => source.burst.records[i * RX_STRIDE + RX_OFFSET]! + ETHERNET + 19;
  for (let round = 0; round < 10; round++) for (const last of [2, 3]) sendUdp(`10.9.0.${last}`);
  assert.equal(sink.flush(), 0);
  await until("packets", () => source.receive() > 0);
  assert.equal(source.burst.count, 10);
  for (let i = 0; i < 10; i++) assert.equal(pool[destinationOf(i)], 2);
  n.setFilter(fd, filterFor(0x0a090003));
  for (const last of [2, 3, 2]) sendUdp(`10.9.0.${last}`);
  assert.equal(sink.flush(), 0);
  await until("packets", () => source.receive() > 0);
  assert.equal(source.burst.count, 1);
  assert.equal(pool[destinationOf(0)], 3);
  assert.deepEqual(n.packetStatistics(fd), [11, 0]);
  assert.deepEqual(n.packetStatistics(fd), [0, 0]);
  n.close(fd);
});

test("a fanout group shares the packets: each comes once, a flow always to the same member", async () => {
  const members = [open(filterFor(0x0a090002), 77), open(filterFor(0x0a090002), 77, SLOTS * SLOT)];
  const seen = new Map<number, number>();
  for (let round = 0; round < 2; round++) {
    for (let port = 1000; port < 1016; port++) sendUdp("10.9.0.2", port);
    assert.equal(sink.flush(), 0);
    let total = 0;
    await until("all", () => {
      members.forEach(({ source }, member) => {
        for (let i = source.receive() - 1; i >= 0; i--, total++) {
          const at = source.burst.records[i * RX_STRIDE + RX_OFFSET]! + ETHERNET + 20;
          const port = (pool[at]! << 8) | pool[at + 1]!;
          assert.equal(seen.get(port) ?? member, member);
          seen.set(port, member);
        }
      });
      return total >= 16;
    });
    assert.equal(total, 16);
  }
  assert.equal(new Set(seen.values()).size, 2, "both members take part");
  for (const { fd } of members) n.close(fd);
});

test("a frame longer than its slot is marked", async () => {
  const { fd, source } = open(filterFor(0x0a090002), -1, 0, HEADROOM + 64);
  pool.fill(0xa5, 0, 4 * (HEADROOM + 64));
  sendUdp("10.9.0.2");
  assert.equal(sink.flush(), 0);
  await until("packet", () => source.receive() > 0);
  assert.equal(source.burst.records[RX_FLAGS], RX_TRUNCATED);
  assert.equal(source.burst.records[RX_LENGTH], 64);
  assert.equal(pool[HEADROOM + 64], 0xa5, "nothing behind the slot");
  n.close(fd);
});

test("frames longer than their slots lie whole in large slots, of which each serves one frame of a burst", async () => {
  const [slot, large, count] = [HEADROOM + 64, HEADROOM + 600, 4];
  const first = 16 * slot;
  const fd = n.openPacketSocket("hp-b", -1, 4 << 20, filterFor(0x0a090002));
  const places = { first, size: large, count };
  const source = new PacketSocketSource(fd, LINK_ETHERNET, pool, 0, slot, 16, places);
  const headers = ETHERNET + 28;
  /** Sends payloads of these lengths; gives what has come: the payload's length, or what is wrong. */
  const exchange = async (...lengths: number[]): Promise<(number | string)[]> => {
    pool.fill(0xa5, 0, first + count * large + 64);
    for (const length of lengths) sendUdp("10.9.0.2", 1000, length);
    assert.equal(sink.flush(), 0);
    await until("packets", () => source.receive() > 0);
    return Array.from({ length: source.burst.count }, (_, i) => {
      const record = source.burst.records.subarray(i * RX_STRIDE);
      const [at, length] = [record[RX_OFFSET]! + headers, record[RX_LENGTH]! - headers];
      if (!Buffer.from(pattern(length)).equals(pool.subarray(at, at + length))) return "wrong bytes";
      return record[RX_FLAGS] === RX_TRUNCATED ? `cut at ${length}` : length;
    });
  };
  assert.deepEqual(await exchange(22, 23, 5, 400), [22, 23, 5, 400]);
  assert.equal(pool[first + count * large], 0xa5, "nothing behind the large slots");
  // From now on a burst is no longer than there are large slots.
  assert.deepEqual(await exchange(100, 200, 300, 400, 500, 22), [100, 200, 300, 400]);
  assert.equal(source.receive(), 2);
  for (let i = 0; i < 256; i++) assert.equal(source.receive(), 0);
  assert.deepEqual(await exchange(100, 1, 200, 300, 400, 2, 500), ["cut at 22", 1, "cut at 22", 300, 400, 2, 500]);
  assert.deepEqual(await exchange(600), [`cut at ${600 - headers}`]);
  assert.throws(
    () => n.addLargeSlots(n.createReceiver("tun", fd, pool, 0, slot, 1, new Int32Array(RX_STRIDE)), pool, 0, 999, 1),
    {
      message: "large slots are for a packet socket, once",
    },
  );
  n.close(fd);
});

test("a device set down gives nothing until it is up again; one deleted is an error", async () => {
  const { fd, source } = open(filterFor(0x0a090002));
  ip("link set hp-b down");
  for (let i = 0; i < 3; i++) assert.equal(source.receive(), 0);
  ip("link set hp-b up");
  await until("packet", () => {
    sendUdp("10.9.0.2");
    sink.flush();
    return source.receive() > 0;
  });
  ip("link del hp-b");
  assert.throws(() => source.receive(), { code: "ENETDOWN", message: "recvmmsg: ENETDOWN: the device is gone" });
  n.close(fd);
});
