import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addressOf,
  contains,
  formatAddress,
  formatPrefix,
  parseAddress,
  parsePrefix,
  readAddress,
  writeAddress,
} from "../../src/wire/address.ts";
import { address } from "../support/packets.ts";
import { seededRandom } from "../support/random.ts";

test("addresses are read and written in their shortest form", () => {
  const cases: [string, string | null][] = [
    ["192.0.2.10", "192.0.2.10"],
    ["255.255.255.255", "255.255.255.255"],
    ["2001:db8:0:0:0:0:0:10", "2001:db8::10"],
    ["2001:DB8::1", "2001:db8::1"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["192.0.2.256", null],
    ["192.0.2", null],
    ["::ffff:192.0.2.1", null],
    ["fe80::1%eth0", null],
    ["", null],
    ["web", null],
  ];
  for (const [text, expected] of cases) {
    const parsed = parseAddress(text);
    assert.equal(parsed === null ? null : formatAddress(parsed), expected, text);
  }
});

test("every address survives being written, as text and as bytes", () => {
  const random = seededRandom(4);
  const word = (): number => (random(3) === 0 ? 0 : random(2) === 0 ? random(0x10000) : random(2 ** 32));
  for (let i = 0; i < 2000; i++) {
    const a = random(3) === 0 ? addressOf(0, 0, 0xffff, random(2 ** 32)) : addressOf(word() | 0x20000000, word(), word(), word());
    const text = formatAddress(a);
    assert.deepEqual(parseAddress(text), a, text);
    const bytes = new Uint8Array(20);
    assert.equal(writeAddress(bytes, 2, a), a.family === 4 ? 4 : 16);
    assert.deepEqual(bytes.subarray(2, a.family === 4 ? 6 : 18), address(text.includes("::") ? text : text));
    assert.deepEqual(readAddress(bytes, 2, a.family), a);
  }
});

test("prefixes have no bits beyond their length", () => {
  const cases: [string, string | null][] = [
    ["192.0.2.0/24", "192.0.2.0/24"],
    ["192.0.2.10", "192.0.2.10"],
    ["192.0.2.10/32", "192.0.2.10"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["2001:db8::/32", "2001:db8::/32"],
    ["192.0.2.10/24", null],
    ["192.0.2.0/33", null],
    ["192.0.2.0/", null],
    ["192.0.2.0/24/8", null],
    ["2001:db8::1/64", null],
  ];
  for (const [text, expected] of cases) {
    const parsed = parsePrefix(text);
    assert.equal(parsed === null ? null : formatPrefix(parsed), expected, text);
  }
});

test("an address lies in a prefix of its own family only", () => {
  const inside = (prefix: string, text: string): boolean => contains(parsePrefix(prefix)!, parseAddress(text)!);
  assert.ok(inside("10.0.0.0/8", "10.255.0.1"));
  assert.ok(!inside("10.0.0.0/8", "11.0.0.1"));
  assert.ok(inside("2001:db8::/33", "2001:db8:7fff::"));
  assert.ok(!inside("2001:db8::/33", "2001:db8:8000::"));
  assert.ok(!inside("::/0", "10.0.0.1"));
});
