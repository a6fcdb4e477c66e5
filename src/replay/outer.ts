/** What the kernel's UDP socket does for a worker, done on a captured packet: is it GUE for this host, from whom, from where on. */
import { HAS_IPV4, HAS_IPV6, HOST_FLAGS, HOST_IPV4, HOST_IPV6, hostAt, type Tables } from "../shm/forwarding-table.ts";
import { type Address, readAddress } from "../wire/address.ts";
import { viewOf } from "../wire/bytes.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { checkUdp, UDP, UDP_HEADER, udpLength } from "../wire/udp.ts";

export interface Outer {
  readonly source: Address["words"];
  readonly trafficClass: number;
  /** Offsets of the GUE header and of the first byte behind the datagram. */
  readonly gue: number;
  readonly end: number;
}

/**
 * Reads the outer headers of a packet; null when it is not UDP to a DIP of this host and the GUE port. The outer checksum is
 * not judged: captures taken where a packet is sent hold unfinished ones.
 */
export function outerOf(packet: Uint8Array, t: Tables): Outer | null {
  const b = viewOf(packet);
  const self = hostAt(t, t.self);
  const flags = t.words[self + HOST_FLAGS]!;
  if (ipv4.checkIpv4(b, 0, packet.length)) {
    if (ipv4.protocol(b, 0) !== UDP || ipv4.fragmentBits(b, 0) !== 0) return null;
    const destination = readAddress(packet, ipv4.IPV4_DESTINATION, 4);
    if ((flags & HAS_IPV4) === 0 || (destination.words[3] | 0) !== t.words[self + HOST_IPV4]) return null;
    const source = readAddress(packet, ipv4.IPV4_SOURCE, 4).words;
    return datagram(b, ipv4.headerLength(b, 0), ipv4.totalLength(b, 0), t.guePort, source, ipv4.tos(b, 0));
  }
  if (!ipv6.checkIpv6(b, 0, packet.length) || (flags & HAS_IPV6) === 0) return null;
  const destination = readAddress(packet, ipv6.IPV6_DESTINATION, 6);
  if (!destination.words.every((word, i) => (word | 0) === t.words[self + HOST_IPV6 + i])) return null;
  let at = ipv6.IPV6_HEADER;
  let next = ipv6.nextHeader(b, 0);
  const end = ipv6.IPV6_HEADER + ipv6.payloadLength(b, 0);
  // Linux's ip6tnl puts a destination option in front of UDP (RFC 2473, tunnel encapsulation limit).
  while (next === ipv6.DESTINATION_OPTIONS && at + 8 <= end) {
    next = b.getUint8(at);
    at += ipv6.extensionLength(b, at, ipv6.DESTINATION_OPTIONS);
  }
  if (next !== UDP) return null;
  return datagram(b, at, end, t.guePort, readAddress(packet, ipv6.IPV6_SOURCE, 6).words, ipv6.trafficClass(b, 0));
}

function datagram(
  b: DataView,
  udp: number,
  end: number,
  port: number,
  source: Address["words"],
  trafficClass: number,
): Outer | null {
  if (!checkUdp(b, udp, end - udp) || b.getUint16(udp + 2) !== port) return null;
  return { source, trafficClass, gue: udp + UDP_HEADER, end: udp + udpLength(b, udp) };
}
