/** Capture files: reading pcap and pcapng, writing pcap. Only what replay needs. */

export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_RAW = 101;
export const LINKTYPE_SLL = 113;
export const LINKTYPE_SLL2 = 276;
/** What older writers use for raw IP (DLT_RAW of the BSDs). */
const DLT_RAW = [12, 14];

export interface CapturedPacket {
  /** One of LINKTYPE_*. */
  readonly link: number;
  /** Microseconds since the epoch. */
  readonly time: number;
  readonly bytes: Uint8Array;
  /** Length on the wire; more than bytes.length when the capture was cut. */
  readonly originalLength: number;
}

const MAX_PACKET = 0x40000;

/** Reads a capture. Throws with file-format words when it is no capture or is cut in the middle of a record. */
export function* readCapture(file: Uint8Array): Generator<CapturedPacket> {
  if (file.length < 24) throw new Error("too short for a capture");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const first = view.getUint32(0, false);
  if (first === 0x0a0d0d0a) yield* readPcapng(file, view);
  else if (first === 0xa1b2c3d4 || first === 0xa1b23c4d) yield* readPcap(file, view, false, first === 0xa1b23c4d);
  else if (first === 0xd4c3b2a1 || first === 0x4d3cb2a1) yield* readPcap(file, view, true, first === 0x4d3cb2a1);
  else throw new Error("neither pcap nor pcapng");
}

const linkOf = (link: number): number => (DLT_RAW.includes(link) ? LINKTYPE_RAW : link);

function* readPcap(file: Uint8Array, view: DataView, little: boolean, nano: boolean): Generator<CapturedPacket> {
  const link = linkOf(view.getUint32(20, little) & 0xffff);
  for (let at = 24; at < file.length; ) {
    if (at + 16 > file.length) throw new Error(`record header cut off at byte ${at}`);
    const length = view.getUint32(at + 8, little);
    if (length > MAX_PACKET || at + 16 + length > file.length) throw new Error(`record of ${length} bytes cut off at byte ${at}`);
    const fraction = view.getUint32(at + 4, little);
    yield {
      link,
      time: view.getUint32(at, little) * 1e6 + (nano ? Math.floor(fraction / 1000) : fraction),
      bytes: file.subarray(at + 16, at + 16 + length),
      originalLength: view.getUint32(at + 12, little),
    };
    at += 16 + length;
  }
}

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const OPTION_TIME_RESOLUTION = 9;

interface Interface {
  readonly link: number;
  /** Time units per microsecond. */
  readonly perMicrosecond: number;
}

function* readPcapng(file: Uint8Array, view: DataView): Generator<CapturedPacket> {
  let little = true;
  let interfaces: Interface[] = [];
  for (let at = 0; at + 12 <= file.length; ) {
    const isSection = view.getUint32(at, true) === SECTION;
    if (isSection) {
      little = view.getUint32(at + 8, true) === 0x1a2b3c4d;
      interfaces = [];
    }
    const type = view.getUint32(at, little);
    const total = view.getUint32(at + 4, little);
    if (total < 12 || total % 4 !== 0 || at + total > file.length) throw new Error(`block cut off at byte ${at}`);
    if (type === INTERFACE) interfaces.push(readInterface(view, at, total, little));
    if (type === ENHANCED_PACKET) yield readEnhanced(file, view, at, total, little, interfaces);
    if (type === SIMPLE_PACKET) {
      const length = Math.min(view.getUint32(at + 8, little), total - 16);
      const bytes = file.subarray(at + 12, at + 12 + length);
      yield { link: interfaces[0]?.link ?? LINKTYPE_ETHERNET, time: 0, bytes, originalLength: view.getUint32(at + 8, little) };
    }
    at += total;
  }
}

function readInterface(view: DataView, at: number, total: number, little: boolean): Interface {
  let perMicrosecond = 1;
  for (let o = at + 16; o + 4 <= at + total - 4; ) {
    const code = view.getUint16(o, little);
    const length = view.getUint16(o + 2, little);
    if (code === 0) break;
    if (code === OPTION_TIME_RESOLUTION && length === 1) {
      const resolution = view.getUint8(o + 4);
      const perSecond = (resolution & 0x80) !== 0 ? 2 ** (resolution & 0x7f) : 10 ** resolution;
      perMicrosecond = perSecond / 1e6;
    }
    o += 4 + Math.ceil(length / 4) * 4;
  }
  return { link: linkOf(view.getUint16(at + 8, little)), perMicrosecond };
}

function readEnhanced(
  file: Uint8Array,
  view: DataView,
  at: number,
  total: number,
  little: boolean,
  interfaces: readonly Interface[],
): CapturedPacket {
  if (total < 32) throw new Error(`packet block cut off at byte ${at}`);
  const source = interfaces[view.getUint32(at + 8, little)];
  if (source === undefined) throw new Error(`packet block at byte ${at} names an interface that has not been described`);
  const length = view.getUint32(at + 20, little);
  if (length > total - 32) throw new Error(`packet of ${length} bytes cut off at byte ${at}`);
  const units = view.getUint32(at + 12, little) * 2 ** 32 + view.getUint32(at + 16, little);
  return {
    link: source.link,
    time: Math.floor(units / source.perMicrosecond),
    bytes: file.subarray(at + 28, at + 28 + length),
    originalLength: view.getUint32(at + 24, little),
  };
}

/** A pcap file (microseconds, little-endian) of raw IP packets, or of another link type; times in microseconds since the epoch. */
export function writeCapture(
  packets: readonly { readonly bytes: Uint8Array; readonly time: number }[],
  link = LINKTYPE_RAW,
): Uint8Array {
  const size = packets.reduce((sum, p) => sum + 16 + p.bytes.length, 24);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, MAX_PACKET, true);
  view.setUint32(20, link, true);
  let at = 24;
  for (const { bytes, time } of packets) {
    view.setUint32(at, Math.floor(time / 1e6), true);
    view.setUint32(at + 4, time % 1e6, true);
    view.setUint32(at + 8, bytes.length, true);
    view.setUint32(at + 12, bytes.length, true);
    file.set(bytes, at + 16);
    at += 16 + bytes.length;
  }
  return file;
}
