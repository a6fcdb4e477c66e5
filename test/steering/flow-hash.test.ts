import assert from "node:assert/strict";
import { test } from "node:test";
import { type FlowHash, hashLong, hashShort, keysOf } from "../../src/steering/flow-hash.ts";
import { seededRandom } from "../support/random.ts";

const random = seededRandom(7);
const word = (): number => random(2 ** 32) | 0;
const words = (n: number): Int32Array => Int32Array.from({ length: n }, word);

/** Words of an IPv4 flow or of an IPv6 one. */
function hash(input: Int32Array, kind: number, k0: number, k1: number): [number, number] {
  const out: FlowHash = { hash: 0, hash2: 0 };
  const upper = input.length - 3;
  const [a, b, c] = [input[upper]!, input[upper + 1]!, input[upper + 2]!];
  if (upper === 0) hashShort(a, b, c, kind, k0, k1, out);
  else hashLong(input.subarray(0, upper), a, b, c, kind, k0, k1, out);
  return [out.hash, out.hash2];
}

/** The definition once more, a line per step of the paper's figure, over an array of four words. */
function naive(input: Int32Array, kind: number, k0: number, k1: number): [number, number] {
  const v = Uint32Array.of(k0, k1 ^ kind, 0x6c796765 ^ k0, 0x74656462 ^ k1);
  const rotate = (i: number, bits: number): void => {
    v[i] = (v[i]! << bits) | (v[i]! >>> (32 - bits));
  };
  const mix = (a: number, b: number, bits: number): void => {
    v[a]! += v[b]!;
    rotate(b, bits);
    v[b]! ^= v[a]!;
  };
  const round = (): void => {
    mix(0, 1, 5);
    rotate(0, 16);
    mix(2, 3, 8);
    mix(0, 3, 7);
    mix(2, 1, 13);
    rotate(2, 16);
  };
  for (const m of input) {
    v[3]! ^= m;
    round();
    v[0]! ^= m;
  }
  v[2]! ^= 0xff;
  for (let i = 0; i < 3; i++) round();
  return [(v[1]! ^ v[3]!) | 0, (v[0]! ^ v[2]!) | 0];
}

test("the flow hash is what its description says, for both lengths", () => {
  for (let i = 0; i < 300; i++) {
    const input = words(i % 2 === 0 ? 3 : 9);
    const [kind, k0, k1] = [0x400 | random(256), word(), word()];
    assert.deepEqual(hash(input, kind, k0, k1), naive(input, kind, k0, k1));
  }
});

test("it is what it has always been", () => {
  // Pinned: a change here breaks every connection of a cluster that is upgraded host by host.
  const flow = Int32Array.of(0xc6336407 | 0, 0xc000020a | 0, (1234 << 16) | 80);
  assert.deepEqual(hash(flow, 0x406, 0x03020100, 0x07060504), [-523661688, -1308300882]);
});

test("every bit of a flow, its kind and the key turns every bit of the hash half of the time", () => {
  const rounds = 1500;
  const flips = Array.from({ length: (3 + 1 + 2) * 32 }, () => new Uint32Array(64));
  for (let r = 0; r < rounds; r++) {
    const input = words(6);
    const of = (w: Int32Array): [number, number] => hash(w.slice(0, 3), w[3]!, w[4]!, w[5]!);
    const before = of(input);
    for (const [bit, row] of flips.entries()) {
      input[bit >>> 5]! ^= 1 << (bit & 31);
      const after = of(input);
      input[bit >>> 5]! ^= 1 << (bit & 31);
      for (let i = 0; i < 64; i++) row[i]! += ((before[i >>> 5]! ^ after[i >>> 5]!) >>> (i & 31)) & 1;
    }
  }
  // 12,288 counts around half, standard deviation 0.5 / sqrt(rounds): six of them is beyond chance.
  const bound = (6 * 0.5) / Math.sqrt(rounds);
  for (const [bit, row] of flips.entries()) {
    for (const [i, count] of row.entries())
      assert.ok(Math.abs(count / rounds - 0.5) < bound, `input bit ${bit}, output bit ${i}`);
  }
});

test("the two words tell nothing of each other", () => {
  const rounds = 4000;
  const agree = new Uint32Array(32 * 32);
  for (let r = 0; r < rounds; r++) {
    // Flows as an attacker would send them: one word counts up.
    const [a, b] = hash(Int32Array.of(0xc6336400 | 0, 0xc000020a | 0, r), 0x406, 1, 2);
    for (let i = 0; i < 32; i++) for (let j = 0; j < 32; j++) agree[32 * i + j]! += ~((a >>> i) ^ (b >>> j)) & 1;
  }
  const bound = (6 * 0.5) / Math.sqrt(rounds);
  for (const [pair, count] of agree.entries())
    assert.ok(Math.abs(count / rounds - 0.5) < bound, `bits ${pair >>> 5}, ${pair & 31}`);
});

test("the seed gives two different keys, little-endian", () => {
  const seed = Uint8Array.from({ length: 16 }, (_, i) => i);
  assert.deepEqual(keysOf(seed), { flow: [0x03020100, 0x07060504], table: [0x0b0a0908, 0x0f0e0d0c] });
});
