/**
 * Classic BPF programs as the kernel and libpcap have them: struct sock_filter of linux/filter.h, 8 bytes an instruction in
 * host order. Jumps count from the next instruction and go forward only, so that every program ends.
 */
import { endianness } from "node:os";

export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  /** 0 to 2^32 - 1. */
  readonly k: number;
}

export const LD_IMMEDIATE = 0x00;
export const LD_WORD = 0x20;
export const LD_HALF = 0x28;
export const LD_BYTE = 0x30;
export const LD_WORD_AT_X = 0x40;
export const LD_HALF_AT_X = 0x48;
export const LD_BYTE_AT_X = 0x50;
export const LD_MEMORY = 0x60;
export const LD_LENGTH = 0x80;
export const LDX_IMMEDIATE = 0x01;
export const LDX_MEMORY = 0x61;
export const LDX_LENGTH = 0x81;
/** X = 4 * (byte at k & 15): the length of an IPv4 header. */
export const LDX_HEADER = 0xb1;
export const STORE = 0x02;
export const STORE_X = 0x03;
export const ALU_ADD = 0x04;
export const ALU_SUB = 0x14;
export const ALU_MUL = 0x24;
export const ALU_DIV = 0x34;
export const ALU_OR = 0x44;
export const ALU_AND = 0x54;
export const ALU_LSH = 0x64;
export const ALU_RSH = 0x74;
export const ALU_NEG = 0x84;
export const ALU_MOD = 0x94;
export const ALU_XOR = 0xa4;
export const JUMP = 0x05;
export const JUMP_EQUAL = 0x15;
export const JUMP_ABOVE = 0x25;
export const JUMP_AT_LEAST = 0x35;
export const JUMP_BITS = 0x45;
/** Added to an ALU or jump code: the operand is X, not k. */
export const WITH_X = 0x08;
export const RETURN = 0x06;
export const RETURN_A = 0x16;
export const A_TO_X = 0x07;
export const X_TO_A = 0x87;

/** Most instructions the kernel takes (BPF_MAXINSNS), and its words of scratch memory. */
export const MAX_INSTRUCTIONS = 4096;
export const MEMORY_WORDS = 16;

/** Bytes that a load of the packet takes, by its code. */
export const LOAD_SIZE: ReadonlyMap<number, number> = new Map([
  [LD_WORD, 4],
  [LD_HALF, 2],
  [LD_BYTE, 1],
  [LD_WORD_AT_X, 4],
  [LD_HALF_AT_X, 2],
  [LD_BYTE_AT_X, 1],
  [LDX_HEADER, 1],
]);
const ARITHMETIC = [ALU_ADD, ALU_SUB, ALU_MUL, ALU_DIV, ALU_OR, ALU_AND, ALU_LSH, ALU_RSH, ALU_MOD, ALU_XOR];
const CONDITIONAL = [JUMP_EQUAL, JUMP_ABOVE, JUMP_AT_LEAST, JUMP_BITS];
const KNOWN: ReadonlySet<number> = new Set([
  ...LOAD_SIZE.keys(),
  ...[LD_IMMEDIATE, LD_MEMORY, LD_LENGTH, LDX_IMMEDIATE, LDX_MEMORY, LDX_LENGTH, STORE, STORE_X, ALU_NEG],
  ...[...ARITHMETIC, ...CONDITIONAL].flatMap((code) => [code, code | WITH_X]),
  ...[JUMP, RETURN, RETURN_A, A_TO_X, X_TO_A],
]);

const LITTLE = endianness() === "LE";

/** Reads a program. Throws a RangeError when the bytes are no whole instructions. */
export function decodeProgram(bytes: Uint8Array): Instruction[] {
  if (bytes.length % 8 !== 0) throw new RangeError(`${bytes.length} bytes are no whole instructions`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 8 }, (_, i) => ({
    code: view.getUint16(i * 8, LITTLE),
    jt: view.getUint8(i * 8 + 2),
    jf: view.getUint8(i * 8 + 3),
    k: view.getUint32(i * 8 + 4, LITTLE),
  }));
}

/** A program as bytes. */
export function encodeProgram(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach(({ code, jt, jf, k }, i) => {
    view.setUint16(i * 8, code, LITTLE);
    view.setUint8(i * 8 + 2, jt);
    view.setUint8(i * 8 + 3, jf);
    view.setUint32(i * 8 + 4, k, LITTLE);
  });
  return bytes;
}

/** Whether the instruction jumps depending on what it compares. */
export const isConditional = (code: number): boolean => CONDITIONAL.includes(code & ~WITH_X);

/** Where execution may go on after instruction `at`. */
export function successors({ code, jt, jf, k }: Instruction, at: number): number[] {
  if (code === RETURN || code === RETURN_A) return [];
  if (code === JUMP) return [at + 1 + k];
  return isConditional(code) ? [at + 1 + jt, at + 1 + jf] : [at + 1];
}

const usesMemory = (code: number): boolean => [LD_MEMORY, LDX_MEMORY, STORE, STORE_X].includes(code);

/** What is wrong with one instruction by itself; null when nothing is. */
function wrongWith({ code, k }: Instruction): string | null {
  if (!KNOWN.has(code)) return `unknown code 0x${code.toString(16)}`;
  if (usesMemory(code) && k >= MEMORY_WORDS) return `no scratch word ${k}`;
  if ((code === ALU_DIV || code === ALU_MOD) && k === 0) return "division by zero";
  if ((code === ALU_LSH || code === ALU_RSH) && k >= 32) return `shift by ${k}`;
  if (LOAD_SIZE.has(code) && k >= 0x80000000) return "ancillary data is not to be had here";
  return null;
}

/**
 * What is wrong with a program; null when it may be run. As the kernel has it: known instructions, jumps that stay inside,
 * a return at the end, no constant division by zero, no scratch word read that was not written on every way there.
 */
export function validateProgram(program: readonly Instruction[]): string | null {
  if (program.length === 0 || program.length > MAX_INSTRUCTIONS) return `${program.length} instructions`;
  const written = new Array<number>(program.length).fill(-1);
  written[0] = 0;
  for (const [at, instruction] of program.entries()) {
    const { code, k } = instruction;
    const wrong = wrongWith(instruction);
    if (wrong !== null) return `instruction ${at}: ${wrong}`;
    let known = written[at]!;
    if ((code === LD_MEMORY || code === LDX_MEMORY) && (known & (1 << k)) === 0)
      return `instruction ${at}: scratch word ${k} is not written`;
    if (code === STORE || code === STORE_X) known |= 1 << k;
    for (const next of successors(instruction, at)) {
      if (next >= program.length) return `instruction ${at}: goes on behind the end`;
      written[next] = written[next]! & known;
    }
  }
  return null;
}
