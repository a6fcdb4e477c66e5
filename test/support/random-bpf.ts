/** Random classic BPF programs that are valid, and packets they are likely to reach into. */
import { type Instruction, validateProgram } from "../../src/bpf/program.ts";
import { seededRandom } from "./random.ts";

/** From 0 below 1. */
export type Random = () => number;

/** Reproducible. */
export function unitRandom(seed: number): Random {
  const random = seededRandom(seed);
  return () => random(2 ** 32) / 2 ** 32;
}

const LOADS = [0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0xb1];
const OTHERS = [0x00, 0x01, 0x80, 0x81, 0x02, 0x03, 0x60, 0x61, 0x07, 0x87, 0x84];
const ALU = [0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0x94, 0xa4];
const CONDITIONS = [0x15, 0x25, 0x35, 0x45];

const below = (random: Random, limit: number): number => Math.floor(random() * limit);
const pick = <T>(random: Random, of: readonly T[]): T => of[below(random, of.length)]!;

/** Small numbers, and those at the edges of 32 bits. */
function constant(random: Random): number {
  const edges = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 0x10000];
  return random() < 0.25 ? pick(random, edges) : random() < 0.7 ? below(random, 64) : below(random, 2 ** 32);
}

function instruction(random: Random, left: number): Instruction {
  const plain = (code: number, k: number): Instruction => ({ code, jt: 0, jf: 0, k });
  const kind = random();
  if (left === 0 || kind < 0.05) return random() < 0.3 ? plain(0x16, 0) : plain(0x06, random() < 0.5 ? 0 : constant(random));
  if (kind < 0.35) return plain(pick(random, LOADS), random() < 0.9 ? below(random, 48) : constant(random) & 0x7fffffff);
  if (kind < 0.5) {
    const code = pick(random, OTHERS);
    return plain(code, [0x02, 0x03, 0x60, 0x61].includes(code) ? below(random, 3) : constant(random));
  }
  if (kind < 0.75) {
    const code = pick(random, ALU) | (random() < 0.5 ? 8 : 0);
    const k =
      code === 0x64 || code === 0x74
        ? below(random, 32)
        : code === 0x34 || code === 0x94
          ? constant(random) || 1
          : constant(random);
    return plain(code, k);
  }
  const reach = (): number => below(random, Math.min(left, 255));
  if (kind < 0.8) return plain(0x05, reach());
  return { code: pick(random, CONDITIONS) | (random() < 0.3 ? 8 : 0), jt: reach(), jf: reach(), k: constant(random) };
}

/** A valid program of at most `most` instructions. */
export function randomProgram(random: Random, most: number): Instruction[] {
  for (;;) {
    const length = 1 + below(random, most);
    // Registers hold something and scratch words are written, so that there is something to calculate with.
    const start: Instruction[] = [
      { code: 0x00, jt: 0, jf: 0, k: constant(random) },
      { code: 0x01, jt: 0, jf: 0, k: constant(random) },
      ...[0, 1, 2].map((k) => ({ code: 0x02, jt: 0, jf: 0, k })),
    ];
    const body = Array.from({ length }, (_, i) => instruction(random, length - 1 - i));
    const program = random() < 0.8 ? [...start, ...body] : body;
    if (validateProgram(program) === null) return program;
  }
}

/** A packet of up to `most` random bytes. */
export function randomPacket(random: Random, most: number): Uint8Array {
  return Uint8Array.from({ length: below(random, most + 1) }, () => (random() < 0.3 ? below(random, 8) : below(random, 256)));
}
