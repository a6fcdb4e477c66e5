/**
 * Fragments. The first of a datagram has the ports and is judged as any packet; what becomes of it is remembered, and the later
 * ones follow. One that comes before its first is held for a moment.
 *
 * Datagrams are told apart by role too: one that a host forwarded as director may come back to it along a chain.
 */

import { countVerdict } from "../shm/counters.ts";
import { createDecision, FRAGMENT_HOSTS, type FragmentDecision, findFragment, rememberFragment } from "../shm/fragment-table.ts";
import { DELIVERED, ECN_DROP, FORWARDED, FRAGMENT_BAD, FRAGMENT_ORPHAN, NEXT_HOP, OK } from "../shm/verdict.ts";
import { hashLong, hashShort } from "../steering/flow-hash.ts";
import { innerOffset } from "../wire/gue.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { elapsed } from "./clock.ts";
import { deliverCoalesced } from "./coalesce.ts";
import type { Context } from "./context.ts";
import { deliver } from "./deliver.ts";
import { combineEcn } from "./ecn.ts";
import { sendAlong } from "./encap.ts";
import { heldAt, heldClass, heldLength, heldRole, heldSince, hold, release } from "./held-fragments.ts";
import { sendOn } from "./next-hop.ts";
import { parseNetwork, parseTransport } from "./parse.ts";
import { createParsed, FRAGMENT_FIRST, FRAGMENT_LATER, type Parsed, setSingle } from "./parsed.ts";

export const AS_DIRECTOR = 1;
export const AS_TARGET = 2;

/** How long a later fragment waits for its first, ms. */
const HELD_MS = 50;

/** An action is the verdict of the first fragment, and above it the number of further hops it was sent with. */
const VERDICT_MASK = 0xff;
const COUNT_SHIFT = 8;

/** The datagram in hand: its hash under the flow key. Of the one shape that hashing knows. */
const datagram = createParsed();
const decision: FragmentDecision = createDecision();

/** Hashes what fragments of one datagram have in common (RFC 791; RFC 8200, 4.5, where the protocol does not count). */
function hashDatagram(context: Context, role: number): void {
  const { bytes: b, parsed: p, tables: t } = context;
  if (p.version === 4) {
    hashShort(p.source, p.destination, ipv4.identification(b, p.ip), (role << 16) | p.protocol, t.key0, t.key1, datagram);
  } else {
    const id = ipv6.fragmentId(b, p.fragmentAt);
    hashLong(p.upper, p.source, p.destination, id, (role << 16) | 0x600, t.key0, t.key1, datagram);
  }
}

/** Bytes of payload in the fragment in hand, and where in the datagram's they lie. */
const payloadStart = (b: DataView, p: Parsed): number =>
  p.version === 4 ? p.ip + ipv4.headerLength(b, p.ip) : p.fragmentAt + ipv6.FRAGMENT_HEADER;
const offsetOf = (b: DataView, p: Parsed): number =>
  ipv4.fragmentOffset(p.version === 4 ? ipv4.fragmentBits(b, p.ip) : ipv6.fragmentBits6(b, p.fragmentAt));

/**
 * Judges the packet in hand when it is a fragment, or was found bad (`verdict` of parseTransport). Returns OK for a first
 * fragment that is to be treated as any packet; else the verdict. `start` and `length` are what would have to be held: the
 * packet, or the GUE datagram around it. A fragment that is held has the verdict FRAGMENT_ORPHAN and counts 0 packets.
 */
export function judgeFragment(
  context: Context,
  verdict: number,
  role: number,
  start: number,
  length: number,
  trafficClass: number,
): number {
  const { bytes: b, parsed: p } = context;
  if (p.fragment === FRAGMENT_FIRST && verdict === OK) {
    // IPv4 comes round with its 16 bits of identification too soon to say that this is not another datagram.
    if (p.version === 4) return OK;
    hashDatagram(context, role);
    const known = findFragment(context.memory.fragments, datagram.hash, datagram.hash2, context.clock, decision);
    const bytes = p.end - payloadStart(b, p);
    return !known || (decision.firstBytes === bytes && decision.action !== FRAGMENT_BAD) ? OK : FRAGMENT_BAD;
  }
  if (p.fragment !== FRAGMENT_LATER || verdict !== FRAGMENT_ORPHAN) return verdict;
  const followed = follow(context, role, start, length, trafficClass);
  if (followed !== FRAGMENT_ORPHAN) return followed;
  if (hold(context.held, b, start, length, trafficClass, role, context.clock)) p.packets = 0;
  return FRAGMENT_ORPHAN;
}

