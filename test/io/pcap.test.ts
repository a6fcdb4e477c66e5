import assert from "node:assert/strict";
import { test } from "node:test";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW, readCapture, writeCapture } from "../../src/io/pcap.ts";
import { seededRandom } from "../support/random.ts";

const packets = [
  { bytes: Uint8Array.of(0x45, 1, 2, 3), time: 1_700_000_000_123_456 },
  { bytes: Uint8Array.of(0x60), time: 1_700_000_001_000_001 },
];

/** A capture file from 32-bit and 16-bit words in the given byte order. */
function words(little: boolean, ...values: readonly (readonly [size: 1 | 2 | 4, value: number])[]): Uint8Array {
  const file = new Uint8Array(values.reduce((n, [size]) => n + size, 0));
  const view = new DataView(file.buffer);
  let at = 0;
  for (const [size, value] of values) {
    if (size === 4) view.setUint32(at, value, little);
    else if (size === 2) view.setUint16(at, value, little);
    else view.setUint8(at, value);
    at += size;
  }
  return file;
}
const w = (value: number): [4, number] => [4, value];
const h = (value: number): [2, number] => [2, value];

test("what is written is read again", () => {
  const read = [...readCapture(writeCapture(packets))];
  assert.deepEqual(
    read.map((p) => p.link),
    [LINKTYPE_RAW, LINKTYPE_RAW],
  );
  assert.deepEqual(
    read.map((p) => ({ bytes: Uint8Array.from(p.bytes), time: p.time })),
    packets,
  );
});

test("pcap of either byte order, in micro- and nanoseconds", () => {
  for (const little of [true, false]) {
    for (const [magic, fraction] of [
      [0xa1b2c3d4, 7],
      [0xa1b23c4d, 7999],
    ] as const) {
      const header = [w(magic), h(2), h(4), w(0), w(0), w(65535), w(LINKTYPE_ETHERNET)] as const;
      const file = words(little, ...header, w(100), w(fraction), w(2), w(60), h(0));
      const [packet] = [...readCapture(file)];
      assert.deepEqual([packet!.link, packet!.time, packet!.bytes.length, packet!.originalLength], [1, 100_000_007, 2, 60]);
    }
  }
});

test("pcapng: sections, interfaces with their own clock, enhanced and simple packets", () => {
  for (const little of [true, false]) {
    const section = [w(0x0a0d0d0a), w(28), w(0x1a2b3c4d), h(1), h(0), w(0xffffffff), w(0xffffffff), w(28)] as const;
    const nano = [h(9), h(1), [1, 9], [1, 0], h(0), h(0), h(0)] as const;
    const nanoInterface = [w(1), w(32), h(LINKTYPE_RAW), h(0), w(0), ...nano, w(32)] as const;
    const unknown = [w(0x0bad), w(16), w(0), w(16)] as const;
    const enhanced = [w(6), w(36), w(0), w(0), w(5000), w(2), w(90), [1, 0x45], [1, 0], [1, 0], [1, 0], w(36)] as const;
    const simple = [w(3), w(20), w(4), w(0x45000000), w(20)] as const;
    const file = words(little, ...section, ...nanoInterface, ...unknown, ...enhanced, ...simple);
    const read = [...readCapture(file)];
    assert.deepEqual(
      read.map((p) => [p.link, p.time, p.bytes.length, p.originalLength]),
      [
        [LINKTYPE_RAW, 5, 2, 90],
        [LINKTYPE_RAW, 0, 4, 4],
      ],
    );
  }
});

test("what is no capture, or is cut, is an error with a reason", () => {
  const good = writeCapture(packets);
  assert.throws(() => [...readCapture(new Uint8Array(3))], /too short/);
  assert.throws(() => [...readCapture(new Uint8Array(40))], /neither pcap nor pcapng/);
  assert.throws(() => [...readCapture(good.subarray(0, 30))], /cut off at byte 24/);
  assert.throws(() => [...readCapture(good.subarray(0, good.length - 1))], /cut off/);
});

test("mutated captures end or throw an Error, and never hang", () => {
  const random = seededRandom(3);
  const good = writeCapture(packets);
  for (let i = 0; i < 20_000; i++) {
    const file = good.slice();
    for (let n = 0; n <= random(4); n++) file[random(file.length)] = random(256);
    try {
      assert.ok([...readCapture(file)].length <= 8);
    } catch (error) {
      assert.ok(error instanceof Error && !(error instanceof RangeError), String(error));
    }
  }
});
