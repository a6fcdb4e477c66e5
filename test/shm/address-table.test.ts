import assert from "node:assert/strict";
import { test } from "node:test";
import { type AddressEntry, addressTableWords, findAddress, writeAddressTable } from "../../src/shm/address-table.ts";
import { contains, mappedLength, type Prefix, parseAddress, parsePrefix } from "../../src/wire/address.ts";
import { seededRandom } from "../support/random.ts";

const AT = 7; // the table need not start at the beginning

function table(prefixes: readonly Prefix[]): Int32Array {
  const words = new Int32Array(AT + addressTableWords(prefixes.length));
  const entries: AddressEntry[] = prefixes.map((p, value) => ({
    words: p.address.words,
    family: p.address.family,
    length: mappedLength(p),
    value,
  }));
  writeAddressTable(words, AT, entries);
  return words;
}

function find(words: Int32Array, text: string): number {
  const a = parseAddress(text)!;
  const [w0, w1, w2, w3] = a.words;
  return findAddress(words, AT, a.family, w0 | 0, w1 | 0, w2 | 0, w3 | 0);
}

test("the longest prefix wins, and families do not mix", () => {
  const words = table(["192.0.2.0/24", "192.0.2.10", "2001:db8::/32", "::/0", "2001:db8::10"].map((p) => parsePrefix(p)!));
  const cases: [string, number][] = [
    ["192.0.2.10", 1],
    ["192.0.2.11", 0],
    ["192.0.3.1", -1],
    ["2001:db8::10", 4],
    ["2001:db8:1::", 2],
    ["fe80::1", 3],
  ];
  for (const [address, expected] of cases) assert.equal(find(words, address), expected, address);
});

test("an empty table finds nothing", () => {
  assert.equal(find(table([]), "192.0.2.1"), -1);
});

test("random tables agree with a search through the list", () => {
  const random = seededRandom(1);
  for (let round = 0; round < 50; round++) {
    const prefixes: Prefix[] = [];
    const seen = new Set<string>();
    while (prefixes.length < 40) {
      const text = `10.${random(4)}.${random(4)}.${random(8)}`;
      const length = 14 + random(19);
      const word = (parseAddress(text)!.words[3] & (-1 << (32 - length))) >>> 0;
      const prefix: Prefix = { address: { family: 4, words: [0, 0, 0xffff, word] }, length };
      if (seen.has(`${word}/${length}`)) continue;
      seen.add(`${word}/${length}`);
      prefixes.push(prefix);
    }
    const words = table(prefixes);
    for (let i = 0; i < 200; i++) {
      const text = `10.${random(4)}.${random(4)}.${random(8)}`;
      const matching = prefixes.filter((p) => contains(p, parseAddress(text)!)).sort((a, b) => b.length - a.length);
      assert.equal(find(words, text), matching.length === 0 ? -1 : prefixes.indexOf(matching[0]!), text);
    }
  }
});
