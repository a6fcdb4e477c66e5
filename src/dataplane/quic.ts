/** QUIC: a connection ID that names its server outlives the client's address, so it goes before the flow. */
import { isAlive, quicRecord, type Tables } from "../shm/forwarding-table.ts";
import { findServer, quicLength, quicOffset, quicSelfLength } from "../shm/quic-table.ts";
import { serverIdAt, serverIdOffset } from "../wire/quic.ts";
import { UDP_HEADER } from "../wire/udp.ts";
import type { Chain } from "./chain.ts";
import { isTrain, type Parsed, payloadAt } from "./parsed.ts";

/** The host that the connection ID of a QUIC packet from `quic` to `end` names, and that is alive; -1 when there is none. */
function namedHost(b: DataView, t: Tables, record: number, quic: number, end: number): number {
  const w = t.words;
  const length = quicLength(w, record);
  const at = serverIdOffset(b, quic, end, quicOffset(w, record), length, quicSelfLength(w, record));
  if (at < 0) return -1;
  const host = findServer(w, record, serverIdAt(b, at, length));
  return host >= 0 && isAlive(t, host) ? host : -1;
}

/**
 * How many datagrams of a UDP super-segment of `service`, from number `from` on, go the same way by their connection IDs: GRO joins
 * what is of one 5-tuple, which connections to several hosts may share. All that are left where IDs name no hosts.
 */
export function sameQuicHost(b: DataView, t: Tables, service: number, p: Parsed, from: number): number {
  const record = quicRecord(t, service);
  if (record === 0) return p.packets - from;
  const host = namedByPart(b, t, record, p, from);
  let i = from + 1;
  while (i < p.packets && namedByPart(b, t, record, p, i) === host) i++;
  return i - from;
}

/** The same of datagram number `i` of a super-segment, or of a run of one. */
function namedByPart(b: DataView, t: Tables, record: number, p: Parsed, i: number): number {
  const start = payloadAt(p, i);
  return namedHost(b, t, record, start, Math.min(p.end, start + p.segment));
}

/** Whether any datagram of a super-segment of `service` goes by its flow, as its connection ID names no host. */
export function anyByFlow(b: DataView, t: Tables, service: number, p: Parsed): boolean {
  const record = quicRecord(t, service);
  for (let i = 0; i < p.packets; i++) if (namedByPart(b, t, record, p, i) < 0) return true;
  return false;
}

/**
 * Sets the chain of a UDP packet of `service` to the host that its connection ID names, of a super-segment that of its first datagram:
 * that one alone. Returns false, with the chain as it was, when it names none, or one that is down.
 *
 * The flow table is neither asked nor told: an ID speaks for its own packet, and a made-up one leads no flow astray here.
 */
export function setQuicChain(chain: Chain, b: DataView, t: Tables, service: number, p: Parsed): boolean {
  const record = quicRecord(t, service);
  if (record === 0) return false;
  const host = isTrain(p) ? namedByPart(b, t, record, p, 0) : namedHost(b, t, record, p.l4 + UDP_HEADER, p.end);
  if (host < 0) return false;
  chain.first = host;
  chain.count = 0;
  return true;
}
