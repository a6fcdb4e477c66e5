/**
 * The flow table: which host a flow belongs to. Set-associative over shared memory: a set is 8 flows in two cache lines of 4;
 * of a flow only a 64-bit keyed tag is kept, not its addresses. A flow has a line that is tried first, so that finding it
 * mostly touches one: memory is what a look-up costs.
 *
 * words of a line: [4 tags][4 second tags][4 of host and state][4 times last seen, seconds]
 *
 * Several workers write without locks. A second tag is stored mixed with what the entry says, so that an entry put
 * together from two writers' words matches no flow: what is lost is an entry, never the truth of one.
 */
import { HEADER_WORDS, type Layout, magic } from "./region.ts";

export const FLOWS_LAYOUT: Layout = { magic: magic("HFlw"), version: 3 };

const LINE_WAYS = 4;
const LINE_WORDS = 4 * LINE_WAYS;
const WAYS = 2 * LINE_WAYS;
const SET_WORDS = 2 * LINE_WORDS;
/** The header takes a set's place, so that sets begin at a multiple of 128 bytes. */
const FIRST_SET = SET_WORDS;
const EPOCH = HEADER_WORDS;

const TAG2 = LINE_WAYS;
const INFO = 2 * LINE_WAYS;
const SEEN = 3 * LINE_WAYS;

/** The info word: host id in the low half; the rest below. 0 is a free entry. */
const HOST_MASK = 0xffff;
const USED = 0x10000;
/** A second packet of the flow has been seen: what a flood of first packets cannot push out. */
const ESTABLISHED = 0x20000;
const CERTAIN = 0x40000;
/** A flow of UDP, which has no end that anybody could see. */
const DATAGRAMS = 0x80000;
/** What the second tag vouches for: that which packets are steered by, but ESTABLISHED, which comes later. */
const VOUCHED = HOST_MASK | USED | CERTAIN;

/** Seconds after which an entry that nobody used counts no more. */
const IDLE_LIMIT = 3600;
/** Seconds within which a packet that begins a flow is taken for one that is sent again: Linux does after 1, 3 and 7. */
const OPENING = 10;
/** Seconds without a packet after which an established flow may make room for another; one that is a guess makes room after OPENING. */
const IDLE_EVICTABLE = 120;
/** Guesses may use this share of the rate of new entries, which is theirs alone: a flood of them takes nothing from flows that begin. */
const GUESSES = 0.25;

/** Bytes of a table that tracks `flows` flows; a quarter to a half of the entries stay free. */
export function flowTableBytes(flows: number): number {
  return (FIRST_SET + setsFor(flows) * SET_WORDS) * 4;
}

const setsFor = (flows: number): number => 2 ** Math.ceil(Math.log2(Math.max(WAYS, flows * 1.5) / WAYS));

export interface FlowTable {
  readonly words: Int32Array;
  /** Set of a flow: the top bits of its second hash. */
  readonly shift: number;
  /** New entries this worker may still make in the second `second`, certain ones and guesses; `rate` is what it gets for certain ones. */
  readonly rate: number;
  budget: number;
  guesses: number;
  second: number;
  /** What fetchLines read, kept so that no compiler leaves it out. */
  touched: number;
}

/** A worker's view of a table in a buffer of flowTableBytes(); it makes at most `rate` new certain entries a second, and a quarter as many guesses. */
export function viewFlows(buffer: ArrayBufferLike, rate: number): FlowTable {
  const words = new Int32Array(buffer);
  const sets = (words.length - FIRST_SET) / SET_WORDS;
  return { words, shift: 32 - Math.log2(sets), rate, budget: rate, guesses: guessesOf(rate), second: 0, touched: 0 };
}

const guessesOf = (rate: number): number => Math.ceil(rate * GUESSES);

/** Which numbering of hosts the entries are in; another one makes them worthless. */
export const flowsEpoch = (buffer: ArrayBufferLike): number => new Int32Array(buffer)[EPOCH]!;
export const setFlowsEpoch = (buffer: ArrayBufferLike, epoch: number): void => {
  new Int32Array(buffer)[EPOCH] = epoch;
};

const vouch = (info: number): number => Math.imul(info & VOUCHED, 0x9e3779b1);

