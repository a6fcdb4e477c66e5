/**
 * Drop rules as programs for the kernel: the VIP filter and all rules in one. Two of them say the same of a frame: the filter
 * of the sockets that workers read, which lets through what no rule drops, and the choice of the counting sockets, which says
 * which rule dropped it.
 *
 * A rule's program is made for packets that begin with the IP header; it is moved to where that lies. A rule that
 * reaches beyond the packet (or divides by zero) does not match, but in the kernel that would end the whole program and lose the packet: so
 * each load is guarded by a look at the length, unless one before it has seen as much.
 */
import { assemble, type Item } from "./assemble.ts";
import {
  A_TO_X,
  ALU_ADD,
  ALU_AND,
  ALU_DIV,
  ALU_LSH,
  ALU_MOD,
  ALU_RSH,
  ALU_SUB,
  decodeProgram,
  encodeProgram,
  type Instruction,
  isConditional,
  JUMP,
  JUMP_AT_LEAST,
  JUMP_EQUAL,
  LD_BYTE,
  LD_IMMEDIATE,
  LD_LENGTH,
  LD_MEMORY,
  LD_WORD,
  LD_WORD_AT_X,
  LDX_HEADER,
  LDX_IMMEDIATE,
  LDX_LENGTH,
  LDX_MEMORY,
  LOAD_SIZE,
  MAX_INSTRUCTIONS,
  MEMORY_WORDS,
  RETURN,
  RETURN_A,
  STORE,
  STORE_X,
  successors,
  WITH_X,
  X_TO_A,
} from "./program.ts";

/** SKF_AD_OFF + SKF_AD_PROTOCOL: the EtherType behind the VLAN tag that the kernel took off; SKF_AD_RANDOM: a random word. */
const FRAME_PROTOCOL = 0xfffff000;
const RANDOM = 0xfffff038;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
/** How much of a frame passes: all, which of BIG TCP is up to 512 KB. */
const ALL_BYTES = 0x7fffffff;

export interface KernelRule {
  /** Valid, for packets from the IP header on. */
  readonly program: Uint8Array;
  /** Whether the kernel drops what matches; else user space judges it. */
  readonly drops: boolean;
  /** One in so many of what it drops still goes to user space; null: none. */
  readonly sample: number | null;
}

const load = (code: number, k = 0): Item => ({ code, k });
const when = (code: number, k: number, yes: string | null, no: string | null): Item => ({ code, k, yes, no });
const result = (k: number): Item => ({ code: RETURN, k });

/** A program with each return replaced; labels are its positions behind `name`. */
function items(
  program: readonly Instruction[],
  name: string,
  replace: (instruction: Instruction, at: number) => Item[] | null,
): Item[] {
  const label = (at: number): string => `${name}:${at}`;
  return program.flatMap((instruction, at): Item[] => {
    const { code, jt, jf, k } = instruction;
    const replaced = replace(instruction, at);
    if (replaced !== null) return [{ label: label(at) }, ...replaced];
    if (code === JUMP) return [{ label: label(at) }, { go: label(at + 1 + k) }];
    if (isConditional(code)) return [{ label: label(at) }, when(code, k, label(at + 1 + jt), label(at + 1 + jf))];
    return [{ label: label(at) }, { code, k }];
  });
}

/** For each instruction, how many bytes the packet is known to have when it is reached. */
function knownLengths(program: readonly Instruction[]): number[] {
  const known = new Array<number>(program.length).fill(Number.POSITIVE_INFINITY);
  known[0] = 0;
  for (const [at, instruction] of program.entries()) {
    const { code, k } = instruction;
    const absolute = LOAD_SIZE.has(code) && (code < LD_WORD_AT_X || code === LDX_HEADER);
    const after = absolute ? Math.max(known[at]!, k + LOAD_SIZE.get(code)!) : known[at]!;
    for (const next of successors(instruction, at)) known[next] = Math.min(known[next]!, after);
  }
  return known;
}

const MEMORY_CODES = [LD_MEMORY, LDX_MEMORY, STORE, STORE_X];

/** A scratch word that the program leaves alone, or -1. */
function spareWord(program: readonly Instruction[]): number {
  const used = new Set(program.filter(({ code }) => MEMORY_CODES.includes(code)).map(({ k }) => k));
  return Array.from({ length: MEMORY_WORDS }, (_, i) => i).findLast((i) => !used.has(i)) ?? -1;
}

