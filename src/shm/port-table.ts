/**
 * Service by VIP, protocol and port, in an int32 array. Single ports, which services mostly have, lie in a hash table and
 * cost one probe. Ranges of ports are searched, in a sorted list for each VIP and protocol.
 *
 * words: [32 - log2(slots), offset of the lists, offset of the ranges, slots of 2 words: VIP and protocol, port and
 * service + 1; lists of 2 words, two for each VIP: first range, range behind the last; ranges of 3 words: from, to, service]
 */

const LISTS = 1;
const RANGES = 2;
const SLOTS_AT = 3;
const SLOT = 2;
const LIST = 2;
const RANGE = 3;

export interface RangeSpec {
  readonly from: number;
  readonly to: number;
  /** Id of the service, 0 to 65534. */
  readonly service: number;
}

/** Of one VIP: disjoint ranges in ascending order. */
export interface VipPorts {
  readonly tcp: readonly RangeSpec[];
  readonly udp: readonly RangeSpec[];
}

const rangeCount = (vips: readonly VipPorts[]): number => vips.reduce((n, vip) => n + vip.tcp.length + vip.udp.length, 0);

/** At least half of the slots stay free. */
const slotBits = (entries: number): number => Math.ceil(Math.log2(Math.max(2, entries * 2 + 1)));

/** Slots are followed by one for each entry, so that probing need not start again at the first. */
const slotWords = (entries: number): number => (2 ** slotBits(entries) + entries + 1) * SLOT;

/** Words the table of these VIPs takes. */
export const portTableWords = (vips: readonly VipPorts[]): number =>
  SLOTS_AT + slotWords(rangeCount(vips)) + vips.length * 2 * LIST + rangeCount(vips) * RANGE;

/** Entries come from the configuration, so that nobody can choose them to collide. */
const spread = (who: number, port: number): number => Math.imul(Math.imul(who, 0x85ebca6b) ^ port, 0x9e3779b1);

/** Writes the table at `at`; the words there must be zero. */
export function writePortTable(words: Int32Array, at: number, vips: readonly VipPorts[]): void {
  const entries = rangeCount(vips);
  const shift = 32 - slotBits(entries);
  const lists = SLOTS_AT + slotWords(entries);
  const ranges = lists + vips.length * 2 * LIST;
  words.set([shift, lists, ranges], at);
  let next = 0;
  for (const [who, list] of vips.flatMap((vip) => [vip.tcp, vip.udp]).entries()) {
    const first = next;
    for (const { from, to, service } of list) {
      if (from === to) writePort(words, at, shift, who, from, service);
      else words.set([from, to, service], at + ranges + RANGE * next++);
    }
    words.set([first, next], at + lists + who * LIST);
  }
}

function writePort(words: Int32Array, at: number, shift: number, who: number, port: number, service: number): void {
  let slot = at + SLOTS_AT + (spread(who, port) >>> shift) * SLOT;
  while (words[slot + 1] !== 0) slot += SLOT;
  words.set([who, (port << 16) | (service + 1)], slot);
}

/** Id of the service, or -1. `vip` is the index of the VIP. */
export function findPort(words: Int32Array, at: number, vip: number, udp: boolean, port: number): number {
  const who = 2 * vip + (udp ? 1 : 0);
  let slot = at + SLOTS_AT + (spread(who, port) >>> words[at]!) * SLOT;
  for (; ; slot += SLOT) {
    const entry = words[slot + 1]!;
    if (entry === 0) return findRange(words, at, who, port);
    if (words[slot] === who && entry >>> 16 === port) return (entry & 0xffff) - 1;
  }
}

function findRange(words: Int32Array, at: number, who: number, port: number): number {
  const list = at + words[at + LISTS]! + who * LIST;
  const ranges = at + words[at + RANGES]!;
  let low = words[list]!;
  let end = words[list + 1]!;
  while (low < end) {
    const middle = (low + end) >>> 1;
    const range = ranges + middle * RANGE;
    if (port < words[range]!) end = middle;
    else if (port > words[range + 1]!) low = middle + 1;
    else return words[range + 2]!;
  }
  return -1;
}
