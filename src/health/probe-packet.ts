/** Probes as they go into the tunnel (GUE, IP, TCP or ICMP), and what comes back outside of it. */
import { type Address, readAddress } from "../wire/address.ts";
import { viewOf } from "../wire/bytes.ts";
import { addBytes, complement, pseudoSum4, pseudoSum6 } from "../wire/checksum.ts";
import { GUE_HEADER, writeGue } from "../wire/gue.ts";
import {
  ECHO_REPLY,
  ECHO_REPLY6,
  ECHO_REQUEST,
  ECHO_REQUEST6,
  echoId,
  ICMP,
  ICMP_HEADER,
  ICMPV6,
  setIcmpChecksum,
  UNREACHABLE,
  UNREACHABLE6,
  writeEcho,
} from "../wire/icmp.ts";
import {
  checkIpv4,
  fragmentBits,
  headerLength,
  IPV4_DESTINATION,
  IPV4_HEADER,
  IPV4_SOURCE,
  protocol,
  totalLength,
  writeIpv4,
} from "../wire/ipv4.ts";
import { checkIpv6, IPV6_DESTINATION, IPV6_HEADER, IPV6_SOURCE, nextHeader, payloadLength, writeIpv6 } from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";

/** Of one probe: our own address, the VIP (of the same family), our port and the service's. In an echo our port is the identifier. */
export interface Ends {
  readonly self: Address;
  readonly vip: Address;
  readonly from: number;
  readonly to: number;
}

export interface Segment {
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly payload: Uint8Array;
}

export type Reply =
  | { readonly kind: "tcp"; readonly vip: Address; readonly to: number; readonly from: number; readonly segment: Segment }
  | { readonly kind: "echo"; readonly vip: Address; readonly from: number }
  /** What was sent to the VIP from our port could not be delivered. */
  | { readonly kind: "unreachable"; readonly vip: Address; readonly from: number };

/** So that what comes back fits any path, whatever it is wrapped in on the way. */
const MSS = 1200;
/** Bytes that the service may send before it is told that they came. One reply of them fits a slot of the reply socket. */
const WINDOW = 8192;

/** A datagram for the GUE port of a host: plain header, since a target asks nobody whose a packet without further hops is. */
function wrap(ends: Ends, proto: number, length: number, write: (view: DataView, l4: number) => void): Uint8Array {
  const v4 = ends.vip.family === 4;
  const ipLength = v4 ? IPV4_HEADER : IPV6_HEADER;
  const bytes = new Uint8Array(GUE_HEADER + ipLength + length);
  const view = viewOf(bytes);
  const ip = GUE_HEADER;
  writeGue(view, 0, ends.vip.family);
  if (v4) {
    writeIpv4(view, ip, 0, ipLength + length, proto, ends.self.words[3], ends.vip.words[3]);
  } else {
    writeIpv6(view, ip, 0, length, proto, ends.self.words, ends.vip.words);
  }
  write(view, ip + ipLength);
  return bytes;
}

const pseudoSum = (view: DataView, family: 4 | 6, proto: number, length: number): number =>
  family === 4 ? pseudoSum4(view, GUE_HEADER, proto, length) : pseudoSum6(view, GUE_HEADER, proto, length);

export function tcpDatagram(ends: Ends, { flags, sequence, acknowledgment, payload }: Segment): Uint8Array {
  const syn = (flags & tcp.SYN) !== 0;
  const header = tcp.TCP_HEADER + (syn ? tcp.MSS_OPTION : 0);
  const length = header + payload.length;
  return wrap(ends, tcp.TCP, length, (view, l4) => {
    tcp.writeTcp(view, l4, ends.from, ends.to, flags);
    tcp.setSequence(view, l4, sequence);
    tcp.setAcknowledgment(view, l4, acknowledgment);
    tcp.setWindow(view, l4, WINDOW);
    if (syn) tcp.writeMss(view, l4, MSS);
    new Uint8Array(view.buffer).set(payload, l4 + header);
    tcp.setTcpChecksum(view, l4, complement(addBytes(view, l4, length, pseudoSum(view, ends.vip.family, tcp.TCP, length))));
  });
}

