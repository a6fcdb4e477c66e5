/** Headers against packets written by the tests: known bytes both ways, emission over a buffer full of 0xa5. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../src/wire/address.ts";
import { viewOf } from "../../src/wire/bytes.ts";
import { ipInCooked, ipInCooked2, ipInEthernet } from "../../src/wire/ethernet.ts";
import * as icmp from "../../src/wire/icmp.ts";
import * as ipv4 from "../../src/wire/ipv4.ts";
import * as ipv6 from "../../src/wire/ipv6.ts";
import * as tcp from "../../src/wire/tcp.ts";
import * as udp from "../../src/wire/udp.ts";
import * as make from "../support/packets.ts";

const V4 = ["198.51.100.7", "192.0.2.10"] as const;
const V6 = ["2001:db8:c::7", "2001:db8::10"] as const;
const dirty = (length: number): Uint8Array => new Uint8Array(length).fill(0xa5);

test("IPv4 fields are read where they are", () => {
  const b = viewOf(
    make.ip(...V4, 17, make.filler(24), {
      tos: 0xb9,
      id: 0x1234,
      ttl: 3,
      offset: 1480,
      more: true,
      options: make.bytes(1, 1, 1, 0),
    }),
  );
  assert.deepEqual(
    [
      ipv4.headerLength(b, 0),
      ipv4.totalLength(b, 0),
      ipv4.tos(b, 0),
      ipv4.identification(b, 0),
      ipv4.ttl(b, 0),
      ipv4.protocol(b, 0),
    ],
    [24, 48, 0xb9, 0x1234, 3, 17],
  );
  const bits = ipv4.fragmentBits(b, 0);
  assert.deepEqual([ipv4.fragmentOffset(bits), ipv4.moreFragments(bits), ipv4.dontFragment(b, 0)], [1480, true, false]);
  assert.equal(ipv4.dontFragment(viewOf(make.ip(...V4, 17, make.bytes(), { df: true })), 0), true);
});

test("an IPv4 header is written over anything", () => {
  const b = dirty(28);
  ipv4.writeIpv4(viewOf(b), 0, 0x12, 28, 17, 0xc6336407, 0xc000020a);
  assert.deepEqual(b, make.concat(make.ip(...V4, 17, new Uint8Array(8), { tos: 0x12, df: true }).subarray(0, 20), dirty(8)));
});

test("changing TOS or the segment keeps the header checksum right", () => {
  const packet = make.ip(...V4, 6, make.filler(30), { tos: 1, id: 7 });
  ipv4.setTos(viewOf(packet), 0, 0xff);
  assert.deepEqual(packet, make.ip(...V4, 6, make.filler(30), { tos: 0xff, id: 7 }));
  ipv4.setSegment(viewOf(packet), 0, 40, 8);
  assert.deepEqual(packet.subarray(0, 40), make.ip(...V4, 6, make.filler(20), { tos: 0xff, id: 8 }));
});

test("IPv6 fields are read where they are, and written over anything", () => {
  const packet = make.ip(...V6, 17, make.filler(9), { tos: 0xb9, ttl: 2 });
  const b = viewOf(packet);
  assert.deepEqual(
    [ipv6.trafficClass(b, 0), ipv6.hopLimit(b, 0), ipv6.nextHeader(b, 0), ipv6.payloadLength(b, 0)],
    [0xb9, 2, 17, 9],
  );
  const written = dirty(40);
  ipv6.writeIpv6(viewOf(written), 0, 0xb9, 9, 17, parseAddress(V6[0])!.words, parseAddress(V6[1])!.words);
  ipv6.setTrafficClass(viewOf(packet), 0, 0xb9);
  written[7] = 2;
  assert.deepEqual(written, packet.slice(0, 40));
  ipv6.setTrafficClass(viewOf(packet), 0, 0x46);
  assert.equal(ipv6.trafficClass(viewOf(packet), 0), 0x46);
  assert.equal(packet[0]! >> 4, 6);
});

test("an IPv6 fragment header reads like IPv4's fragment bits", () => {
  const b = viewOf(make.ip(...V6, 17, make.filler(8), { offset: 1448, more: true, id: 5 }));
  const bits = ipv6.fragmentBits6(b, 40);
  assert.deepEqual([ipv4.fragmentOffset(bits), ipv4.moreFragments(bits)], [1448, true]);
});

test("TCP and UDP fields are read and written", () => {
  const b = viewOf(
    make.tcpSegment([V4[0], 1234], [V4[1], 80], make.bytes(), { flags: 0x12, sequence: 0xfffffffe, options: make.filler(8) }),
  );
  assert.deepEqual(
    [tcp.sourcePort(b, 0), tcp.destinationPort(b, 0), tcp.sequence(b, 0), tcp.flags(b, 0), tcp.tcpHeaderLength(b, 0)],
    [1234, 80, 0xfffffffe, 0x12, 28],
  );
  tcp.setSequence(b, 0, 5);
  tcp.setFlags(b, 0, tcp.SYN);
  tcp.setTcpChecksum(b, 0, 0xbeef);
  assert.deepEqual([tcp.sequence(b, 0), tcp.flags(b, 0), b.getUint16(tcp.TCP_CHECKSUM)], [5, 2, 0xbeef]);
  const datagram = dirty(12);
  udp.writeUdp(viewOf(datagram), 0, 49152, 6080, 12, 0x1234);
  assert.deepEqual([...datagram], [0xc0, 0, 0x17, 0xc0, 0, 12, 0x12, 0x34, 0xa5, 0xa5, 0xa5, 0xa5]);
  assert.equal(udp.udpLength(viewOf(datagram), 0), 12);
});

test("TCP and UDP are checked against what is there", () => {
  const segment = viewOf(make.tcpSegment([V4[0], 1], [V4[1], 2], make.bytes(), { options: make.filler(4) }));
  assert.deepEqual(
    [19, 23, 24].map((n) => tcp.checkTcp(segment, 0, n)),
    [false, false, true],
  );
  const datagram = viewOf(make.udpDatagram([V4[0], 1], [V4[1], 2], make.filler(3)));
  assert.deepEqual(
    [7, 10, 11, 12].map((n) => udp.checkUdp(datagram, 0, n)),
    [false, false, true, true],
  );
});

test("IP is found behind Ethernet, VLAN tags and cooked headers", () => {
  const packet = make.ip(...V4, 17, make.filler(8));
  const at = (frame: Uint8Array): number => ipInEthernet(viewOf(frame), 0, frame.length);
  assert.equal(at(make.ethernet(packet)), 14);
  assert.equal(at(make.ethernet(make.ip(...V6, 17, make.filler(8)), [0x88a8, 0x8100])), 22);
  assert.equal(at(make.ethernet(packet, [0x8100, 0x8100, 0x8100])), -1);
  assert.equal(at(make.ethernet(packet).subarray(0, 13)), -1);
  assert.equal(at(make.ethernet(packet, [0x8100]).subarray(0, 15)), -1);
  assert.equal(at(make.concat(make.filler(12), make.bytes(8, 6), make.filler(28))), -1, "ARP");
  const cooked = make.concat(new Uint8Array(14), make.bytes(8, 0), packet);
  assert.deepEqual([ipInCooked(viewOf(cooked), 0, cooked.length), ipInCooked(viewOf(cooked), 0, 15)], [16, -1]);
  const cooked2 = make.concat(make.bytes(0x86, 0xdd), new Uint8Array(18), packet);
  assert.deepEqual([ipInCooked2(viewOf(cooked2), 0, cooked2.length), ipInCooked2(viewOf(cooked2), 0, 19)], [20, -1]);
});

test("TCP and echo headers are written over anything", () => {
  const b = dirty(28);
  tcp.writeTcp(viewOf(b), 0, 1234, 443, tcp.SYN);
  assert.deepEqual(b.subarray(0, 20), make.bytes(0x04, 0xd2, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0));
  tcp.writeTcp(viewOf(b), 0, 1234, 443, tcp.ACK | tcp.PSH);
  assert.deepEqual(b.subarray(8, 14), make.bytes(0, 0, 0, 1, 0x50, 0x18));
  assert.deepEqual(b.subarray(20), dirty(8));
  icmp.writeEcho(viewOf(b), 0, icmp.ECHO_REQUEST, 77);
  assert.deepEqual(b.subarray(0, 8), make.bytes(8, 0, 0, 0, 0, 77, 0, 1));
});