/** Does with the later fragment in hand what was done with its first; FRAGMENT_ORPHAN when that is not known. */
function follow(context: Context, role: number, start: number, length: number, trafficClass: number): number {
  const { bytes: b, parsed: p, chain } = context;
  hashDatagram(context, role);
  const fragments = context.memory.fragments;
  if (!findFragment(fragments, datagram.hash, datagram.hash2, context.clock, decision)) return FRAGMENT_ORPHAN;
  if (offsetOf(b, p) < decision.firstBytes) {
    // RFC 5722: of an IPv6 datagram with overlapping fragments nothing more may pass.
    if (p.version === 6) {
      decision.action = FRAGMENT_BAD;
      rememberFragment(fragments, datagram.hash, datagram.hash2, context.clock, decision);
    }
    return FRAGMENT_BAD;
  }
  p.hash2 = decision.flow;
  const first = decision.action & VERDICT_MASK;
  if (first === FORWARDED) {
    chain.first = decision.hosts[0]!;
    chain.count = decision.action >>> COUNT_SHIFT;
    for (let i = 0; i < chain.count; i++) chain.hops[i] = decision.hosts[i + 1]!;
    return sendAlong(context, chain);
  }
  if (first === NEXT_HOP) return sendOn(context, start, length, trafficClass);
  if (first !== DELIVERED) return first;
  if (role === AS_TARGET && !combineEcn(b, p, trafficClass)) return ECN_DROP;
  if (context.coalescer !== null) deliverCoalesced(context, context.coalescer);
  return deliver(context, 0);
}

/** Remembers what became of the first fragment in hand. */
export function noteFirst(context: Context, verdict: number, role: number): void {
  const { bytes: b, parsed: p, chain } = context;
  hashDatagram(context, role);
  decision.hosts.fill(0);
  decision.action = verdict;
  if (verdict === FORWARDED) {
    decision.action |= chain.count << COUNT_SHIFT;
    decision.hosts[0] = chain.first;
    for (let i = 0; i < chain.count && i + 1 < FRAGMENT_HOSTS; i++) decision.hosts[i + 1] = chain.hops[i]!;
  }
  decision.flow = p.hash2;
  decision.firstBytes = p.end - payloadStart(b, p);
  rememberFragment(context.memory.fragments, datagram.hash, datagram.hash2, context.clock, decision);
}

/**
 * Looks again for the first fragments of those that are held, in the order they came, also for what other workers have seen: to
 * be called after every turn, before the queues are flushed. `patience` is how long they may wait, ms.
 */
export function settleHeld(context: Context, patience = HELD_MS): void {
  const { held, parsed: p } = context;
  for (let i = 0; i < held.count; ) {
    setSingle(p);
    p.fragment = FRAGMENT_LATER;
    const verdict = again(context, i);
    if (verdict === FRAGMENT_ORPHAN && elapsed(context.clock, heldSince(held, i)) < patience) {
      i++;
      continue;
    }
    release(held, i);
    countVerdict(context.counters, verdict, 1);
  }
}

/** Looks at copy number `i` of those held as at one that comes now. */
function again(context: Context, i: number): number {
  const { bytes: b, held, parsed: p } = context;
  const start = heldAt(held, i);
  const length = heldLength(held, i);
  const role = heldRole(held, i);
  const inner = role === AS_DIRECTOR ? 0 : innerOffset(b, start, length);
  parseNetwork(b, start + inner, length - inner, p);
  parseTransport(b, p);
  return follow(context, role, start, length, heldClass(held, i));
}
