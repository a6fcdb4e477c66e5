/**
 * A decoder for captures that shares nothing with src/wire: written from the RFCs with DataView, slow and plain, so that
 * one misreading cannot hide in both.
 */

export interface Plain {
  readonly version: 4 | 6;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly dontFragment: boolean;
  readonly hopLimit: number;
  /** The packet without Ethernet, cut to the length that the IP header gives. */
  readonly packet: Uint8Array;
  /** Where in `packet` TCP or UDP begins. */
  readonly l4: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const word = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;

/** Decodes an Ethernet frame that holds TCP or UDP in IP without options; null when it holds anything else. */
export function decodeFrame(frame: Uint8Array): Plain | null {
  const type = word(frame, 12);
  return type === 0x0800 || type === 0x86dd ? decodePacket(frame.subarray(14)) : null;
}

/** Decodes an IP packet; null when it is not TCP or UDP. Throws when lengths contradict each other. */
export function decodePacket(b: Uint8Array): Plain | null {
  const version = b[0]! >> 4;
  if (version !== 4 && version !== 6) throw new Error(`IP version ${version}`);
  const l4 = version === 4 ? (b[0]! & 15) * 4 : 40;
  const total = version === 4 ? word(b, 2) : 40 + word(b, 4);
  if (total > b.length) throw new Error(`IP length ${total}, but ${b.length} bytes`);
  const protocol = version === 4 ? b[9]! : b[6]!;
  if (protocol !== 6 && protocol !== 17) return null;
  return {
    version,
    source: hex(version === 4 ? b.subarray(12, 16) : b.subarray(8, 24)),
    destination: hex(version === 4 ? b.subarray(16, 20) : b.subarray(24, 40)),
    protocol,
    dontFragment: version === 6 || (b[6]! & 0x40) !== 0,
    hopLimit: version === 4 ? b[8]! : b[7]!,
    packet: b.subarray(0, total),
    l4,
    sourcePort: word(b, l4),
    destinationPort: word(b, l4 + 2),
  };
}

/** RFC 1071 over a list of byte runs, each padded to an even length. */
function onesComplement(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += (part[i]! << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const fieldAt = (p: Plain): number => p.l4 + (p.protocol === 6 ? 16 : 6);

/** The checksum that TCP or UDP should have. */
export function expectedChecksum(p: Plain): number {
  const segment = Uint8Array.from(p.packet.subarray(p.l4));
  const field = fieldAt(p) - p.l4;
  segment.fill(0, field, field + 2);
  const length = segment.length;
  const pseudo = [0, 0, (length >> 8) & 255, length & 255, 0, p.protocol];
  const addresses = Buffer.from(p.source + p.destination, "hex");
  const sum = onesComplement(addresses, Uint8Array.from(pseudo), segment);
  return sum === 0 && p.protocol === 17 ? 0xffff : sum;
}

/** The checksum that it has. */
export const actualChecksum = (p: Plain): number => word(p.packet, fieldAt(p));

/** Whether an IPv4 header's checksum is right; true for IPv6. */
export const headerChecksumGood = (p: Plain): boolean => p.version === 6 || onesComplement(p.packet.subarray(0, p.l4)) === 0;

/** The packet with its TCP or UDP checksum as it should be. */
export function withChecksum(p: Plain): Uint8Array {
  const copy = Uint8Array.from(p.packet);
  const sum = expectedChecksum(p);
  copy[fieldAt(p)] = sum >> 8;
  copy[fieldAt(p) + 1] = sum & 255;
  return copy;
}

/** TCP: sequence number, payload, and everything in the headers that is the same in all segments of a super-segment. */
export function tcpParts(p: Plain): { sequence: number; payload: Uint8Array } {
  const view = new DataView(p.packet.buffer, p.packet.byteOffset + p.l4);
  return { sequence: view.getUint32(4), payload: p.packet.subarray(p.l4 + (p.packet[p.l4 + 12]! >> 4) * 4) };
}
