import assert from "node:assert/strict";
import { test } from "node:test";
import {
  FIRST_PORT,
  firstSlice,
  lastSlice,
  portCount,
  portsOfSlice,
  portsOfSlices,
  sliceOfPort,
} from "../../src/steering/slices.ts";

test("slices of every size lie between port 1024 and 65535", () => {
  for (let size = 64; size <= 32_768; size++) {
    const [first, last] = [firstSlice(size), lastSlice(size)];
    const low = portsOfSlice(first, size).from;
    assert.ok(low >= FIRST_PORT && low - size < FIRST_PORT, `${size}`);
    const high = portsOfSlice(last, size).to;
    assert.ok(high <= 65_535 && high + size > 65_535, `${size}`);
  }
  assert.deepEqual([firstSlice(2048), lastSlice(2048)], [1, 31]);
  assert.deepEqual([firstSlice(64), lastSlice(64)], [16, 1023]);
  assert.deepEqual([firstSlice(1000), lastSlice(1000)], [2, 64]);
});

test("a port is in one slice, which has it", () => {
  for (const size of [64, 1000, 2048, 32_768]) {
    for (let port = 0; port <= 65_535; port += 13) {
      const { from, to } = portsOfSlice(sliceOfPort(port, size), size);
      assert.ok(from <= port && port <= to && to - from + 1 === size);
    }
  }
});

test("neighbours become one range, in order, none twice", () => {
  const ranges = portsOfSlices([5, 2, 1, 2, 7, 6], 2048);
  assert.deepEqual(ranges, [
    { from: 2048, to: 6143 },
    { from: 10_240, to: 16_383 },
  ]);
  assert.equal(portCount(ranges), 5 * 2048);
  assert.deepEqual(portsOfSlices([], 64), []);
});
