/** Which host a packet goes to first, and which may own its flow after that. */
import { findFlow, findOrPlace, flowCertain, flowHost, isHalfOpen, rememberAt, touchFlow } from "../shm/flow-table.ts";
import { hopOf, isAlive, type Tables, UDP_STATELESS, udpMode } from "../shm/forwarding-table.ts";
import { MAX_CHAIN } from "../steering/generations.ts";
import { NO_HOST } from "../steering/maglev.ts";
import { TCP } from "../wire/tcp.ts";
import { UDP } from "../wire/udp.ts";
import { type FlowMemory, SOCKET_UNKNOWN } from "./flow-memory.ts";
import { isSyn } from "./ownership.ts";
import type { Parsed } from "./parsed.ts";

/** The hosts a packet is sent along. `first` is NO_HOST when there is none; further hops follow in `hops`. */
export interface Chain {
  first: number;
  /** Further hops: with them the first host asks itself whether the flow is its own. */
  count: number;
  readonly hops: Int32Array;
}

export const createChain = (): Chain => ({ first: NO_HOST, count: 0, hops: new Int32Array(MAX_CHAIN) });

/**
 * Sets the chain of the packet in hand when the flow table knows its host for certain, as it does for most packets. Returns
 * false when that is to be found out by setChain.
 */
export function setKnownChain(chain: Chain, m: FlowMemory, t: Tables, p: Parsed): boolean {
  if (!m.directs || isSyn(p)) return false;
  const entry = findFlow(m.flows, p.hash, p.hash2, m.now);
  if (entry < 0 || !flowCertain(m.flows, entry)) return false;
  const host = flowHost(m.flows, entry);
  if (!isAlive(t, host)) return false;
  chain.first = host;
  chain.count = 0;
  if (!p.icmpError && m.answer === SOCKET_UNKNOWN) touchFlow(m.flows, entry, m.now);
  return true;
}

/**
 * Sets the chain of the packet in hand, whose service and bucket are known.
 *
 * What the flow table knows for certain is the whole chain. A guess, and a flow it does not know, carry all hosts of the
 * bucket. A SYN goes to the first hop alone (sent again, to where it went before), and so does what any host may answer. A UDP flow comes back to the first
 * hop behind the last, so that a new flow lands there.
 */
export function setChain(chain: Chain, m: FlowMemory, t: Tables, service: number, bucket: number, p: Parsed): void {
  chain.count = 0;
  const protocol = p.kind & 0xff;
  const remembers = m.directs && (protocol === TCP || protocol === UDP);
  const entry = remembers ? findOrPlace(m.flows, p.hash, p.hash2, m.now, isSyn(p)) : 0;
  if (entry > 0 && (!isSyn(p) || isHalfOpen(m.flows, entry, m.now))) {
    const host = flowHost(m.flows, entry);
    if (isAlive(t, host)) {
      chain.first = host;
      if (!p.icmpError && !isSyn(p) && m.answer === SOCKET_UNKNOWN) touchFlow(m.flows, entry, m.now);
      if (!flowCertain(m.flows, entry)) addHops(chain, t, service, bucket, protocol);
      return;
    }
  }
  chain.first = hopOf(t, service, bucket, 0);
  if (chain.first === NO_HOST) return;
  if (protocol === UDP && udpMode(t, service) === UDP_STATELESS) return;
  if (isSyn(p)) {
    if (remembers) rememberAt(m.flows, entry, p.hash, p.hash2, chain.first, true, m.now);
    return;
  }
  if (remembers && !p.icmpError) rememberAt(m.flows, entry, p.hash, p.hash2, chain.first, false, m.now);
  if (protocol === TCP || protocol === UDP) addHops(chain, t, service, bucket, protocol);
}

/** Moves on to the second hop, which must be there. */
export function dropFirst(chain: Chain): void {
  chain.first = chain.hops[0]!;
  chain.count--;
  chain.hops.copyWithin(0, 1);
}

function addHops(chain: Chain, t: Tables, service: number, bucket: number, protocol: number): void {
  for (let hop = 0; hop < MAX_CHAIN; hop++) {
    const host = hopOf(t, service, bucket, hop);
    if (host === NO_HOST) break;
    if (host !== chain.first && chain.count < MAX_CHAIN - 1) chain.hops[chain.count++] = host;
  }
  if (chain.count > 0 && protocol === UDP) chain.hops[chain.count++] = chain.first;
}
