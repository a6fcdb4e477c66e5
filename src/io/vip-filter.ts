/**
 * The classic BPF program that lets only packets for VIPs through to an AF_PACKET socket: everything else the host gets
 * is dropped in the kernel and costs user space nothing. Addresses are found by binary search, word by word.
 */
import { endianness } from "node:os";
import { formatPrefix, mappedLength, type Prefix } from "../wire/address.ts";
import { LINK_ETHERNET, type LinkType } from "./packet-io.ts";

/** One instruction: struct sock_filter of linux/filter.h. Jumps count from the next instruction. */
interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

const LD_WORD_AT_X = 0x40;
const LD_WORD = 0x20;
const LD_HALF = 0x28;
const LD_BYTE = 0x30;
const LDX_IMMEDIATE = 0x01;
const SHIFT_RIGHT = 0x74;
const JUMP = 0x05;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const RETURN = 0x06;

/** Most instructions the kernel takes (BPF_MAXINSNS). */
export const MAX_INSTRUCTIONS = 4096;
/** SKF_AD_OFF + SKF_AD_PKTTYPE: loads the packet's type, of which PACKET_HOST (0) is sent to our link address. */
const PACKET_TYPE = 0xfffff004;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_QINQ = 0x88a8;
const IPV4_DESTINATION = 16;
const IPV6_DESTINATION = 24;

const op = (code: number, k: number, jt = 0, jf = 0): Instruction => ({ code, jt, jf, k: k >>> 0 });
/** A filter returns how many bytes pass: all, which of BIG TCP are up to 512 KB, or none. */
const ALL_BYTES = 0x7fffffff;
const ACCEPT = [op(RETURN, ALL_BYTES)];
const REJECT = [op(RETURN, 0)];

/** `then` where A equals `value`, else what follows. */
const whenEqual = (value: number, then: readonly Instruction[]): Instruction[] => [
  op(JUMP_EQUAL, value, 1, 0),
  op(JUMP, then.length),
  ...then,
];

/** A run of values of one address word, up to where the next begins, and what is done with them. */
interface Segment {
  readonly from: number;
  readonly code: readonly Instruction[];
}

/** Binary search of A over segments in order, of which the first begins at 0. */
function search(segments: readonly Segment[]): readonly Instruction[] {
  if (segments.length === 1) return segments[0]!.code;
  const middle = segments.length >> 1;
  const below = search(segments.slice(0, middle));
  const above = search(segments.slice(middle));
  const at = segments[middle]!.from;
  // A conditional jump reaches 255 instructions, an unconditional one any number.
  if (below.length <= 255) return [op(JUMP_AT_LEAST, at, below.length, 0), ...below, ...above];
  return [op(JUMP_AT_LEAST, at, 0, 1), op(JUMP, below.length), ...below, ...above];
}

/** Values of one address word, from `from` up to but not including `to`. */
interface Run {
  readonly from: number;
  readonly to: number;
  /** Prefixes that go on in the next word; null: all addresses of the run match. */
  readonly longer: Prefix[] | null;
}

/** The values of address word `word` that prefixes begin with, in order and disjoint. n log n: there may be 10,000 prefixes. */
function runsOf(prefixes: readonly Prefix[], word: number): Run[] {
  const runs: Run[] = [];
  const longer = new Map<number, Prefix[]>();
  for (const prefix of prefixes) {
    const from = prefix.address.words[word]!;
    const bits = mappedLength(prefix) - 32 * word;
    const same = longer.get(from);
    if (bits <= 32) runs.push({ from, to: from + 2 ** (32 - bits), longer: null });
    else if (same !== undefined) same.push(prefix);
    else longer.set(from, [prefix]);
  }
  for (const [from, within] of longer) runs.push({ from, to: from + 1, longer: within });
  // Prefixes are disjoint or one holds the other: the widest run comes first, and those within it are left out.
  runs.sort((a, b) => a.from - b.from || b.to - a.to || (a.longer === null ? -1 : 1));
  let end = 0;
  return runs.filter(({ from, to }) => {
    if (from < end) return false;
    end = to;
    return true;
  });
}

