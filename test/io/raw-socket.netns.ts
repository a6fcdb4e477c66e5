/** Raw sockets that only send: a packet from an address that is on no device arrives as it was written. Run by kernel.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketSocketSource } from "../../src/io/af-packet.ts";
import { native } from "../../src/io/native.ts";
import { LINK_ETHERNET, RX_LENGTH, RX_OFFSET, UP_IOV_COUNT, UP_IOV_START, UP_LENGTH } from "../../src/io/packet-io.ts";
import { RawSink } from "../../src/io/raw-socket.ts";
import { ip, until } from "../support/netns.ts";
import * as make from "../support/packets.ts";

ip("link set lo up");
ip("link add rs-near type veth peer name rs-far");
ip("link set rs-near up");
ip("link set rs-far up");
ip("address add 10.0.0.1/24 dev rs-near");
ip("address add fd00::1/64 dev rs-near nodad");
ip("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:02 dev rs-near");
ip("neighbour add fd00::2 lladdr 02:00:00:00:00:02 dev rs-near");

const pool = new Uint8Array(1 << 20);
const SLOTS = 8;
const seen = new PacketSocketSource(native().openPacketSocket("rs-far", -1, 0, null), LINK_ETHERNET, pool, 65_536, 4096, SLOTS);
const sink = new RawSink(native().openRawSender(4), native().openRawSender(6), pool, 4);

function send(packet: Uint8Array): number {
  pool.set(packet, 0);
  const { queue } = sink;
  queue.records.fill(0);
  queue.iovs.set([0, packet.length]);
  queue.records[UP_IOV_START] = 0;
  queue.records[UP_IOV_COUNT] = 1;
  queue.records[UP_LENGTH] = packet.length;
  queue.count = 1;
  queue.iovCount = 1;
  return sink.flush();
}

/** Whether the device's other end has got these bytes behind an Ethernet header. */
async function arrives(packet: Uint8Array): Promise<void> {
  const wanted = Buffer.from(packet).toString("hex");
  await until("the packet", () => {
    const count = seen.receive();
    return Array.from({ length: count }, (_, i) => {
      const at = seen.burst.records[i * 12 + RX_OFFSET]! + 14;
      const length = seen.burst.records[i * 12 + RX_LENGTH]! - 14;
      return Buffer.from(pool.subarray(at, at + length)).toString("hex");
    }).includes(wanted);
  });
}

test("packets of both families leave as they are, whatever their source", async () => {
  const needed = make.icmp("192.0.2.10", "10.0.0.2", 3, 4, [0, 0, 5, 180], make.filler(548), { id: 7, tos: 0xc0, df: true });
  assert.equal(send(needed), 0);
  await arrives(needed);
  const tooBig = make.icmp("2001:db8::10", "fd00::2", 2, 0, [0, 0, 5, 180], make.filler(1232));
  assert.equal(send(tooBig), 0);
  await arrives(tooBig);
});

test("what cannot be sent is counted: no route, no IP packet, no socket of the family", () => {
  assert.equal(send(make.udp(["192.0.2.10", 1], ["203.0.113.1", 2], make.bytes(1))), 1);
  assert.equal(send(make.filler(19)), 1);
  assert.equal(send(make.bytes(0x45, 0, 0)), 1);
  const without = new RawSink(-1, -1, pool, 1);
  without.queue.iovs.set([0, 40]);
  without.queue.records[UP_IOV_COUNT] = 1;
  without.queue.records[UP_LENGTH] = 40;
  without.queue.count = 1;
  without.queue.iovCount = 1;
  pool[0] = 0x45;
  assert.equal(without.flush(), 1);
});
