import assert from "node:assert/strict";
import { test } from "node:test";
import { hashBytes } from "../../src/steering/name-hash.ts";

/** HalfSipHash-1-3 of the bytes 0 .. n-1 under the key 00 01 .. 07, as Linux's self-test has it for 32-bit machines. */
const VECTORS = [
  0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6, 0x577999b1, 0xc839caed,
  0xe4fa32cf, 0x959246ee, 0x6b28096c, 0x66dd9cd6, 0x16658a7c, 0xd0257b04, 0x8b31d501, 0x2b1cd04b, 0x06712339, 0x522aca67,
];

test("names are hashed as HalfSipHash-1-3 has it", () => {
  for (const [length, expected] of VECTORS.entries()) {
    const bytes = Uint8Array.from({ length }, (_, i) => i);
    assert.equal(hashBytes(bytes, 0x03020100, 0x07060504)[0], expected, `${length} bytes`);
  }
});

test("the second word is independent of the first", () => {
  const pairs = Array.from({ length: 2000 }, (_, i) => hashBytes(Uint8Array.of(i, i >> 8), 1, 2));
  assert.equal(new Set(pairs.map(([, b]) => b)).size, 2000);
  assert.ok(pairs.every(([a, b]) => a !== b));
});
