/** What a packet that left for another host says on the wire: to whom it goes, and who comes after. */
import { findPeer, type Tables } from "../shm/forwarding-table.ts";
import { type Address, readAddress } from "../wire/address.ts";
import { viewOf } from "../wire/bytes.ts";
import { advanceHop, hopFamily, hopsLeft, innerOffset, nextHopAddress } from "../wire/gue.ts";
import { IPV4_DESTINATION, IPV4_HEADER } from "../wire/ipv4.ts";
import { IPV6_DESTINATION, IPV6_HEADER } from "../wire/ipv6.ts";
import { sourcePort } from "../wire/tcp.ts";
import { UDP_HEADER } from "../wire/udp.ts";

export interface Sent {
  /** Ids of the host it is sent to, and of the further hops in its GUE header, in order; -1: no host has the address. */
  readonly to: number;
  readonly furtherHops: readonly number[];
  /** UDP source port, by which the flow is found in captures between hosts. */
  readonly sourcePort: number;
  /** Bytes of outer headers. */
  readonly overhead: number;
}

function hostOf(t: Tables, { family, words: [a, b, c, d] }: Address): number {
  const mapped = family === 6 && a === 0 && b === 0 && c === 0xffff;
  return findPeer(t, mapped ? 4 : family, a | 0, b | 0, c | 0, d | 0);
}

/** Reads a GUE packet of ours, outer IP header first and whole. */
export function readSent(packet: Uint8Array, t: Tables): Sent {
  const bytes = packet.slice();
  const b = viewOf(bytes);
  const v4 = b.getUint8(0) >>> 4 === 4;
  const udp = v4 ? IPV4_HEADER : IPV6_HEADER;
  const gue = udp + UDP_HEADER;
  const inner = innerOffset(b, gue, bytes.length - gue);
  const furtherHops: number[] = [];
  while (hopsLeft(b, gue, inner) > 0) {
    furtherHops.push(hostOf(t, readAddress(bytes, nextHopAddress(b, gue), hopFamily(b, gue))));
    advanceHop(b, gue);
  }
  const to = hostOf(t, readAddress(bytes, v4 ? IPV4_DESTINATION : IPV6_DESTINATION, v4 ? 4 : 6));
  return { to, furtherHops, sourcePort: sourcePort(b, udp), overhead: gue + inner };
}
