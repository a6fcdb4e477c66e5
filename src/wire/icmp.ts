/** ICMP (RFC 792) and ICMPv6 (RFC 4443): what a balancer has to tell apart. */

export const ICMP = 1;
export const ICMPV6 = 58;
/** Header of every message below; an error carries the packet it speaks of behind it. */
export const ICMP_HEADER = 8;

export const ECHO_REPLY = 0;
export const ECHO_REQUEST = 8;
export const ECHO_REQUEST6 = 128;
export const ECHO_REPLY6 = 129;

/** Identifier of an echo message. */
export const echoId = (b: DataView, icmp: number): number => b.getUint16(icmp + 4);

/** Destination unreachable, time exceeded, parameter problem. */
export const isError4 = (type: number): boolean => type === 3 || type === 11 || type === 12;

/** Destination unreachable, packet too big, time exceeded, parameter problem. */
export const isError6 = (type: number): boolean => type >= 1 && type <= 4;