/** The line of its set that a flow is looked for in first. */
export const firstLine = (f: FlowTable, hash: number, hash2: number): number =>
  FIRST_SET + (hash2 >>> f.shift) * SET_WORDS + (hash & LINE_WORDS);

/** The other line of the same set: sets are aligned. */
const otherLine = (line: number): number => line ^ LINE_WORDS;

/**
 * Reads a word of each of the first `count` lines, to have them in the cache when their flows are looked up; unless all flows are
 * `known`, of the other lines of their sets too: a flow that may be new needs both. Nothing else stands in these loops, so that as
 * many reads as possible are under way at a time.
 */
export function fetchLines(f: FlowTable, lines: Int32Array, count: number, known: boolean): void {
  const w = f.words;
  let touched = 0;
  for (let i = 0; i < count; i++) touched |= w[lines[i]!]!;
  if (!known) for (let i = 0; i < count; i++) touched |= w[otherLine(lines[i]!)]!;
  f.touched = touched;
}

/** Entry of the flow with this 64-bit hash, or -1; `now` is in seconds. */
export const findFlow = (f: FlowTable, hash: number, hash2: number, now: number): number =>
  findFlowAt(f, firstLine(f, hash, hash2), hash, hash2, now);

/** The same with the flow's first line, for who has it at hand. */
export function findFlowAt(f: FlowTable, line: number, hash: number, hash2: number, now: number): number {
  const entry = findInLine(f.words, line, hash, hash2);
  const found = entry < 0 ? findInLine(f.words, otherLine(line), hash, hash2) : entry;
  return found < 0 || now - f.words[found + SEEN]! > IDLE_LIMIT ? -1 : found;
}

function findInLine(w: Int32Array, line: number, hash: number, hash2: number): number {
  for (let i = line; i < line + LINE_WAYS; i++) {
    if (w[i] !== hash) continue;
    const info = w[i + INFO]!;
    if (info !== 0 && (w[i + TAG2]! ^ vouch(info)) === hash2) return i;
  }
  return -1;
}

/** Id of the host an entry names. */
export const flowHost = (f: FlowTable, entry: number): number => f.words[entry + INFO]! & HOST_MASK;

/** Whether the entry was made by the packet that began the flow, or by its owner; else the host is a guess. */
export const flowCertain = (f: FlowTable, entry: number): boolean => (f.words[entry + INFO]! & CERTAIN) !== 0;

/** Seconds since the last packet that used an entry. */
export const idleSeconds = (f: FlowTable, entry: number, now: number): number => now - f.words[entry + SEEN]!;

/**
 * Whether only the packet that began the flow has been seen, a moment ago: it may come again. Of the flows that it takes in itself a
 * host sees no more here either, and their ports come back for others.
 */
export const isHalfOpen = (f: FlowTable, entry: number, now: number): boolean =>
  (f.words[entry + INFO]! & (ESTABLISHED | CERTAIN)) === CERTAIN && now - f.words[entry + SEEN]! <= OPENING;

/** Notes that the flow goes on. */
export function touchFlow(f: FlowTable, entry: number, now: number): void {
  const w = f.words;
  const info = w[entry + INFO]!;
  if ((info & ESTABLISHED) === 0) w[entry + INFO] = info | ESTABLISHED;
  if (w[entry + SEEN] !== now) w[entry + SEEN] = now;
}

/**
 * Remembers a flow, also one that belongs to another host now. Returns false when there is no room for it: its set is full (see
 * findOrPlace), or too many new ones have come within the second; guesses are counted apart.
 */
export const rememberFlow = (
  f: FlowTable,
  hash: number,
  hash2: number,
  host: number,
  certain: boolean,
  now: number,
  udp = false,
): boolean => rememberAt(f, findOrPlace(f, hash, hash2, now, certain), hash, hash2, host, certain, now, udp);

/** The same at the place that findOrPlace gave for an entry as certain as this one, found or free. */
export function rememberAt(
  f: FlowTable,
  found: number,
  hash: number,
  hash2: number,
  host: number,
  certain: boolean,
  now: number,
  udp = false,
): boolean {
  if (now !== f.second) {
    f.second = now;
    f.budget = f.rate;
    f.guesses = guessesOf(f.rate);
  }
  if (found === 0 || (certain ? f.budget : f.guesses) <= 0) return false;
  if (certain) f.budget--;
  else f.guesses--;
  const entry = found < 0 ? ~found : found;
  const w = f.words;
  const info = host | USED | (certain ? CERTAIN : 0) | (udp ? DATAGRAMS : 0);
  w[entry + INFO] = 0;
  w[entry] = hash;
  w[entry + TAG2] = hash2 ^ vouch(info);
  w[entry + SEEN] = now;
  w[entry + INFO] = info;
  return true;
}

