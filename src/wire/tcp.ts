/** TCP header (RFC 9293). Accessors are valid once checkTcp has accepted the offset. */
import { setU16, setU32, u16, u32 } from "./bytes.ts";

export const TCP = 6;
export const TCP_HEADER = 20;
const SEQUENCE = 4;
const DATA_OFFSET = 12;
const FLAGS = 13;
export const TCP_CHECKSUM = 16;

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const CWR = 0x80;

export const sourcePort = (b: Uint8Array, l4: number): number => u16(b, l4);
export const destinationPort = (b: Uint8Array, l4: number): number => u16(b, l4 + 2);
export const sequence = (b: Uint8Array, tcp: number): number => u32(b, tcp + SEQUENCE);
export const flags = (b: Uint8Array, tcp: number): number => b[tcp + FLAGS]!;
/** Header length in bytes with options, 20 to 60. */
export const tcpHeaderLength = (b: Uint8Array, tcp: number): number => (b[tcp + DATA_OFFSET]! >>> 4) << 2;

/** Whether the `available` bytes at `tcp` hold a whole header. */
export function checkTcp(b: Uint8Array, tcp: number, available: number): boolean {
  if (available < TCP_HEADER) return false;
  const header = tcpHeaderLength(b, tcp);
  return header >= TCP_HEADER && header <= available;
}

export function setSequence(b: Uint8Array, tcp: number, value: number): void {
  setU32(b, tcp + SEQUENCE, value);
}

export function setFlags(b: Uint8Array, tcp: number, value: number): void {
  b[tcp + FLAGS] = value;
}

export function setTcpChecksum(b: Uint8Array, tcp: number, value: number): void {
  setU16(b, tcp + TCP_CHECKSUM, value);
}
