import assert from "node:assert/strict";
import { test } from "node:test";
import { viewOf } from "../../src/wire/bytes.ts";
import * as gue from "../../src/wire/gue.ts";
import { address, concat, gue as makeGue, tcp } from "../support/packets.ts";

const inner = tcp(["198.51.100.7", 1], ["192.0.2.10", 80], new Uint8Array(5));
const inner6 = tcp(["2001:db8::7", 1], ["2001:db8::10", 80], new Uint8Array(5));
/** GUE header and inner packet as the tests write them. */
const wire = (packet: Uint8Array, hops: readonly string[] = [], index = 0): Uint8Array =>
  makeGue("10.0.1.11", "10.0.1.12", packet, { hops, index }).subarray(28);

test("the plain header is what a kernel without us understands", () => {
  for (const packet of [inner, inner6]) {
    const b = new Uint8Array(4).fill(0xa5);
    gue.writeGue(viewOf(b), 0, packet[0]! >> 4);
    assert.deepEqual(concat(b, packet), concat(wire(packet)));
    assert.equal(gue.innerOffset(viewOf(wire(packet)), 0, wire(packet).length), 4);
    assert.equal(gue.hopsLeft(viewOf(wire(packet)), 0, 4), 0);
  }
});

test("hops are written as private data, and read and taken one by one", () => {
  const lists = [["10.0.1.13"], ["10.0.1.13", "10.0.1.14", "10.0.1.15"], ["fd00:1::13", "10.0.1.14"]];
  for (const hops of lists) {
    const type = hops.every((hop) => !hop.includes(":")) ? gue.HOPS_IPV4 : gue.HOPS_IPV6;
    const expected = wire(inner, hops);
    const length = gue.gueHeaderLength(hops.length, type);
    const b = new Uint8Array(length).fill(0xa5);
    gue.writeGueHops(viewOf(b), 0, 4, hops.length, type);
    assert.deepEqual(b.subarray(0, gue.GUE_HOPS), concat(expected.subarray(0, gue.GUE_HOPS)));

    const view = viewOf(expected.slice());
    const offset = gue.innerOffset(view, 0, expected.length);
    assert.equal(offset, length);
    hops.forEach((hop, i) => {
      assert.equal(gue.hopsLeft(view, 0, offset), hops.length - i);
      const at = gue.nextHopAddress(view, 0);
      const size = gue.hopFamily(view, 0) === 4 ? 4 : 16;
      const bytes = new Uint8Array(view.buffer, at, size);
      assert.deepEqual(Uint8Array.from(bytes.subarray(size - address(hop).length)), address(hop));
      gue.advanceHop(view, 0);
    });
    assert.equal(gue.hopsLeft(view, 0, offset), 0);
  }
  assert.ok(gue.gueHeaderLength(3, gue.HOPS_IPV6) <= gue.GUE_MAX_HEADER);
});

test("every first byte is judged: variants, control bit and header length", () => {
  const b = concat(new Uint8Array(4), inner);
  for (let first = 0; first < 256; first++) {
    b.set([first, 4, 0, 0]);
    const offset = gue.innerOffset(viewOf(b), 0, b.length);
    const variant1 = first >> 4 === 4 || first >> 4 === 6;
    if (variant1) assert.equal(offset, 0, `variant 1, ${first}`);
    else if (first === 0) assert.equal(offset, 4);
    else assert.equal(offset, -1, `first byte ${first}`);
  }
});
