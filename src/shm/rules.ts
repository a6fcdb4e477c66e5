/**
 * Drop rules on their way from the control plane to the workers, and what is counted of them. The rules stand in a small
 * file for each bank of forwarding tables and belong to the same generation; a worker reads it when the generation changes.
 */
import { HEADER_WORDS, type Layout, magic } from "./region.ts";

/** How much may pass of what a rule matches. */
export interface RateLimit {
  /** Packets and bits per second; null: not limited. */
  readonly pps: number | null;
  readonly bps: number | null;
  /** Bits of the source address that packets share a limit by, for each family; 0: all together. */
  readonly prefix4: number;
  readonly prefix6: number;
}

export interface RuleSpec {
  readonly name: string;
  /** Place of its counters. A name keeps its slot as long as the runtime directory lives. */
  readonly slot: number;
  /** Valid classic BPF for packets from the IP header on. */
  readonly program: Uint8Array;
  /** One in so many packets becomes a sample; null: none. */
  readonly sample: number | null;
  /** null: all that match are dropped. */
  readonly limit: RateLimit | null;
  /** Whether the kernel drops and counts what matches, in frames whose IP header follows the link header. */
  readonly inKernel: boolean;
}

/** Rules that may be known by name over the life of a runtime directory. */
export const MAX_RULE_SLOTS = 4096;

export interface RulesFile {
  readonly rules: readonly RuleSpec[];
  /** Names by slot, also of rules that are gone. */
  readonly slots: readonly string[];
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

/** The file's text. */
export function encodeRules({ rules, slots }: RulesFile): string {
  return JSON.stringify({ slots, rules: rules.map((rule) => ({ ...rule, program: toBase64(rule.program) })) });
}

/** Reads what encodeRules() wrote. Throws when it is something else. */
export function decodeRules(text: string): RulesFile {
  const { rules, slots } = JSON.parse(text) as { rules: (Omit<RuleSpec, "program"> & { program: string })[]; slots: string[] };
  return { slots, rules: rules.map((rule) => ({ ...rule, program: new Uint8Array(Buffer.from(rule.program, "base64")) })) };
}

/** Slots for these names: the ones they have, else the next that nobody had. Null when there are none left. */
export function assignSlots(names: readonly string[], slots: readonly string[]): string[] | null {
  const all = [...slots, ...names.filter((name) => !slots.includes(name))];
  return all.length <= MAX_RULE_SLOTS ? all : null;
}

export const RULE_COUNTERS_LAYOUT: Layout = { magic: magic("HRul"), version: 1 };

/** Words of float64 for each rule: packets and bytes dropped, packets and bytes let through by its limit. */
export const RULE_DROPPED = 0;
export const RULE_DROPPED_BYTES = 1;
export const RULE_PASSED = 2;
export const RULE_PASSED_BYTES = 3;
export const RULE_STRIDE = 4;
const BLOCK = MAX_RULE_SLOTS * RULE_STRIDE;
const FIRST_BLOCK = (HEADER_WORDS * 4) / 8;

/** Bytes of the counters: a block for each worker, and one for the main thread with what the kernel dropped. */
export const ruleCountersBytes = (workers: number): number => (FIRST_BLOCK + (workers + 1) * BLOCK) * 8;

/** The block of a worker, or of the main thread behind them; written by its owner alone. */
export const ruleBlock = (buffer: ArrayBufferLike, index: number): Float64Array =>
  new Float64Array(buffer, (FIRST_BLOCK + index * BLOCK) * 8, BLOCK);

export interface RuleCounts {
  /** Packets dropped. Of what the kernel dropped, frames: a super-segment counts as one. */
  readonly packets: number;
  /** How many of them in the kernel. */
  readonly inKernel: number;
  /** Bytes of those dropped in user space, from the IP header on. */
  readonly bytes: number;
  /** An estimate of the bytes of those dropped in the kernel; 0 with more rules than it can estimate for. */
  readonly inKernelBytes: number;
  /** What a limit let through. */
  readonly passedPackets: number;
  readonly passedBytes: number;
}

/** Sums the counters of all rules there are. */
export function readRuleCounts(buffer: ArrayBufferLike, rules: readonly RuleSpec[]): Record<string, RuleCounts> {
  const blocks = Math.floor((buffer.byteLength / 8 - FIRST_BLOCK) / BLOCK);
  const kernel = ruleBlock(buffer, blocks - 1);
  const workers = Array.from({ length: blocks - 1 }, (_, i) => ruleBlock(buffer, i));
  return Object.fromEntries(
    rules.map(({ name, slot }) => {
      const at = slot * RULE_STRIDE;
      const sum = (word: number): number => workers.reduce((total, block) => total + block[at + word]!, 0);
      const [inKernel, inKernelBytes] = [kernel[at + RULE_DROPPED]!, kernel[at + RULE_DROPPED_BYTES]!];
      const [bytes, passedPackets, passedBytes] = [sum(RULE_DROPPED_BYTES), sum(RULE_PASSED), sum(RULE_PASSED_BYTES)];
      const packets = sum(RULE_DROPPED) + inKernel;
      return [name, { packets, inKernel, bytes, inKernelBytes, passedPackets, passedBytes }];
    }),
  );
}
