/**
 * Classic BPF as JavaScript. A program is translated once, when it is loaded, into a function that the engine compiles like
 * any other; an interpreter costs ten times as much for each packet.
 *
 * Registers are int32: the same 32 bits as BPF's unsigned ones, made unsigned where it matters. Jumps go forward only, so
 * that each target is the end of a labelled block and each jump a `break`.
 */
import {
  A_TO_X,
  ALU_ADD,
  ALU_AND,
  ALU_DIV,
  ALU_LSH,
  ALU_MOD,
  ALU_MUL,
  ALU_NEG,
  ALU_OR,
  ALU_SUB,
  ALU_XOR,
  type Instruction,
  isConditional,
  JUMP,
  JUMP_ABOVE,
  JUMP_AT_LEAST,
  JUMP_EQUAL,
  LD_IMMEDIATE,
  LD_LENGTH,
  LD_MEMORY,
  LD_WORD_AT_X,
  LDX_HEADER,
  LDX_IMMEDIATE,
  LDX_LENGTH,
  LDX_MEMORY,
  LOAD_SIZE,
  MEMORY_WORDS,
  RETURN,
  RETURN_A,
  STORE,
  STORE_X,
  successors,
  validateProgram,
  WITH_X,
  X_TO_A,
} from "./program.ts";

/** Runs over the packet of `length` bytes at `start`. Returns what the program returns, as int32; 0: no match. */
export type Filter = (bytes: DataView, start: number, length: number) => number;

/** Block statements within each other that every engine's parser takes; programs with more jump targets run in a loop. */
const MAX_NESTING = 200;

/** Offset of a load from the start of the packet: a constant, or from X. */
const offset = (code: number, k: number): string => (code >= LD_WORD_AT_X && code !== LDX_HEADER ? `((x >>> 0) + ${k})` : `${k}`);

/** A load that ends the program with 0 when it reaches beyond the packet. */
function load(code: number, k: number): string {
  const size = LOAD_SIZE.get(code)!;
  const from = offset(code, k);
  const take = size === 4 ? "getInt32" : size === 2 ? "getUint16" : "getUint8";
  const bound = `if (${from} + ${size} > n) return 0;`;
  const value = `b.${take}(s + ${from})`;
  return code === LDX_HEADER ? `${bound} x = (${value} & 15) << 2;` : `${bound} a = ${value};`;
}

function arithmetic(code: number, k: number): string {
  const withX = (code & WITH_X) !== 0;
  const operand = withX ? "x" : `${k | 0}`;
  const unsigned = withX ? "(x >>> 0)" : `${k}`;
  const guard = withX ? "if (x === 0) return 0; " : "";
  switch (code & ~WITH_X) {
    case ALU_ADD:
      return `a = (a + ${operand}) | 0;`;
    case ALU_SUB:
      return `a = (a - (${operand})) | 0;`;
    case ALU_MUL:
      return `a = Math.imul(a, ${operand});`;
    case ALU_DIV:
      return `${guard}a = ((a >>> 0) / ${unsigned}) | 0;`;
    case ALU_MOD:
      return `${guard}a = ((a >>> 0) % ${unsigned}) | 0;`;
    case ALU_OR:
      return `a |= ${operand};`;
    case ALU_AND:
      return `a &= ${operand};`;
    case ALU_XOR:
      return `a ^= ${operand};`;
    case ALU_LSH:
      return withX ? "a = (x >>> 0) < 32 ? a << x : 0;" : `a <<= ${k};`;
    default:
      return withX ? "a = (x >>> 0) < 32 ? (a >>> x) | 0 : 0;" : `a = (a >>> ${k}) | 0;`;
  }
}

