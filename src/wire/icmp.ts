/** ICMP (RFC 792) and ICMPv6 (RFC 4443): what a balancer has to tell apart. */

export const ICMP = 1;
export const ICMPV6 = 58;
/** Header of every message below; an error carries the packet it speaks of behind it. */
export const ICMP_HEADER = 8;

export const ECHO_REPLY = 0;
export const ECHO_REQUEST = 8;
export const ECHO_REQUEST6 = 128;
export const ECHO_REPLY6 = 129;

export const UNREACHABLE = 3;
export const UNREACHABLE6 = 1;
export const FRAGMENTATION_NEEDED = 4;
export const PACKET_TOO_BIG6 = 2;
const CHECKSUM = 2;
const MTU = 4;

/** Writes the header of an error that names an MTU (RFC 1191, 4; RFC 4443, 3.2), checksum 0. */
export function writeError(b: DataView, icmp: number, type: number, code: number, mtu: number): void {
  b.setUint8(icmp, type);
  b.setUint8(icmp + 1, code);
  b.setUint16(icmp + CHECKSUM, 0);
  b.setUint32(icmp + MTU, mtu);
}

export function setIcmpChecksum(b: DataView, icmp: number, value: number): void {
  b.setUint16(icmp + CHECKSUM, value);
}

/** Writes the header of an echo message: sequence number 1, checksum 0. */
export function writeEcho(b: DataView, icmp: number, type: number, identifier: number): void {
  b.setUint8(icmp, type);
  b.setUint8(icmp + 1, 0);
  b.setUint16(icmp + CHECKSUM, 0);
  b.setUint16(icmp + 4, identifier);
  b.setUint16(icmp + 6, 1);
}

/** Identifier of an echo message. */
export const echoId = (b: DataView, icmp: number): number => b.getUint16(icmp + 4);

/** Destination unreachable, time exceeded, parameter problem. */
export const isError4 = (type: number): boolean => type === 3 || type === 11 || type === 12;

/** Destination unreachable, packet too big, time exceeded, parameter problem. */
export const isError6 = (type: number): boolean => type >= 1 && type <= 4;
