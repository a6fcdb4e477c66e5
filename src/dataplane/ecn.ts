/** Congestion marks at the end of a tunnel (RFC 6040, 4.2). */
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Parsed } from "./parsed.ts";

const NOT_ECT = 0;
const ECT_1 = 1;
const ECT_0 = 2;
const CE = 3;

/**
 * Brings the outer ECN mark into the inner packet in hand, as figure 4 of RFC 6040 has it. Returns false when the packet has
 * to be dropped: congestion was signalled and the inner packet cannot carry it.
 */
export function combineEcn(b: DataView, p: Parsed, outerTrafficClass: number): boolean {
  const outer = outerTrafficClass & 3;
  const tos = p.tos;
  const inner = tos & 3;
  if (outer === NOT_ECT || outer === inner || inner === CE) return true;
  if (inner === NOT_ECT) return outer !== CE;
  // Left: the outer mark is stronger (CE over ECT), or ECT(1) over ECT(0); ECT(0) outside changes nothing.
  if (outer === ECT_0) return true;
  const mark = outer === CE ? CE : ECT_1;
  if (p.version === 4) ipv4.setTos(b, p.ip, (tos & ~3) | mark);
  else ipv6.setTrafficClass(b, p.ip, (tos & ~3) | mark);
  return true;
}
