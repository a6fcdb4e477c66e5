/** What a host remembers of flows: the flow table, the SYNs of the last minute, and what the kernel said about sockets. */
import { type FlowTable, findFlow, flowCertain, flowHost, rememberFlow, touchFlow } from "../shm/flow-table.ts";
import { UDP } from "../wire/udp.ts";
import type { Parsed } from "./parsed.ts";

/** Questions to the kernel: is there a socket for the flow in hand. They are put together and asked once per burst. */
export interface SocketQuestions {
  /** Adds the flow in hand. Returns false when no more can be asked in this burst. */
  add(p: Parsed): boolean;
  /** Asks all that were added. */
  ask(): void;
  /** Whether question number `i`, in the order they were added, found a socket; false also when the kernel did not say. */
  found(i: number): boolean;
  /** Forgets the questions. */
  clear(): void;
}

export interface FlowMemory {
  readonly flows: FlowTable;
  /** SYNs, see shm/syn-memory.ts. */
  readonly syns: Int32Array;
  /** First fragments, see shm/fragment-table.ts. */
  readonly fragments: Int32Array;
  readonly sockets: SocketQuestions;
  /** Whether this host as a director looks into the flow table; what it owns itself it remembers in any case. */
  readonly directs: boolean;
  /** Answers about sockets, by flow: pairs of a tag and of the second it was given, the answer in the lowest bit. */
  readonly answers: Int32Array;
  /** Seconds since the epoch, of the burst in hand. */
  now: number;
  /** Answer for the packet in hand when it is looked at again: SOCKET_*. */
  answer: number;
}

export const SOCKET_UNKNOWN = -1;
export const SOCKET_NONE = 0;
export const SOCKET_FOUND = 1;

/** Answer to question number `i` of the burst, as it is kept. */
export const socketAnswer = (m: FlowMemory, i: number): number => (m.sockets.found(i) ? SOCKET_FOUND : SOCKET_NONE);

const ANSWERS = 8192;

/** Memory over a flow table and SYN maps. */
export const createFlowMemory = (
  flows: FlowTable,
  syns: Int32Array,
  fragments: Int32Array,
  sockets: SocketQuestions,
  directs: boolean,
): FlowMemory => ({
  flows,
  syns,
  fragments,
  sockets,
  directs,
  answers: new Int32Array(2 * ANSWERS),
  now: 0,
  answer: SOCKET_UNKNOWN,
});

const answerAt = (p: Parsed): number => (p.hash & (ANSWERS - 1)) * 2;

/** What the kernel said about the flow within this second, or SOCKET_UNKNOWN. */
export function recentAnswer(m: FlowMemory, p: Parsed): number {
  const at = answerAt(p);
  const said = m.answers[at + 1]!;
  return m.answers[at] === p.hash2 && said >> 1 === (m.now & 0x3fffffff) ? said & 1 : SOCKET_UNKNOWN;
}

/** Keeps an answer for the rest of the second. */
export function keepAnswer(m: FlowMemory, p: Parsed, found: number): void {
  const at = answerAt(p);
  m.answers[at] = p.hash2;
  m.answers[at + 1] = ((m.now & 0x3fffffff) << 1) | found;
}

/** Whether the flow table knows for certain that the flow in hand is of host `self`; notes that it goes on. */
export function isKnownOwn(m: FlowMemory, p: Parsed, self: number): boolean {
  const entry = findFlow(m.flows, p.hash, p.hash2, m.now);
  if (entry < 0 || flowHost(m.flows, entry) !== self || !flowCertain(m.flows, entry)) return false;
  touchFlow(m.flows, entry, m.now);
  return true;
}

/** Remembers that the flow in hand is of host `self`. */
export function rememberOwn(m: FlowMemory, p: Parsed, self: number): void {
  if (!isKnownOwn(m, p, self)) rememberFlow(m.flows, p.hash, p.hash2, self, true, m.now, (p.kind & 0xff) === UDP);
}
