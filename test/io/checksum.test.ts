import assert from "node:assert/strict";
import { test } from "node:test";
import { native } from "../../src/io/native.ts";
import {
  SUM_FIELD,
  SUM_LENGTH,
  SUM_LENGTH2,
  SUM_START,
  SUM_START2,
  SUM_STRIDE,
  SUM_ZERO_AS_ONES,
} from "../../src/io/packet-io.ts";
import { checksum as naiveChecksum } from "../support/packets.ts";
import { randomBytes } from "../support/random.ts";

function job(start: number, length: number, start2: number, length2: number, field: number, zeroAsOnes = 0): Int32Array {
  const words = new Int32Array(SUM_STRIDE);
  words[SUM_START] = start;
  words[SUM_LENGTH] = length;
  words[SUM_START2] = start2;
  words[SUM_LENGTH2] = length2;
  words[SUM_FIELD] = field;
  words[SUM_ZERO_AS_ONES] = zeroAsOnes;
  return words;
}

const stored = (pool: Uint8Array, at: number) => (pool[at]! << 8) | pool[at + 1]!;

test("one range of every length at every alignment equals the naive sum", () => {
  const random = randomBytes(512, 1);
  const pool = new Uint8Array(1024);
  for (let alignment = 0; alignment < 8; alignment++) {
    for (let length = 0; length <= 300; length++) {
      pool.set(random);
      const wanted = naiveChecksum(pool.subarray(alignment, alignment + length));
      native().sumChecksums(pool, job(alignment, length, 0, 0, 1000), 1);
      assert.equal(stored(pool, 1000), wanted, `length ${length} at ${alignment}`);
    }
  }
});

test("two ranges of any alignment equal their concatenation", () => {
  const pool = randomBytes(1024, 2);
  for (let first = 0; first <= 60; first += 2) {
    for (let second = 0; second <= 70; second++) {
      const [at, at2] = [1 + (second % 5), 512 + (second % 7)];
      const whole = Uint8Array.of(...pool.subarray(at, at + first), ...pool.subarray(at2, at2 + second));
      native().sumChecksums(pool, job(at, first, at2, second, 1000), 1);
      assert.equal(stored(pool, 1000), naiveChecksum(whole), `${first} + ${second}`);
    }
  }
});

test("long ranges of ones fold their carries", () => {
  const pool = new Uint8Array(65538).fill(0xff);
  native().sumChecksums(pool, job(0, 65535, 0, 0, 65536), 1);
  assert.equal(stored(pool, 65536), naiveChecksum(pool.subarray(0, 65535)));
});

test("the field counts with what it holds, and a UDP sum of zero is sent as ones", () => {
  for (const [zeroAsOnes, wanted] of [
    [0, 0],
    [1, 0xffff],
  ] as const) {
    const pool = Uint8Array.of(0x12, 0x34, 0xed, 0xcb);
    native().sumChecksums(pool, job(0, 4, 0, 0, 2, zeroAsOnes), 1);
    assert.equal(stored(pool, 2), wanted);
  }
});

test("a job that reaches outside throws and writes nothing", () => {
  const pool = new Uint8Array(64);
  const wrong = [
    job(0, 65, 0, 0, 0),
    job(-1, 4, 0, 0, 0),
    job(0, -4, 0, 0, 0),
    job(60, 2, 0, 2_000_000_000, 0),
    job(0, 4, 0, 0, 63),
    job(0, 4, 0, 0, -1),
    job(0, 3, 4, 4, 0),
  ];
  for (const words of wrong) assert.throws(() => native().sumChecksums(pool, words, 1), RangeError);
  assert.deepEqual(pool, new Uint8Array(64));
  assert.throws(() => native().sumChecksums(pool, new Int32Array(SUM_STRIDE), 2), RangeError);
});
