/** QUIC: a connection ID that names its server outlives the client's address, so it goes before the flow. */
import { isAlive, quicRecord, type Tables } from "../shm/forwarding-table.ts";
import { findServer, quicLength, quicOffset, quicSelfLength } from "../shm/quic-table.ts";
import { serverIdAt, serverIdOffset } from "../wire/quic.ts";
import { UDP_HEADER } from "../wire/udp.ts";
import type { Chain } from "./chain.ts";
import type { Parsed } from "./parsed.ts";

/**
 * Sets the chain of a UDP packet of `service` to the host that its connection ID names: that one alone. Returns false, with
 * the chain as it was, when it names none, or one that is down.
 *
 * The flow table is neither asked nor told: an ID speaks for its own packet, and a made-up one leads no flow astray here.
 */
export function setQuicChain(chain: Chain, b: DataView, t: Tables, service: number, p: Parsed): boolean {
  const record = quicRecord(t, service);
  if (record === 0) return false;
  const w = t.words;
  const length = quicLength(w, record);
  const at = serverIdOffset(b, p.l4 + UDP_HEADER, p.end, quicOffset(w, record), length, quicSelfLength(w, record));
  if (at < 0) return false;
  const host = findServer(w, record, serverIdAt(b, at, length));
  if (host < 0 || !isAlive(t, host)) return false;
  chain.first = host;
  chain.count = 0;
  return true;
}