/**
 * Entry of the flow as findFlow gives it, always above 0. Else the place where it can be remembered, inverted: its own that has
 * expired; else a free or expired one; else the oldest of the guesses that were seen once or not for OPENING. For an entry that is to
 * be `certain`, else the oldest of the certain ones seen once; else the oldest guess; else an established flow that is idle. 0 when
 * there is none: a guess takes no place from what is certain.
 */
export function findOrPlace(f: FlowTable, hash: number, hash2: number, now: number, certain: boolean): number {
  const w = f.words;
  const line = firstLine(f, hash, hash2);
  let weak = -1;
  let once = -1;
  let held = -1;
  let idle = -1;
  let free = -1;
  for (let turn = 0; turn <= LINE_WORDS; turn += LINE_WORDS) {
    const start = line ^ turn;
    for (let i = start; i < start + LINE_WAYS; i++) {
      const info = w[i + INFO]!;
      const seen = w[i + SEEN]!;
      // Lines fill up from their first entry on, a set's second line after its first: behind one never used there is none.
      if (info === 0) return ~(free >= 0 ? free : i);
      if (w[i] === hash && (w[i + TAG2]! ^ vouch(info)) === hash2) {
        return now - seen > IDLE_LIMIT ? ~i : i;
      } else if (now - seen > IDLE_LIMIT) {
        if (free < 0) free = i;
      } else if ((info & CERTAIN) === 0) {
        if ((info & ESTABLISHED) !== 0 && now - seen <= OPENING) {
          if (held < 0 || seen < w[held + SEEN]!) held = i;
        } else if (weak < 0 || seen < w[weak + SEEN]!) weak = i;
      } else if ((info & ESTABLISHED) === 0) {
        if (once < 0 || seen < w[once + SEEN]!) once = i;
      } else if (now - seen > IDLE_EVICTABLE && (idle < 0 || seen < w[idle + SEEN]!)) idle = i;
    }
  }
  const spare = free >= 0 ? free : weak;
  if (spare >= 0 || !certain) return ~spare;
  return ~(once >= 0 ? once : held >= 0 ? held : idle);
}

/** Entries in use, by state; reads the whole table. */
export function countFlows(f: FlowTable, now: number): { once: number; established: number } {
  let once = 0;
  let established = 0;
  for (let line = FIRST_SET; line < f.words.length; line += LINE_WORDS) {
    for (let i = line; i < line + LINE_WAYS; i++) {
      const info = f.words[i + INFO]!;
      if (info === 0 || now - f.words[i + SEEN]! > IDLE_LIMIT) continue;
      if ((info & ESTABLISHED) !== 0) established++;
      else once++;
    }
  }
  return { once, established };
}

/**
 * Flows that are known to be of one host, and of which a packet was seen at second `since` or later; looks through `most` lines from
 * word `from` on. `udp` are those of UDP that had one at second `udpSince` or later; `next` is where to go on, null at the end of the table.
 */
export function countFlowsOf(
  f: FlowTable,
  host: number,
  since: number,
  udpSince: number,
  from = FIRST_SET,
  most = Number.POSITIVE_INFINITY,
): { flows: number; udp: number; next: number | null } {
  const own = host | USED | CERTAIN;
  const end = Math.min(f.words.length, from + most * LINE_WORDS);
  let flows = 0;
  let udp = 0;
  for (let line = from; line < end; line += LINE_WORDS) {
    for (let i = line; i < line + LINE_WAYS; i++) {
      const info = f.words[i + INFO]!;
      if ((info & VOUCHED) !== own || f.words[i + SEEN]! < since) continue;
      flows++;
      if ((info & DATAGRAMS) !== 0 && f.words[i + SEEN]! >= udpSince) udp++;
    }
  }
  return { flows, udp, next: end < f.words.length ? end : null };
}
