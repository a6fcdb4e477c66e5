/** UDP header (RFC 768). Ports are read with tcp.sourcePort and tcp.destinationPort: they lie at the same place. */
import { setU16, u16 } from "./bytes.ts";

export const UDP = 17;
export const UDP_HEADER = 8;
const LENGTH = 4;
export const UDP_CHECKSUM = 6;

/** Bytes of header and payload. */
export const udpLength = (b: Uint8Array, udp: number): number => u16(b, udp + LENGTH);

/** Whether the `available` bytes at `udp` hold a whole datagram. */
export const checkUdp = (b: Uint8Array, udp: number, available: number): boolean =>
  available >= UDP_HEADER && udpLength(b, udp) >= UDP_HEADER && udpLength(b, udp) <= available;

/** Replaces length and checksum, as for one segment of a train. */
export function setUdpLength(b: Uint8Array, udp: number, length: number, checksum: number): void {
  setU16(b, udp + LENGTH, length);
  setU16(b, udp + UDP_CHECKSUM, checksum);
}

/** Writes a header with the given checksum field. */
export function writeUdp(
  b: Uint8Array,
  udp: number,
  source: number,
  destination: number,
  length: number,
  checksum: number,
): void {
  setU16(b, udp, source);
  setU16(b, udp + 2, destination);
  setUdpLength(b, udp, length, checksum);
}