/** Rewrites single instructions of a rule so that nothing in them ends the program. Gives null for one that may stay. */
function guardedBy(name: string, ip: number, spare: number, miss: string, hit: string, known: readonly number[]) {
  const keepA = (inner: readonly Item[]): Item[] => [load(STORE, spare), ...inner, load(LD_MEMORY, spare)];
  /** `length` bytes from the start of the packet on, else no match. Changes A. */
  const atLeast = (length: number): Item[] =>
    length + ip > 0x7fffffff ? [{ go: miss }] : [load(LD_LENGTH), when(JUMP_AT_LEAST, length + ip, null, miss)];
  return ({ code, k }: Instruction, at: number): Item[] | null => {
    const size = LOAD_SIZE.get(code);
    if (size !== undefined && code >= LD_WORD_AT_X && code !== LDX_HEADER) {
      const end = k + ip + size;
      if (end > 0x7fffffff) return [{ go: miss }];
      const fits = [when(JUMP_AT_LEAST | WITH_X, 0, null, miss), load(ALU_SUB | WITH_X), when(JUMP_AT_LEAST, end, null, miss)];
      return [load(LD_LENGTH), ...fits, load(code, k + ip)];
    }
    if (size !== undefined) {
      const enough = known[at]! >= k + size;
      const guard = enough ? [] : code === LDX_HEADER ? keepA(atLeast(k + size)) : atLeast(k + size);
      return k + size + ip > 0x7fffffff ? [{ go: miss }] : [...guard, load(code, k + ip)];
    }
    switch (code) {
      case LD_LENGTH:
        return [load(LD_LENGTH), load(ALU_SUB, ip)];
      case LDX_LENGTH:
        return keepA([load(LD_LENGTH), load(ALU_SUB, ip), load(A_TO_X)]);
      case ALU_DIV | WITH_X:
      case ALU_MOD | WITH_X:
        return [...keepA([load(X_TO_A), when(JUMP_EQUAL, 0, miss, null)]), load(code)];
      case ALU_LSH | WITH_X:
      case ALU_RSH | WITH_X: {
        // The kernel takes the count modulo 32, libpcap makes 0 of what is shifted out.
        const [out, done] = [`${name}:${at}:out`, `${name}:${at}:done`];
        const test = keepA([load(X_TO_A), when(JUMP_AT_LEAST, 32, out, null)]);
        return [...test, load(code), { go: done }, { label: out }, load(LD_IMMEDIATE, 0), { label: done }];
      }
      case RETURN:
        return [{ go: k === 0 ? miss : hit }];
      case RETURN_A:
        return [when(JUMP_EQUAL, 0, miss, hit)];
      default:
        return null;
    }
  };
}

/** What becomes of a frame: `pass` of what no rule drops, `drop` of what rule i drops. */
interface Outcome {
  readonly notForUs: readonly Item[];
  readonly pass: readonly Item[];
  readonly drop: (rule: number) => readonly Item[];
}

/** Throws a RangeError when a rule uses all scratch words. */
function ruleItems(rule: KernelRule, i: number, ip: number, outcome: Outcome): Item[] {
  const program = decodeProgram(rule.program);
  const spare = spareWord(program);
  if (spare < 0) throw new RangeError("no scratch word is left");
  const [name, miss, hit] = [`rule ${i}`, `rule ${i + 1}`, `hit ${i}`];
  const code = items(program, name, guardedBy(name, ip, spare, miss, hit, knownLengths(program)));
  const then = rule.drops ? outcome.drop(i) : [{ go: "pass" }];
  // Rules begin with empty registers, as if each were alone.
  const start = [{ label: name }, load(LD_IMMEDIATE, 0), load(LDX_IMMEDIATE, 0)];
  return [...start, ...code, { label: hit }, ...then];
}

