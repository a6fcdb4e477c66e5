/** Packets made from nothing but a flow: what a client would send, for asking the data plane about it. */
import type { Flow } from "../steering/flow.ts";
import { viewOf } from "../wire/bytes.ts";
import { addBytes, complement, pseudoSum4, pseudoSum6 } from "../wire/checksum.ts";
import { ECHO_REQUEST, ECHO_REQUEST6, ICMP, ICMP_HEADER, ICMPV6, setIcmpChecksum, writeEcho } from "../wire/icmp.ts";
import { IPV4_HEADER, writeIpv4 } from "../wire/ipv4.ts";
import { IPV6_HEADER, writeIpv6 } from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";
import { setUdpLength, UDP, UDP_HEADER, writeUdp } from "../wire/udp.ts";

/** What a flow leaves open of its packet. */
export interface Shape {
  /** TCP flags; ACK unless given. */
  readonly flags?: number;
  /** What follows the transport header; nothing unless given. */
  readonly payload?: Uint8Array;
  /** Bytes of the whole packet, filled up with zeros behind the payload; no more than are needed unless given. */
  readonly length?: number;
}

const FLAGS: ReadonlyMap<string, number> = new Map([
  ["fin", tcp.FIN],
  ["syn", tcp.SYN],
  ["rst", tcp.RST],
  ["psh", tcp.PSH],
  ["ack", tcp.ACK],
  ["urg", tcp.URG],
  ["ece", tcp.ECE],
  ["cwr", tcp.CWR],
]);
/** Names of TCP flags, by which parseFlags takes them. */
export const FLAG_NAMES: readonly string[] = [...FLAGS.keys()];
/** What both length fields can say. */
const MOST = 65_535;

/** Reads flags written as `syn` or `syn,ack`; null when one is none, or there are none. */
export function parseFlags(text: string): number | null {
  const flags = text
    .toLowerCase()
    .split(",")
    .map((name) => FLAGS.get(name) ?? 0);
  return flags.includes(0) ? null : flags.reduce((all, flag) => all | flag, 0);
}

const transportHeader = (flow: Flow): number =>
  flow.protocol === "tcp" ? tcp.TCP_HEADER : flow.protocol === "udp" ? UDP_HEADER : ICMP_HEADER;

/** The fewest and the most bytes that a packet of the flow with this payload can have. */
export function lengthRange(flow: Flow, { payload }: Shape): [number, number] {
  const ip = flow.source.family === 4 ? IPV4_HEADER : IPV6_HEADER;
  return [ip + transportHeader(flow) + (payload?.length ?? 0), MOST];
}

/**
 * A packet of the flow, IP header first, with checksums, DF set as hosts that look for the path MTU set it: TCP with ACK, a
 * UDP datagram, an echo request, unless the shape says otherwise. Throws a RangeError when the length is out of its range.
 */
export function craftPacket(flow: Flow, shape: Shape = {}): Uint8Array {
  const [least, most] = lengthRange(flow, shape);
  const length = shape.length ?? least;
  if (length < least || length > most) throw new RangeError(`a packet of ${length} bytes: not from ${least} to ${most}`);
  const packet = new Uint8Array(length);
  const b = viewOf(packet);
  const v4 = flow.source.family === 4;
  const l4 = v4 ? IPV4_HEADER : IPV6_HEADER;
  const size = length - l4;
  const protocol = flow.protocol === "tcp" ? tcp.TCP : flow.protocol === "udp" ? UDP : v4 ? ICMP : ICMPV6;
  if (v4) writeIpv4(b, 0, 0, length, protocol, flow.source.words[3], flow.destination.words[3]);
  else writeIpv6(b, 0, 0, size, protocol, flow.source.words, flow.destination.words);
  packet.set(shape.payload ?? [], l4 + transportHeader(flow));
  const pseudo = v4 ? pseudoSum4(b, 0, protocol, size) : pseudoSum6(b, 0, protocol, size);
  const sum = (start: number): number => complement(addBytes(b, l4, size, start));
  if (protocol === tcp.TCP) {
    tcp.writeTcp(b, l4, flow.sourcePort, flow.destinationPort, shape.flags ?? tcp.ACK);
    tcp.setTcpChecksum(b, l4, sum(pseudo));
  } else if (protocol === UDP) {
    writeUdp(b, l4, flow.sourcePort, flow.destinationPort, size, 0);
    setUdpLength(b, l4, size, sum(pseudo) || 0xffff);
  } else {
    writeEcho(b, l4, v4 ? ECHO_REQUEST : ECHO_REQUEST6, flow.sourcePort);
    setIcmpChecksum(b, l4, sum(v4 ? 0 : pseudo));
  }
  return packet;
}

/** The packet in words, such as `TCP SYN, 40 bytes`. */
export function describePacket(flow: Flow, shape: Shape = {}): string {
  const flags = shape.flags ?? tcp.ACK;
  const names = [...FLAGS].flatMap(([name, flag]) => ((flags & flag) === 0 ? [] : [name.toUpperCase()]));
  const kinds = { tcp: `TCP ${names.join("+")}`, udp: "UDP", icmp: `echo request ${flow.sourcePort}` };
  const payload = shape.payload === undefined ? 0 : shape.payload.length;
  const length = shape.length ?? lengthRange(flow, shape)[0];
  return `${kinds[flow.protocol]}, ${length} bytes${payload === 0 ? "" : ` with a payload of ${payload}`}`;
}
