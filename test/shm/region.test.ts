import assert from "node:assert/strict";
import { test } from "node:test";
import { formatRegion, isRegion, magic, openRegion } from "../../src/shm/region.ts";

const LAYOUT = { magic: magic("Test"), version: 3 };

test("a region is kept when it is what it should be", () => {
  const buffer = new ArrayBuffer(64);
  assert.equal(openRegion(buffer, LAYOUT), false, "made");
  new Uint8Array(buffer)[40] = 7;
  assert.equal(openRegion(buffer, LAYOUT), true, "kept");
  assert.equal(new Uint8Array(buffer)[40], 7);
});

test("another layout, version or size is rebuilt and never trusted", () => {
  const made = (layout: typeof LAYOUT): ArrayBuffer => {
    const buffer = new ArrayBuffer(64);
    formatRegion(buffer, layout);
    return buffer;
  };
  const cases: [string, ArrayBuffer][] = [
    ["magic", made({ ...LAYOUT, magic: magic("Else") })],
    ["version", made({ ...LAYOUT, version: 2 })],
    ["size", made(LAYOUT).slice(0, 48)],
  ];
  for (const [what, buffer] of cases) {
    new Uint8Array(buffer)[40] = 7;
    assert.equal(isRegion(buffer, LAYOUT), false, what);
    assert.equal(openRegion(buffer, LAYOUT), false, what);
    assert.equal(new Uint8Array(buffer)[40], 0, what);
  }
});

test("an empty buffer is no region", () => {
  assert.equal(isRegion(new ArrayBuffer(4), LAYOUT), false);
});
