/** Frames of BIG TCP: super-segments above 64 KB, as AF_PACKET gives them. */
import {
  GSO_TCPV4,
  GSO_TCPV6,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_NEEDS_CSUM,
} from "../../src/io/packet-io.ts";

const IPV6_HEADER = 40;

/**
 * One behind the headers of a TCP packet without payload, whose IP header has no options or extensions. `jumbo`: IPv6 with the
 * hop-by-hop header that Linux puts in. Gives the words of its record too.
 */
export function bigFrame(
  headers: Uint8Array,
  payload: Uint8Array,
  size: number,
  jumbo: boolean,
): { frame: Uint8Array; offloads: Record<number, number> } {
  const v4 = headers[0]! >> 4 === 4;
  const ip = headers.slice(0, v4 ? 20 : IPV6_HEADER);
  const tcp = headers.subarray(ip.length);
  const option = new Uint8Array(jumbo ? 8 : 0);
  if (v4) ip.fill(0, 2, 4);
  else ip.fill(0, 4, 6);
  if (jumbo) {
    option.set([ip[6]!, 0, 0xc2, 4]);
    new DataView(option.buffer).setUint32(4, option.length + tcp.length + payload.length);
    ip[6] = 0;
  }
  const frame = new Uint8Array(ip.length + option.length + tcp.length + payload.length);
  let at = 0;
  for (const part of [ip, option, tcp, payload]) {
    frame.set(part, at);
    at += part.length;
  }
  const offloads = {
    [RX_FLAGS]: RX_NEEDS_CSUM,
    [RX_GSO_TYPE]: v4 ? GSO_TCPV4 : GSO_TCPV6,
    [RX_GSO_SIZE]: size,
    [RX_CSUM_START]: ip.length + option.length,
    [RX_CSUM_OFFSET]: 16,
  };
  return { frame, offloads };
}
