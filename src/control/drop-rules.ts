/** Drop rules of a config compiled to classic BPF, and as much of them as the kernel can take over. */
import { countingChoice, dropFilter, type KernelRule } from "../bpf/kernel-filter.ts";
import { decodeProgram, validateProgram } from "../bpf/program.ts";
import { readsLength } from "../bpf/reads-length.ts";
import { native } from "../io/native.ts";
import { LINK_ETHERNET, LINK_RAW, type LinkType } from "../io/packet-io.ts";
import { vipFilter } from "../io/vip-filter.ts";
import type { RateLimit, RuleSpec } from "../shm/rules.ts";
import type { Prefix } from "../wire/address.ts";
import { ETHERNET_HEADER } from "../wire/ethernet.ts";
import type { Config, DropConfig } from "./config.ts";
import { Failure } from "./failure.ts";

/** libpcap's link type for packets that begin with the IP header. */
const DLT_RAW = 12;
/** Counting sockets in a group, less the one that counts nothing. */
const MAX_COUNTED = 255;

/** Units in which the kernel's counting sockets count bytes: 64 KB is the longest frame but for those of BIG TCP. */
export const BYTE_UNITS: readonly number[] = [256, 2048, 65_536, 524_288];

const ALL_ADDRESSES: readonly Prefix[] = ([4, 6] as const).map((family) => ({
  address: { family, words: [0, 0, family === 4 ? 0xffff : 0, 0] },
  length: 0,
}));

export interface CompiledRule {
  readonly name: string;
  readonly program: Uint8Array;
  readonly sample: number | null;
  readonly limit: RateLimit | null;
}

export interface Compiled {
  readonly rules: readonly CompiledRule[];
  /** What is wrong, each a line `drop[0].match: ...`. */
  readonly errors: readonly string[];
  /** That there is no libpcap, or null. The rules are empty then. */
  readonly missing: string | null;
}

/**
 * Prefix lengths for both families from the one in the config: an IPv6 prefix stands for an IPv4 prefix of half its length, as
 * the /48 of a site for a /24 and the /64 of a link for one address.
 */
function limitOf({ pps, bps, per }: NonNullable<DropConfig["limit"]>): RateLimit {
  if (per === null) return { pps, bps, prefix4: 0, prefix6: 0 };
  return per <= 32
    ? { pps, bps, prefix4: per, prefix6: 2 * per }
    : { pps, bps, prefix4: Math.min(32, Math.ceil(per / 2)), prefix6: per };
}

/** Compiles the rules of a config for packets that begin with the IP header. */
export function compileRules(config: Pick<Config, "drop">): Compiled {
  const rules: CompiledRule[] = [];
  const errors: string[] = [];
  for (const [i, { name, match, sample, limit }] of config.drop.entries()) {
    try {
      const program = native().compileFilter(match, DLT_RAW);
      const wrong = validateProgram(decodeProgram(program));
      if (wrong === null) rules.push({ name, program, sample, limit: limit === null ? null : limitOf(limit) });
      else errors.push(`drop[${i}].match: libpcap made a program that cannot be run: ${wrong}`);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOPCAP") return { rules: [], errors: [], missing: `drop[${i}].match: ${message}` };
      errors.push(`drop[${i}].match: ${message} (write it as for tcpdump; see man pcap-filter)`);
    }
  }
  return { rules: errors.length > 0 ? [] : rules, errors, missing: null };
}

/** The rules of a config that an agent is to act on. Throws a Failure of lines that name `file`. */
export function usableRules(config: Pick<Config, "drop">, file: string): readonly CompiledRule[] {
  const { rules, errors, missing } = compileRules(config);
  const lines = missing === null ? errors : [missing];
  if (lines.length > 0)
    throw new Failure(
      lines.map((line) => `${file}: ${line}`),
      2,
    );
  return rules;
}

/** The rules of a config for a host without kernel: all are judged in user space. Throws a Failure. */
export const replayRules = (config: Pick<Config, "drop">, file: string): RuleSpec[] =>
  usableRules(config, file).map((rule, slot) => ({ ...rule, slot, inKernel: false }));

const kernelRules = (rules: readonly CompiledRule[]): KernelRule[] =>
  rules.map(({ program, sample, limit }) => ({ program, sample, drops: limit === null }));

/** The socket filter for these VIPs with the first `inKernel` rules in it. */
export function uplinkFilter(
  vips: readonly Prefix[],
  link: LinkType,
  rules: readonly CompiledRule[],
  inKernel: number,
): Uint8Array {
  const plain = vipFilter(vips, link);
  const taken = kernelRules(rules.slice(0, inKernel));
  if (!taken.some(({ drops }) => drops)) return plain;
  // Fewer VIPs may take more instructions than all IP packets do; the rules are in it whatever happens.
  const all = vipFilter(ALL_ADDRESSES, link);
  return dropFilter(plain, taken, headerOf(link)) ?? dropFilter(all, taken, headerOf(link)) ?? plain;
}

export interface RuleChoice {
  readonly program: Uint8Array;
  /** Counting sockets of each rule: one, or one more for each of BYTE_UNITS. */
  readonly members: number;
}

/** How the kernel finds out which of the first `inKernel` rules drops a frame. Null when it drops none. */
export function ruleChoice(vips: readonly Prefix[], rules: readonly CompiledRule[], inKernel: number): RuleChoice | null {
  const taken = kernelRules(rules.slice(0, inKernel));
  const dropping = taken.filter(({ drops }) => drops).length;
  if (dropping === 0) return null;
  const raw = vipFilter(vips, LINK_RAW);
  const members = 1 + BYTE_UNITS.length;
  const withBytes = dropping * members > MAX_COUNTED ? null : countingChoice(raw, taken, BYTE_UNITS);
  if (withBytes !== null) return { program: withBytes, members };
  const program = countingChoice(raw, taken);
  return program === null ? null : { program, members: 1 };
}

/**
 * How many rules, from the first on, the kernel can take over. Those behind them are left to user space: one that reads the length of
 * packets, and all behind it, as the first that matches decides.
 */
export function rulesForKernel(vips: readonly Prefix[], link: LinkType, rules: readonly CompiledRule[]): number {
  const plain = vipFilter(vips, link);
  const raw = vipFilter(vips, LINK_RAW);
  const fits = (count: number): boolean => {
    const taken = kernelRules(rules.slice(0, count));
    if (taken.filter(({ drops }) => drops).length > MAX_COUNTED) return false;
    try {
      return dropFilter(plain, taken, headerOf(link)) !== null && countingChoice(raw, taken) !== null;
    } catch (error) {
      // A program that leaves no scratch word.
      if (error instanceof RangeError) return false;
      throw error;
    }
  };
  const long = rules.findIndex(({ program }) => readsLength(decodeProgram(program)));
  let [least, most] = [0, long < 0 ? rules.length : long];
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (fits(middle)) least = middle;
    else most = middle - 1;
  }
  return least;
}

const headerOf = (link: LinkType): number => (link === LINK_ETHERNET ? ETHERNET_HEADER : 0);
