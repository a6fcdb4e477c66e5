/**
 * What is known of the packet in hand: one int32 array per worker, written anew for every packet. An array of words and not
 * an object, because stores of 32-bit values into object fields allocate.
 */

/** Offset in the pool of the IP header, and of the first byte behind the packet (its total length, padding left out). */
export const P_IP = 0;
export const P_END = 1;
export const P_VERSION = 2;
/** Protocol behind all extension headers, and the offset of its header. */
export const P_PROTOCOL = 3;
export const P_L4 = 4;
/** TOS or traffic class byte. */
export const P_TOS = 5;
/** TCP flags of TCP packets, else 0. */
export const P_TCP_FLAGS = 6;
/** FRAGMENT_*. */
export const P_FRAGMENT = 7;
/** Packets in the frame: more than 1 for a super-segment. */
export const P_PACKETS = 8;
/** Payload bytes per packet of a super-segment and the bytes of the headers in front of it, from P_IP; 0 for one packet. */
export const P_SEGMENT = 9;
export const P_HEADERS = 10;
/** Flow hash, 64 bits. */
export const P_HASH = 11;
export const P_HASH2 = 12;
/** 1 when the flow below is that of the packet inside an ICMP error, seen from the client. */
export const P_ICMP_ERROR = 13;
/**
 * Checksum the sender's kernel left to the network card: where the sum starts and where it goes, offsets in the pool. The
 * field is -1 when the checksum is final.
 */
export const P_SUM_START = 14;
export const P_SUM_FIELD = 15;

/**
 * The flow, from client to VIP. Addresses as 4 words, of IPv4 the last one only; laid out so that what is hashed for IPv6 is
 * contiguous. Ports: source in the high half, destination in the low. An echo request has its identifier as source port.
 */
export const P_SOURCE0 = 16;
export const P_DESTINATION0 = 19;
export const P_SOURCE3 = 22;
export const P_DESTINATION3 = 23;
export const P_PORTS = 24;
/** IP version in the second byte, protocol in the lowest. */
export const P_META = 25;

export const PARSED_WORDS = 32;

export const FRAGMENT_NONE = 0;
export const FRAGMENT_FIRST = 1;
export const FRAGMENT_LATER = 2;

/** Words for one worker. */
export const createParsed = (): Int32Array => new Int32Array(PARSED_WORDS);
