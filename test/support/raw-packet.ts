/** Bytes of whole packets for tests, written out plainly: IP header, UDP or TCP header, payload of a counting pattern. */
import { type Address, parseAddress } from "../../src/wire/address.ts";
import { checksum as naiveChecksum } from "./packets.ts";

export interface PacketOptions {
  source: string;
  destination: string;
  protocol: "tcp" | "udp";
  sourcePort: number;
  destinationPort: number;
  payload: Uint8Array;
  /** Leave the L4 checksum partial: the folded pseudo-header sum, as NEEDS_CSUM has it. */
  partial?: boolean;
}

export interface RawPacket {
  bytes: Uint8Array;
  /** Bytes before the L4 header, and of it. */
  ipLength: number;
  l4Length: number;
}

const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;

/** Bytes of an address in network order: 4 or 16. */
export function addressBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  address.words.forEach((word, i) => {
    view.setUint32(4 * i, word);
  });
  return address.family === 4 ? bytes.subarray(12) : bytes;
}

/** `length` bytes that differ from place to place, so that a swap or a shift shows. */
export const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

export function rawPacket(options: PacketOptions): RawPacket {
  const source = parseAddress(options.source)!;
  const [from, to] = [addressBytes(source), addressBytes(parseAddress(options.destination)!)];
  const tcp = options.protocol === "tcp";
  const protocol = tcp ? 6 : 17;
  const l4Length = tcp ? 20 : 8;
  const ipLength = source.family === 4 ? 20 : 40;
  const length = l4Length + options.payload.length;
  const bytes = new Uint8Array(ipLength + length);
  const view = new DataView(bytes.buffer);
  if (source.family === 4) {
    bytes.set([0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol]);
    view.setUint16(2, bytes.length);
    bytes.set(from, 12);
    bytes.set(to, 16);
    view.setUint16(10, naiveChecksum(bytes.subarray(0, 20)));
  } else {
    bytes.set([0x60, 0, 0, 0, 0, 0, protocol, 64]);
    view.setUint16(4, length);
    bytes.set(from, 8);
    bytes.set(to, 24);
  }
  view.setUint16(ipLength, options.sourcePort);
  view.setUint16(ipLength + 2, options.destinationPort);
  if (tcp) bytes.set([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff], ipLength + 4);
  else view.setUint16(ipLength + 4, length);
  bytes.set(options.payload, ipLength + l4Length);
  const pseudo = Uint8Array.of(...from, ...to, 0, protocol, length >> 8, length & 0xff);
  const field = ipLength + (tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
  if (options.partial) view.setUint16(field, ~naiveChecksum(pseudo) & 0xffff);
  else view.setUint16(field, naiveChecksum(Uint8Array.of(...pseudo, ...bytes.subarray(ipLength))));
  return { bytes, ipLength, l4Length };
}

/** Whether the L4 checksum of a packet whose header is at `ipLength` is right. */
export function l4ChecksumGood(bytes: Uint8Array, ipLength: number): boolean {
  const addresses = ipLength === 20 ? bytes.subarray(12, 20) : bytes.subarray(8, 40);
  const protocol = ipLength === 20 ? bytes[9]! : bytes[6]!;
  const length = bytes.length - ipLength;
  return naiveChecksum(Uint8Array.of(...addresses, 0, protocol, length >> 8, length & 0xff, ...bytes.subarray(ipLength))) === 0;
}
