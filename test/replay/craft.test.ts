import assert from "node:assert/strict";
import { test } from "node:test";
import { craftPacket, describePacket, lengthRange, parseFlags } from "../../src/replay/craft.ts";
import { type Flow, parseFlow } from "../../src/steering/flow.ts";
import { ACK, SYN } from "../../src/wire/tcp.ts";
import * as make from "../support/packets.ts";
import { actualChecksum, decodePacket, expectedChecksum } from "../support/plain-decoder.ts";

const ENDS = [
  ["198.51.100.7", "192.0.2.10"],
  ["2001:db8:c::7", "2001:db8::10"],
] as const;
const [SOURCE, DESTINATION] = [1234, 443];

function flow(protocol: string, [from, to]: readonly [string, string]): Flow {
  const end = (address: string, port: number): string => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
  const parsed = parseFlow(`${protocol} ${end(from, SOURCE)} > ${end(to, DESTINATION)}`);
  assert.ok(typeof parsed !== "string");
  return parsed;
}

test("a UDP datagram and an echo request are, byte for byte, what a host would send", () => {
  for (const ends of ENDS) {
    const [from, to] = ends;
    for (const payload of [make.bytes(), make.filler(9)]) {
      const datagram = make.udp([from, SOURCE], [to, DESTINATION], payload, { df: true });
      assert.deepEqual(craftPacket(flow("udp", ends), { payload }), datagram);
      const type = from.includes(":") ? 128 : 8;
      const echo = make.icmp(from, to, type, 0, [SOURCE >> 8, SOURCE & 255, 0, 1], payload, { df: true });
      assert.deepEqual(craftPacket(flow("icmp", ends), { payload }), echo);
    }
  }
});

test("a TCP segment has the flags asked for, ACK unless told, and a right checksum", () => {
  for (const ends of ENDS) {
    for (const [flags, byte] of [
      [undefined, 0x10],
      [SYN, 0x02],
      [SYN | ACK, 0x12],
    ] as const) {
      const packet = decodePacket(craftPacket(flow("tcp", ends), { ...(flags === undefined ? {} : { flags }), length: 101 }));
      assert.ok(packet !== null);
      const address = (text: string): string => Buffer.from(make.address(text)).toString("hex");
      assert.deepEqual([packet.source, packet.destination], ends.map(address));
      assert.deepEqual([packet.protocol, packet.sourcePort, packet.destinationPort], [6, SOURCE, DESTINATION]);
      assert.deepEqual([packet.packet.length, packet.dontFragment, packet.hopLimit], [101, true, 64]);
      assert.equal(packet.packet[packet.l4 + 13], byte);
      assert.equal(packet.packet[packet.l4 + 12], 0x50);
      assert.equal(actualChecksum(packet), expectedChecksum(packet));
    }
  }
});

test("the length is filled up behind the payload, and refused where a packet cannot have it", () => {
  const udp = flow("udp", ENDS[0]);
  const payload = make.bytes(1, 2, 3);
  assert.deepEqual(craftPacket(udp, { payload, length: 40 }).subarray(28), make.bytes(1, 2, 3, ...new Array<number>(9).fill(0)));
  assert.deepEqual(lengthRange(udp, { payload }), [31, 65_535]);
  assert.deepEqual(lengthRange(flow("tcp", ENDS[1]), {}), [60, 65_535]);
  assert.equal(craftPacket(flow("udp", ENDS[1]), { length: 65_535 }).length, 65_535);
  for (const length of [30, 65_536]) assert.throws(() => craftPacket(udp, { payload, length }), RangeError);
});

test("flags are read by name, and a packet is told in words", () => {
  assert.deepEqual(["syn", "SYN,ack", "syn,", "", "sin", "constructor"].map(parseFlags), [
    SYN,
    SYN | ACK,
    null,
    null,
    null,
    null,
  ]);
  assert.equal(describePacket(flow("tcp", ENDS[0])), "TCP ACK, 40 bytes");
  assert.equal(describePacket(flow("tcp", ENDS[1]), { flags: SYN | ACK, length: 1500 }), "TCP SYN+ACK, 1500 bytes");
  assert.equal(describePacket(flow("udp", ENDS[0]), { payload: make.bytes(1) }), "UDP, 29 bytes with a payload of 1");
  assert.equal(describePacket(flow("icmp", ENDS[0])), "echo request 1234, 28 bytes");
});