/** The whole program; null when the kernel would not take it. `ip` is where the IP header lies in what it is run over. */
function build(
  vips: Uint8Array,
  rules: readonly KernelRule[],
  ip: number,
  outcome: Outcome,
  tail: readonly Item[] = [],
): Uint8Array | null {
  const own = ({ code, k }: Instruction): Item[] | null =>
    code !== RETURN ? null : k === 0 ? [...outcome.notForUs] : [{ go: "ours" }];
  const version = (label: string, nibble: number): Item[] => [
    { label },
    load(LD_BYTE, ip),
    load(ALU_AND, 0xf0),
    when(JUMP_EQUAL, nibble << 4, "rule 0", "pass"),
  ];
  const all: Item[] = [
    ...items(decodeProgram(vips), "vips", own),
    { label: "ours" },
    // What still has a tag is user space's: its IP header lies elsewhere.
    load(LD_WORD, FRAME_PROTOCOL),
    when(JUMP_EQUAL, ETHERTYPE_IPV4, "ipv4", null),
    when(JUMP_EQUAL, ETHERTYPE_IPV6, "ipv6", "pass"),
    ...version("ipv4", 4),
    ...version("ipv6", 6),
    ...rules.flatMap((rule, i) => ruleItems(rule, i, ip, outcome)),
    { label: `rule ${rules.length}` },
    { label: "pass" },
    ...outcome.pass,
    ...tail,
  ];
  const program = assemble(all);
  return program.length <= MAX_INSTRUCTIONS ? encodeProgram(program) : null;
}

/**
 * The filter for sockets that workers read. `vips` is the VIP filter for these frames, `ip` the bytes in front of the
 * IP header. Returns null when it has more instructions than the kernel takes.
 */
export function dropFilter(vips: Uint8Array, rules: readonly KernelRule[], ip: number): Uint8Array | null {
  const drop = (i: number): Item[] => {
    const { sample } = rules[i]!;
    if (sample === null) return [result(0)];
    const chosen = `sample ${i}`;
    const roll = [load(LD_WORD, RANDOM), load(ALU_MOD, sample), when(JUMP_EQUAL, 0, chosen, null), result(0)];
    return [...roll, { label: chosen }, result(ALL_BYTES)];
  };
  return build(vips, rules, ip, { notForUs: [result(0)], pass: [result(ALL_BYTES)], drop });
}

/**
 * Adds to the member in X which of the rule's members a frame is for: the first, or with a probability of its length to the smallest unit
 * that it fits into the member of that unit. A frame longer than all units is for the last.
 */
function pickUnit(units: readonly number[]): Item[] {
  const own = units.flatMap((unit, i): Item[] => {
    const next = `unit ${i + 1}`;
    const fits = i === units.length - 1 ? [] : [load(X_TO_A), when(JUMP_AT_LEAST, unit + 1, next, null)];
    const roll = [load(LD_WORD, RANDOM), load(ALU_AND, unit - 1), when(JUMP_AT_LEAST | WITH_X, 0, "unit none", null)];
    return [{ label: `unit ${i}` }, ...fits, ...roll, load(LD_MEMORY, 0), load(ALU_ADD, 1 + i), load(RETURN_A)];
  });
  const start = [{ label: "pick" }, load(STORE_X, 0), load(LDX_LENGTH)];
  return [...start, ...own, { label: "unit none" }, load(LD_MEMORY, 0), load(RETURN_A)];
}

/**
 * The choice of a counting socket, run over frames from their IP header on: 0 for a frame that no rule drops, else 1 + the place of the rule
 * among those that drop. `vips` is the VIP filter for frames without link header.
 *
 * The kernel counts frames, not bytes. With `units` (powers of two, in order) each rule has 1 + units.length sockets in a row; a frame is
 * counted in one of them, so that the sum of count times unit is on average the sum of the lengths (0 for the first).
 */
export function countingChoice(vips: Uint8Array, rules: readonly KernelRule[], units: readonly number[] = []): Uint8Array | null {
  const dropping = rules.flatMap(({ drops }, i) => (drops ? [i] : []));
  const none = [result(0)];
  const first = (i: number): number => 1 + dropping.indexOf(i) * (1 + units.length);
  const drop = (i: number): Item[] => (units.length === 0 ? [result(first(i))] : [load(LDX_IMMEDIATE, first(i)), { go: "pick" }]);
  return build(vips, rules, 0, { notForUs: none, pass: none, drop }, units.length === 0 ? [] : pickUnit(units));
}