function condition(code: number, k: number): string {
  const withX = (code & WITH_X) !== 0;
  const unsigned = withX ? "(x >>> 0)" : `${k}`;
  const same = withX ? "x" : `${k | 0}`;
  switch (code & ~WITH_X) {
    case JUMP_EQUAL:
      return `a === ${same}`;
    case JUMP_ABOVE:
      return `(a >>> 0) > ${unsigned}`;
    case JUMP_AT_LEAST:
      return `(a >>> 0) >= ${unsigned}`;
    default:
      return `(a & ${same}) !== 0`;
  }
}

/** One statement; `go` writes the jump to an instruction, the empty string where it is the next one. */
function statement({ code, jt, jf, k }: Instruction, at: number, go: (to: number) => string): string {
  if (LOAD_SIZE.has(code)) return load(code, k);
  if (isConditional(code)) {
    const [yes, no] = [go(at + 1 + jt), go(at + 1 + jf)];
    const test = condition(code, k);
    return yes === "" ? (no === "" ? "" : `if (!(${test})) ${no}`) : `if (${test}) ${yes}${no === "" ? "" : ` else ${no}`}`;
  }
  switch (code) {
    case LD_IMMEDIATE:
      return `a = ${k | 0};`;
    case LD_MEMORY:
      return `a = m${k};`;
    case LD_LENGTH:
      return "a = n;";
    case LDX_IMMEDIATE:
      return `x = ${k | 0};`;
    case LDX_MEMORY:
      return `x = m${k};`;
    case LDX_LENGTH:
      return "x = n;";
    case STORE:
      return `m${k} = a;`;
    case STORE_X:
      return `m${k} = x;`;
    case ALU_NEG:
      return "a = -a | 0;";
    case JUMP:
      return go(at + 1 + k);
    case RETURN:
      return `return ${k | 0};`;
    case RETURN_A:
      return "return a;";
    case A_TO_X:
      return "x = a;";
    case X_TO_A:
      return "a = x;";
    default:
      return arithmetic(code, k);
  }
}

/** The body as blocks, one around the other: the outermost ends where the last jump goes. */
function nested(program: readonly Instruction[], targets: readonly number[]): string {
  const lines = [...targets].reverse().map((target) => `L${target}: {`);
  program.forEach((instruction, at) => {
    if (targets.includes(at)) lines.push("}");
    lines.push(statement(instruction, at, (to) => (to === at + 1 ? "" : `break L${to};`)));
  });
  return lines.join("\n");
}

/** The body as a loop over the jump targets. */
function looped(program: readonly Instruction[], targets: ReadonlySet<number>): string {
  const lines = ["for (let p = 0; ; ) switch (p) { case 0:"];
  program.forEach((instruction, at) => {
    if (at > 0 && targets.has(at)) lines.push(`case ${at}:`);
    lines.push(statement(instruction, at, (to) => (to === at + 1 ? "" : `{ p = ${to}; continue; }`)));
  });
  return [...lines, "}"].join("\n");
}

/** Jump targets other than the next instruction, ascending. */
function jumpTargets(program: readonly Instruction[]): number[] {
  const all = program.flatMap((instruction, at) => successors(instruction, at).filter((next) => next !== at + 1));
  return [...new Set(all)].sort((a, b) => a - b);
}

/** Translates a program. Throws a RangeError when it is not valid. What it returns is exactly what libpcap's bpf_filter() does. */
export function translate(program: readonly Instruction[]): Filter {
  const wrong = validateProgram(program);
  if (wrong !== null) throw new RangeError(`not a valid BPF program: ${wrong}`);
  const targets = jumpTargets(program);
  const body = targets.length <= MAX_NESTING ? nested(program, targets) : looped(program, new Set(targets));
  const memory = Array.from({ length: MEMORY_WORDS }, (_, i) => `m${i}`).filter((word) => body.includes(`${word} =`));
  const registers = ["a = 0", "x = 0", ...memory.map((word) => `${word} = 0`)];
  // Nothing but numbers of checked instructions goes into the text.
  return new Function("b", "s", "n", `"use strict"; let ${registers.join(", ")};\n${body}`) as Filter;
}
