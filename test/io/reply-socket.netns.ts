/** The reply socket against the kernel. Run by kernel.test.ts in a namespace: packets come by a TUN, with source addresses that are local. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { native } from "../../src/io/native.ts";
import { ReplySocket, replyFilter } from "../../src/io/reply-socket.ts";
import { TunSink } from "../../src/io/tun.ts";
import { parseAddress } from "../../src/wire/address.ts";
import { ip, until } from "../support/netns.ts";
import * as make from "../support/packets.ts";
import { QueueWriter } from "../support/queue-writer.ts";

const tun = native().openTun("hp-tun", false);
ip("link set lo up");
ip("link set hp-tun up mtu 65535");
for (const line of ["addr add 192.0.2.10/32 dev lo", "-6 addr add 2001:db8::10/128 dev lo nodad"]) ip(line);
for (const line of ["addr add 10.8.0.1/24 dev hp-tun", "-6 addr add fd00:8::1/64 dev hp-tun nodad"]) ip(line);

const pool = new Uint8Array(1 << 20);
const sink = new TunSink(tun, pool, 64, 64, 1);
const writer = new QueueWriter(sink.queue, pool, 0);
const [SYN, ACK] = [0x02, 0x10];
const PORTS = { from: 61000, to: 61999 };
const FAMILIES = [
  { vip: "192.0.2.10", self: "10.8.0.1", other: "10.8.0.2", unreachable: 3, reply: 0, request: 8 },
  { vip: "2001:db8::10", self: "fd00:8::1", other: "fd00:8::2", unreachable: 1, reply: 129, request: 128 },
];

/** Which of the packets pass, by name, in order. The last one always does: it says that all have been seen. */
async function passing(addresses: readonly string[], packets: readonly [name: string, packet: Uint8Array][]): Promise<string[]> {
  const socket = new ReplySocket(
    replyFilter(
      addresses.map((text) => parseAddress(text)!),
      PORTS,
    ),
  );
  try {
    for (const [, packet] of packets) writer.up([packet]);
    assert.equal(sink.flush(), 0);
    const found: string[] = [];
    const nameOf = (packet: Uint8Array): string =>
      packets.find(([, sent]) => Buffer.from(sent).equals(packet))?.[0] ?? `unknown ${Buffer.from(packet).toString("hex")}`;
    await until("the last packet", () => {
      socket.receive((packet) => found.push(nameOf(packet)));
      return found.at(-1) === packets.at(-1)![0];
    });
    return found;
  } finally {
    socket.close();
  }
}

for (const { vip, self, other, unreachable, reply, request } of FAMILIES) {
  const answer = (port: number, to = self): Uint8Array => make.tcp([vip, 80], [to, port], make.filler(10), { flags: SYN | ACK });
  const id = (n: number): number[] => [n >> 8, n & 255, 0, 1];
  test(`${vip}: answers pass, to our address and ports, and nothing else`, async () => {
    const packets: [string, Uint8Array][] = [
      ["lowest port", answer(61000)],
      ["below", answer(60999)],
      ["above", answer(62000)],
      ["to another address", answer(61500, other)],
      ["UDP", make.udp([vip, 80], [self, 61500], make.filler(10))],
      ["a full reply", make.tcp([vip, 80], [self, 61000], make.filler(8192))],
      ["an echo reply", make.icmp(vip, self, reply, 0, id(61001), make.filler(8))],
      ["an echo reply of another", make.icmp(vip, self, reply, 0, id(7), make.filler(8))],
      ["an echo request", make.icmp(vip, self, request, 0, id(61001), make.filler(8))],
      ["unreachable", make.icmp(other, self, unreachable, 13, [0, 0, 0, 0], answer(61000))],
      ["time exceeded", make.icmp(other, self, unreachable === 3 ? 11 : 3, 0, [0, 0, 0, 0], answer(61000))],
      ["highest port", answer(61999)],
    ];
    assert.deepEqual(await passing([self], packets), [
      "lowest port",
      "a full reply",
      "an echo reply",
      "unreachable",
      "highest port",
    ]);
  });

  test(`${vip}: the other family passes as well, if it is asked for`, async () => {
    const both = FAMILIES.map((one) => one.self);
    assert.deepEqual(await passing(both, [["answer", answer(61500)]]), ["answer"]);
    const otherFamily = FAMILIES.find((one) => one.self !== self)!;
    const last: [string, Uint8Array] = ["last", make.tcp([otherFamily.vip, 80], [otherFamily.self, 61000], make.filler(1))];
    assert.deepEqual(await passing([otherFamily.self], [["answer", answer(61500)], last]), ["last"]);
  });
}

test("a fragment is no answer", async () => {
  const whole = make.tcpSegment(["192.0.2.10", 80], ["10.8.0.1", 61000], make.filler(100));
  const later = make.ip("192.0.2.10", "10.8.0.1", 6, whole, { offset: 800, id: 9 });
  const last: [string, Uint8Array] = ["last", make.tcp(["192.0.2.10", 80], ["10.8.0.1", 61001], make.filler(1))];
  assert.deepEqual(await passing(["10.8.0.1"], [["fragment", later], last]), ["last"]);
});
