/** UDP header (RFC 768). Ports are read with tcp.sourcePort and tcp.destinationPort: they lie at the same place. */

export const UDP = 17;
export const UDP_HEADER = 8;
const LENGTH = 4;
export const UDP_CHECKSUM = 6;

/** Bytes of header and payload. */
export const udpLength = (b: DataView, udp: number): number => b.getUint16(udp + LENGTH);

/** The checksum; 0 says that there is none (IPv4 only, RFC 768). */
export const checksumOf = (b: DataView, udp: number): number => b.getUint16(udp + UDP_CHECKSUM);

/** Whether the `available` bytes at `udp` hold a whole datagram. */
export const checkUdp = (b: DataView, udp: number, available: number): boolean =>
  available >= UDP_HEADER && udpLength(b, udp) >= UDP_HEADER && udpLength(b, udp) <= available;

/** Replaces length and checksum, as for one segment of a train. */
export function setUdpLength(b: DataView, udp: number, length: number, checksum: number): void {
  b.setUint16(udp + LENGTH, length);
  b.setUint16(udp + UDP_CHECKSUM, checksum);
}

/** Writes a header with the given checksum field. */
export function writeUdp(b: DataView, udp: number, source: number, destination: number, length: number, checksum: number): void {
  b.setUint16(udp, source);
  b.setUint16(udp + 2, destination);
  setUdpLength(b, udp, length, checksum);
}
