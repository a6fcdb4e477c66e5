import assert from "node:assert/strict";
import { test } from "node:test";
import { viewOf } from "../../src/wire/bytes.ts";
import {
  addBytes,
  adjust,
  complement,
  fold,
  ipv4ChecksumGood,
  pseudoSum4,
  pseudoSum6,
  setIpv4Checksum,
} from "../../src/wire/checksum.ts";
import * as make from "../support/packets.ts";
import { seededRandom } from "../support/random.ts";

test("sums agree with a naive one for every length and alignment", () => {
  const bytes = make.filler(400, 13);
  for (let offset = 0; offset < 4; offset++) {
    for (let length = 0; length <= 300; length++) {
      const expected = make.checksum(bytes.subarray(offset, offset + length));
      assert.equal(complement(addBytes(viewOf(bytes), offset, length, 0)), expected, `${length} bytes at ${offset}`);
    }
  }
});

test("the largest packet of ones does not overflow", () => {
  assert.equal(fold(addBytes(viewOf(new Uint8Array(65_536).fill(0xff)), 0, 65_536, 0xffff)), 0xffff);
});

test("pseudo-header sums make transport checksums come out right", () => {
  const pairs = [
    ["198.51.100.7", "192.0.2.10"],
    ["2001:db8:c::7", "2001:db8::10"],
  ] as const;
  for (const [from, to] of pairs) {
    const packet = make.tcp([from, 1234], [to, 80], make.filler(33));
    const ip = from.includes(":") ? 40 : 20;
    const pseudo = (from.includes(":") ? pseudoSum6 : pseudoSum4)(viewOf(packet), 0, 6, packet.length - ip);
    assert.equal(fold(addBytes(viewOf(packet), ip, packet.length - ip, pseudo)), 0xffff);
  }
});

test("an adjusted checksum is the one computed anew (RFC 1624)", () => {
  const random = seededRandom(5);
  for (let i = 0; i < 5000; i++) {
    const words = Uint8Array.from({ length: 20 }, () => (random(3) === 0 ? 0 : random(256)));
    words.set([0, 0], 10);
    const before = make.checksum(words);
    const old = (words[0]! << 8) | words[1]!;
    words.set([random(256), random(256)], 0);
    const now = (words[0]! << 8) | words[1]!;
    assert.equal(adjust(before, old, now), make.checksum(words));
  }
});

test("an IPv4 header's checksum is written and judged", () => {
  const packet = make.udp(["198.51.100.7", 1], ["192.0.2.10", 2], make.filler(4), { options: make.bytes(1, 1, 1, 0) });
  const expected = packet.slice();
  packet.fill(0x5a, 10, 12);
  assert.equal(ipv4ChecksumGood(viewOf(packet), 0, 24), false);
  setIpv4Checksum(viewOf(packet), 0, 24);
  assert.deepEqual(packet, expected);
  assert.equal(ipv4ChecksumGood(viewOf(packet), 0, 24), true);
});
