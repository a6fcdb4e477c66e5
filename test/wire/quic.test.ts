import assert from "node:assert/strict";
import { test } from "node:test";
import { viewOf } from "../../src/wire/bytes.ts";
import { serverIdAt, serverIdOffset } from "../../src/wire/quic.ts";

const AT = 3;

function idIn(packet: readonly number[], offset: number, length: number, selfLength = false): number | null {
  const b = viewOf(Uint8Array.of(1, 2, 3, ...packet));
  const at = serverIdOffset(b, AT, AT + packet.length, offset, length, selfLength);
  return at < 0 ? null : serverIdAt(b, at, length);
}

test("a server id is read at its place, most significant byte first", () => {
  const packet = [0x40, 0x07, 0x01, 0x02, 0x03, 0xff, 0xfe];
  assert.equal(idIn(packet, 1, 1), 0x01);
  assert.equal(idIn(packet, 1, 2), 0x0102);
  assert.equal(idIn(packet, 2, 3), 0x0203ff);
  assert.equal(idIn(packet, 2, 4), 0x0203fffe);
  assert.equal(idIn([0, 0, 0xff, 0xff, 0xff, 0xff], 1, 4), -1, "a signed word");
});

test("packets without one: cut short, long header, unroutable rotation", () => {
  assert.equal(idIn([0x40, 0x07, 0x01], 1, 2), null);
  assert.equal(idIn([0x40, 0x07, 0x01, 0x02], 1, 2), 0x0102);
  assert.equal(idIn([], 1, 1), null);
  for (let first = 0; first < 256; first++) {
    assert.equal(idIn([first, 0x07, 0x01, 0x02], 1, 2), first < 128 ? 0x0102 : null, "RFC 8999: only the first bit counts");
    assert.equal(idIn([0x40, first, 0x01, 0x02], 1, 2), first >> 5 === 7 ? null : 0x0102);
  }
});

test("the length a connection ID tells is that of what follows its first octet", () => {
  const packet = (own: number): number[] => [0x40, 0x20 | own, 0x01, 0x02, 0x03, 0x04];
  assert.equal(idIn(packet(3), 2, 2, true), 0x0203);
  assert.equal(idIn(packet(2), 2, 2, true), null);
  assert.equal(idIn(packet(31), 2, 2, true), 0x0203);
  assert.equal(idIn(packet(2), 2, 2, false), 0x0203);
});
