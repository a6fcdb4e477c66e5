/** Writing pcapng, block by block: raw IP packets with a comment each. */
import { LINKTYPE_RAW } from "./pcap.ts";

const SECTION = 0x0a0d0d0a;
const BYTE_ORDER = 0x1a2b3c4d;
const INTERFACE = 1;
const ENHANCED_PACKET = 6;
const OPTION_COMMENT = 1;
const OPTION_NAME = 2;
const OPTION_APPLICATION = 4;

const padded = (length: number): number => Math.ceil(length / 4) * 4;

/** Options of a block, closed by the end-of-options option; nothing when there are none. */
function options(list: readonly (readonly [code: number, text: string])[]): Uint8Array {
  const texts = list.map(([code, text]) => [code, new TextEncoder().encode(text)] as const);
  const bytes = new Uint8Array(texts.reduce((sum, [, text]) => sum + 4 + padded(text.length), list.length > 0 ? 4 : 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [code, text] of texts) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, text.length, true);
    bytes.set(text, at + 4);
    at += 4 + padded(text.length);
  }
  return bytes;
}

/** A block around its body, which is a multiple of 4 bytes long. */
function block(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 12);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  let at = 8;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  view.setUint32(length - 4, length, true);
  return bytes;
}

const words = (...values: readonly number[]): Uint8Array => {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    view.setUint32(i * 4, value >>> 0, true);
  });
  return bytes;
};

/** What a file begins with: a section, and one interface of raw IP packets with times in microseconds. */
export function pcapngStart(interfaceName: string, snapLength: number): Uint8Array {
  // The length of the section is not known: it grows.
  const section = block(SECTION, words(BYTE_ORDER, 1, 0xffffffff, 0xffffffff), options([[OPTION_APPLICATION, "Haflinger"]]));
  const device = block(INTERFACE, words(LINKTYPE_RAW, snapLength), options([[OPTION_NAME, interfaceName]]));
  const bytes = new Uint8Array(section.length + device.length);
  bytes.set(section);
  bytes.set(device, section.length);
  return bytes;
}

/** One packet; `time` in microseconds since the epoch, `originalLength` what it had before it was cut. */
export function pcapngPacket(packet: Uint8Array, originalLength: number, time: number, comment: string): Uint8Array {
  const data = new Uint8Array(padded(packet.length));
  data.set(packet);
  const head = words(0, Math.floor(time / 2 ** 32), time % 2 ** 32, packet.length, originalLength);
  return block(ENHANCED_PACKET, head, data, options([[OPTION_COMMENT, comment]]));
}
