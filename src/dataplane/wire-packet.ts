/**
 * Super-segments as drop rules see them: rules mean packets on the wire, of which a super-segment is many. Their length fields tell of all
 * together, so that they say what those of the largest packet will while the rules look.
 */
import { RX_GSO_SIZE, RX_GSO_TYPE, RX_LENGTH, RX_OFFSET } from "../io/packet-io.ts";
import { OK } from "../shm/verdict.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as udp from "../wire/udp.ts";
import { dropJumbo, LONGEST, parseLong } from "./big-tcp.ts";
import { readSegments } from "./offloads.ts";
import { parseNetwork, parseTransport } from "./parse.ts";
import { createParsed } from "./parsed.ts";

/** What a frame holds: packets, bytes of the largest of them, and bytes of all, each with headers of its own. */
export interface WirePacket {
  packets: number;
  length: number;
  bytes: number;
}

const p = createParsed();
/** Length fields before rules look: of IP, and of UDP. */
const kept = { ip: 0, udp: 0 };

/**
 * Sets `wire` to what the frame of record `r` holds, whose IP header is at `ip`, and makes the length fields of a super-segment those of its
 * largest packet until endLook(). Returns where the IP header is now: that of BIG TCP may have moved.
 */
export function beginLook(b: DataView, records: Int32Array, r: number, at: number, wire: WirePacket): number {
  const ip = dropJumbo(b, records, r, at);
  const available = records[r + RX_OFFSET]! + records[r + RX_LENGTH]! - ip;
  wire.packets = 1;
  wire.length = available;
  wire.bytes = available;
  const network = available > LONGEST ? parseLong(b, records, r, ip, p) : parseNetwork(b, ip, available, p);
  p.packets = 1;
  if (network !== OK || parseTransport(b, p) !== OK) return ip;
  if (!readSegments(b, p, records[r + RX_GSO_TYPE]!, records[r + RX_GSO_SIZE]!) || p.packets === 1) return ip;
  const { headers, segment, packets } = p;
  wire.packets = packets;
  wire.length = headers + segment;
  wire.bytes = p.end - ip - headers + packets * headers;
  setLengths(b, wire.length, wire.length - (p.l4 - ip));
  return ip;
}

/** Writes the length fields of the super-segment in hand, and keeps what they were. */
function setLengths(b: DataView, length: number, behindIp: number): void {
  kept.ip = p.version === 4 ? ipv4.totalLength(b, p.ip) : ipv6.payloadLength(b, p.ip);
  if (p.version === 4) b.setUint16(p.ip + ipv4.TOTAL_LENGTH, length);
  else ipv6.setPayloadLength(b, p.ip, length - ipv6.IPV6_HEADER);
  if (p.protocol !== udp.UDP) return;
  kept.udp = udp.udpLength(b, p.l4);
  udp.setUdpLength(b, p.l4, behindIp, udp.checksumOf(b, p.l4));
}

/** Gives the frame that beginLook() was called for last its own length fields back. */
export function endLook(b: DataView): void {
  if (p.packets === 1) return;
  if (p.version === 4) b.setUint16(p.ip + ipv4.TOTAL_LENGTH, kept.ip);
  else ipv6.setPayloadLength(b, p.ip, kept.ip);
  if (p.protocol === udp.UDP) udp.setUdpLength(b, p.l4, kept.udp, udp.checksumOf(b, p.l4));
}
