import assert from "node:assert/strict";
import { test } from "node:test";
import { type EgressSpec, findSliceOwner, sliceTableWords, writeSliceTable } from "../../src/shm/slice-table.ts";

const spec = (sliceSize: number, owners: readonly [number, number][]): EgressSpec => ({
  name: "ip",
  words: [0, 0, 0xffff, 1],
  family: 4,
  sliceSize,
  owners: new Map(owners),
});

test("every port of several egress IPs has the owner it was given, or nobody", () => {
  const specs = [
    spec(2048, [
      [1, 0],
      [31, 7],
    ]),
    spec(64, [
      [16, 4095],
      [1023, 3],
    ]),
    // 65 slices: an odd number, and 536 ports left over.
    spec(1000, [
      [2, 1],
      [64, 2],
    ]),
  ];
  const at = 5;
  const words = new Int32Array(at + sliceTableWords(specs) + 1);
  words[words.length - 1] = 0x5a5a5a5a;
  const halves = new Uint16Array(words.buffer);
  writeSliceTable(words, halves, at, specs);
  assert.equal(words.at(-1), 0x5a5a5a5a, "nothing is written behind it");
  specs.forEach(({ sliceSize, owners }, i) => {
    for (let port = 0; port <= 65_535; port++) {
      assert.equal(findSliceOwner(words, halves, at, i, port), owners.get(Math.floor(port / sliceSize)) ?? -1, `${i} ${port}`);
    }
  });
});
