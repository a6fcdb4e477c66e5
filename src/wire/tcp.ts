/** TCP header (RFC 9293). Accessors are valid once checkTcp has accepted the offset. */

export const TCP = 6;
export const TCP_HEADER = 20;
const SEQUENCE = 4;
const ACKNOWLEDGMENT = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
export const TCP_CHECKSUM = 16;
const URGENT = 18;

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
export const ECE = 0x40;
export const CWR = 0x80;

export const sourcePort = (b: DataView, l4: number): number => b.getUint16(l4);
export const destinationPort = (b: DataView, l4: number): number => b.getUint16(l4 + 2);
export const sequence = (b: DataView, tcp: number): number => b.getUint32(tcp + SEQUENCE);
export const acknowledgment = (b: DataView, tcp: number): number => b.getUint32(tcp + ACKNOWLEDGMENT);
export const flags = (b: DataView, tcp: number): number => b.getUint8(tcp + FLAGS);
export const checksumOf = (b: DataView, tcp: number): number => b.getUint16(tcp + TCP_CHECKSUM);
/** Header length in bytes with options, 20 to 60. */
export const tcpHeaderLength = (b: DataView, tcp: number): number => (b.getUint8(tcp + DATA_OFFSET) >>> 4) << 2;

/** Whether the header at `tcp`, of which 20 bytes are there, names a length that fits the `available` bytes. */
export function lengthAgrees(b: DataView, tcp: number, available: number): boolean {
  const header = tcpHeaderLength(b, tcp);
  return header >= TCP_HEADER && header <= available;
}

/** Whether the `available` bytes at `tcp` hold a whole header. */
export const checkTcp = (b: DataView, tcp: number, available: number): boolean =>
  available >= TCP_HEADER && lengthAgrees(b, tcp, available);

export function setSequence(b: DataView, tcp: number, value: number): void {
  b.setUint32(tcp + SEQUENCE, value);
}

export function setAcknowledgment(b: DataView, tcp: number, value: number): void {
  b.setUint32(tcp + ACKNOWLEDGMENT, value);
}

export function setWindow(b: DataView, tcp: number, value: number): void {
  b.setUint16(tcp + WINDOW, value);
}

export function setFlags(b: DataView, tcp: number, value: number): void {
  b.setUint8(tcp + FLAGS, value);
}

export function setTcpChecksum(b: DataView, tcp: number, value: number): void {
  b.setUint16(tcp + TCP_CHECKSUM, value);
}

/** Writes a 20-byte header: sequence and acknowledgment number 1, the largest window, no urgent data, checksum 0. */
export function writeTcp(b: DataView, tcp: number, source: number, destination: number, value: number): void {
  b.setUint16(tcp, source);
  b.setUint16(tcp + 2, destination);
  setSequence(b, tcp, 1);
  b.setUint32(tcp + ACKNOWLEDGMENT, (value & ACK) === 0 ? 0 : 1);
  b.setUint8(tcp + DATA_OFFSET, (TCP_HEADER / 4) << 4);
  setFlags(b, tcp, value);
  b.setUint16(tcp + WINDOW, 0xffff);
  setTcpChecksum(b, tcp, 0);
  b.setUint16(tcp + URGENT, 0);
}

export const MSS_OPTION = 4;

/** Writes the option that names the largest segment the sender takes (RFC 9293, 3.7.1) behind the 20 bytes of a header, and counts it in. */
export function writeMss(b: DataView, tcp: number, mss: number): void {
  b.setUint8(tcp + DATA_OFFSET, ((TCP_HEADER + MSS_OPTION) / 4) << 4);
  b.setUint32(tcp + TCP_HEADER, (2 << 24) | (MSS_OPTION << 16) | mss);
}
