/**
 * Whose flow is it? The questions a target asks about a packet that could also go to the next hop of its chain, in the order
 * of cost and certainty.
 *
 *   echo request                           -> mine: any owner's kernel can answer
 *   TCP SYN                                -> mine, remember it: the flow begins here
 *   the flow table says it is mine         -> mine
 *   the kernel has a socket for it         -> mine, remember it
 *   ACK, and its SYN came here just now    -> mine: it completes a handshake with SYN cookies
 *   none of these                          -> the next hop's
 */
import { rememberSyn, synSeen } from "../shm/syn-memory.ts";
import { ACK, FIN, RST, SYN, TCP } from "../wire/tcp.ts";
import { UDP } from "../wire/udp.ts";
import {
  type FlowMemory,
  isKnownOwn,
  keepAnswer,
  recentAnswer,
  rememberOwn,
  SOCKET_FOUND,
  SOCKET_UNKNOWN,
} from "./flow-memory.ts";
import type { Parsed } from "./parsed.ts";

export const NOT_MINE = 0;
export const MINE = 1;
/** The kernel has been asked; the packet is to be looked at again when it has answered. */
export const ASKED = 2;

/** Whether the packet in hand begins a TCP connection. */
export const isSyn = (p: Parsed): boolean => (p.tcpFlags & (SYN | ACK | RST)) === SYN && !p.icmpError;

const isHandshakeAck = (p: Parsed): boolean => (p.tcpFlags & (SYN | ACK | RST | FIN)) === ACK && !p.icmpError;

/** Remembers a SYN that this host takes. */
function noteSyn(m: FlowMemory, p: Parsed, self: number): void {
  rememberOwn(m, p, self);
  rememberSyn(m.syns, p.hash, p.hash2, m.now);
}

/** Remembers a flow that came here with nobody else to go to: TCP that begins, and UDP when `udp` is set. */
export function noteFlow(m: FlowMemory, p: Parsed, self: number, udp: boolean): void {
  if (isSyn(p)) noteSyn(m, p, self);
  else if (udp && (p.kind & 0xff) === UDP && !p.icmpError) rememberOwn(m, p, self);
}

/** MINE, NOT_MINE or ASKED for the packet in hand, parsed and hashed, on host `self`. */
export function ownership(m: FlowMemory, p: Parsed, self: number): number {
  const protocol = p.kind & 0xff;
  if (protocol !== TCP && protocol !== UDP) return MINE;
  if (isSyn(p)) {
    noteSyn(m, p, self);
    return MINE;
  }
  if (isKnownOwn(m, p, self)) return MINE;
  let answer = m.answer;
  if (answer === SOCKET_UNKNOWN) {
    answer = recentAnswer(m, p);
    if (answer === SOCKET_UNKNOWN && m.sockets.add(p)) return ASKED;
  } else {
    keepAnswer(m, p, answer);
  }
  if (answer === SOCKET_FOUND) {
    rememberOwn(m, p, self);
    return MINE;
  }
  return isHandshakeAck(p) && synSeen(m.syns, p.hash, p.hash2, m.now) ? MINE : NOT_MINE;
}