export function echoDatagram(ends: Ends): Uint8Array {
  const v4 = ends.vip.family === 4;
  const proto = v4 ? ICMP : ICMPV6;
  return wrap(ends, proto, ICMP_HEADER, (view, l4) => {
    writeEcho(view, l4, v4 ? ECHO_REQUEST : ECHO_REQUEST6, ends.from);
    const start = v4 ? 0 : pseudoSum(view, 6, proto, ICMP_HEADER);
    setIcmpChecksum(view, l4, complement(addBytes(view, l4, ICMP_HEADER, start)));
  });
}

/** Where the layers of a packet lie; null when it is broken, or a part of one. */
function layers(view: DataView, ip: number): { family: 4 | 6; proto: number; l4: number; end: number } | null {
  const available = view.byteLength - ip;
  if (checkIpv4(view, ip, available)) {
    if (fragmentBits(view, ip) !== 0) return null;
    return { family: 4, proto: protocol(view, ip), l4: ip + headerLength(view, ip), end: ip + totalLength(view, ip) };
  }
  if (!checkIpv6(view, ip, available)) return null;
  return { family: 6, proto: nextHeader(view, ip), l4: ip + IPV6_HEADER, end: ip + IPV6_HEADER + payloadLength(view, ip) };
}

/** Reads a packet of the reply socket; null when it is no answer to any probe. */
export function readReply(bytes: Uint8Array): Reply | null {
  const view = viewOf(bytes);
  const found = layers(view, 0);
  if (found === null) return null;
  const { family, proto, l4, end } = found;
  const vip = readAddress(bytes, family === 4 ? IPV4_SOURCE : IPV6_SOURCE, family);
  if (proto === tcp.TCP) {
    if (!tcp.checkTcp(view, l4, end - l4)) return null;
    const payload = bytes.slice(l4 + tcp.tcpHeaderLength(view, l4), end);
    const [sequence, acknowledgment] = [tcp.sequence(view, l4), tcp.acknowledgment(view, l4)];
    const segment = { flags: tcp.flags(view, l4), sequence, acknowledgment, payload };
    return { kind: "tcp", vip, to: tcp.sourcePort(view, l4), from: tcp.destinationPort(view, l4), segment };
  }
  if (proto !== (family === 4 ? ICMP : ICMPV6) || end - l4 < ICMP_HEADER) return null;
  const type = view.getUint8(l4);
  if (type === (family === 4 ? ECHO_REPLY : ECHO_REPLY6)) return { kind: "echo", vip, from: echoId(view, l4) };
  return type === (family === 4 ? UNREACHABLE : UNREACHABLE6) ? readUnreachable(bytes, view, l4 + ICMP_HEADER) : null;
}

/** What an ICMP message quotes: it may be cut behind 8 bytes of the layer above IP. */
function readUnreachable(bytes: Uint8Array, view: DataView, ip: number): Reply | null {
  const [v4, v6] = [ip + IPV4_HEADER + 8 <= bytes.length, ip + IPV6_HEADER + 8 <= bytes.length];
  if (v4 && view.getUint8(ip) === 0x45)
    return quoted(bytes, view, ip + IPV4_DESTINATION, 4, protocol(view, ip), ip + IPV4_HEADER);
  if (v6 && view.getUint8(ip) >>> 4 === 6)
    return quoted(bytes, view, ip + IPV6_DESTINATION, 6, nextHeader(view, ip), ip + IPV6_HEADER);
  return null;
}

function quoted(bytes: Uint8Array, view: DataView, destination: number, family: 4 | 6, proto: number, l4: number): Reply {
  const from = proto === tcp.TCP ? tcp.sourcePort(view, l4) : echoId(view, l4);
  return { kind: "unreachable", vip: readAddress(bytes, destination, family), from };
}