/**
 * Matches address words from `word` on, given the prefixes that agree with the words before. X holds the offset of the
 * IP header; `destination` is that of the address word 0 in it.
 */
function matchWord(prefixes: readonly Prefix[], word: number, destination: number): readonly Instruction[] {
  if (prefixes.length === 0) return REJECT;
  if (prefixes.some((p) => mappedLength(p) <= 32 * word)) return ACCEPT;
  const segments: Segment[] = [];
  const add = (from: number, code: readonly Instruction[]): void => {
    if (segments.at(-1)?.code !== code) segments.push({ from, code });
  };
  let end = 0;
  for (const { from, to, longer } of runsOf(prefixes, word)) {
    if (from > end) add(end, REJECT);
    add(from, longer === null ? ACCEPT : matchWord(longer, word + 1, destination));
    end = to;
  }
  if (end < 2 ** 32) add(end, REJECT);
  return [op(LD_WORD_AT_X, destination + 4 * word), ...search(segments)];
}

/** Ethernet with up to two VLAN tags: afterwards A is the EtherType and X the offset of what follows it. */
function etherType(): Instruction[] {
  const tagged = (offset: number, next: readonly Instruction[]): Instruction[] => [
    op(LDX_IMMEDIATE, offset + 2),
    op(LD_HALF, offset),
    op(JUMP_EQUAL, ETHERTYPE_VLAN, 2, 0),
    op(JUMP_EQUAL, ETHERTYPE_QINQ, 1, 0),
    op(JUMP, next.length),
    ...next,
  ];
  return tagged(12, tagged(16, [op(LDX_IMMEDIATE, 22), op(LD_HALF, 20)]));
}

function program(ipv4: readonly Instruction[], ipv6: readonly Instruction[], link: LinkType): Instruction[] {
  const [four, six] = link === LINK_ETHERNET ? [ETHERTYPE_IPV4, ETHERTYPE_IPV6] : [4, 6];
  const start = link === LINK_ETHERNET ? etherType() : [op(LDX_IMMEDIATE, 0), op(LD_BYTE, 0), op(SHIFT_RIGHT, 4)];
  const rest = [...start, ...whenEqual(four, ipv4), ...whenEqual(six, ipv6), ...REJECT];
  return [op(LD_WORD, PACKET_TYPE), op(JUMP_EQUAL, 0, 1, 0), ...REJECT, ...rest];
}

/**
 * The filter for packets to these prefixes that are sent to this host, as struct sock_filter in host order. `link` is what
 * frames begin with. When there are more prefixes than a program can hold, all IP packets to this host pass.
 */
export function vipFilter(prefixes: readonly Prefix[], link: LinkType): Uint8Array {
  const distinct = [...new Map(prefixes.map((p) => [formatPrefix(p), p])).values()];
  const of = (family: number): Prefix[] => distinct.filter((p) => p.address.family === family);
  const ipv4 = matchWord(of(4), 3, IPV4_DESTINATION - 12);
  const ipv6 = matchWord(of(6), 0, IPV6_DESTINATION);
  const exact = program(ipv4, ipv6, link);
  const instructions = exact.length <= MAX_INSTRUCTIONS ? exact : program(ACCEPT, ACCEPT, link);
  const bytes = new Uint8Array(instructions.length * 8);
  const view = new DataView(bytes.buffer);
  const little = endianness() === "LE";
  instructions.forEach(({ code, jt, jf, k }, i) => {
    view.setUint16(i * 8, code, little);
    view.setUint8(i * 8 + 2, jt);
    view.setUint8(i * 8 + 3, jf);
    view.setUint32(i * 8 + 4, k, little);
  });
  return bytes;
}
