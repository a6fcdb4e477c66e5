/** What must hold of packets that leave, held against those that entered. Naive; used with mutated packets. */
import assert from "node:assert/strict";
import {
  be16,
  destinationOf,
  hexOf,
  isV4,
  nextHop,
  same,
  sourceOf,
  totalLength,
  trafficClassOf,
  transportOf,
  transportSum,
  type Wrapped,
} from "./naive.ts";
import { checksum } from "./packets.ts";
import { fragmentOffset, moreFragments } from "./reassemble.ts";
import { finishPacket } from "./segmenter.ts";

/** A packet that entered, IP header first. */
export interface Entered {
  /** As it came, without what is behind its own length. */
  readonly packet: Uint8Array;
  /** As it has to go to a peer: with its checksum finished, when that was left open. */
  readonly finished: Uint8Array;
  /** Role target: the GUE datagram around it, and the traffic class outside. */
  readonly datagram: Uint8Array | null;
  readonly trafficClass: number;
}

/** ECN codepoint inside by those that came inside and outside (RFC 6040, figure 4; the columns go by number); -1: dropped. */
const ECN = [
  [0, 0, 0, -1],
  [1, 1, 1, 3],
  [2, 1, 2, 3],
  [3, 3, 3, 3],
];

/** Whether `out` is a packet that entered, delivered: byte for byte, but for the mark of congestion outside. */
export function isDelivered(e: Entered, out: Uint8Array): boolean {
  if (out.length !== e.packet.length) return false;
  const tos = trafficClassOf(e.packet);
  const mark = e.datagram === null ? tos & 3 : ECN[tos & 3]![e.trafficClass & 3]!;
  if (mark === (tos & 3)) return same(out, e.packet);
  if (mark < 0) return false;
  const marked = e.packet.slice();
  if (isV4(out)) {
    marked[1] = (tos & ~3) | mark;
    // A good header checksum stays good, a bad one bad by as much.
    marked.set(out.subarray(10, 12), 10);
    const header = (out[0]! & 15) * 4;
    const [before, after] = [checksum(e.packet.subarray(0, header)), checksum(out.subarray(0, header))];
    return before % 0xffff === after % 0xffff && same(out, marked);
  }
  marked[1] = (marked[1]! & 0xcf) | (mark << 4);
  return same(out, marked);
}

/** Whether `inner` is a packet that entered, whole. What is behind it in its GUE datagram stays with it or goes. */
const isWhole = (e: Entered, inner: Uint8Array): boolean =>
  same(inner, e.finished) ||
  (e.datagram !== null && inner.length > e.finished.length && same(inner, e.datagram.subarray(e.datagram.length - inner.length)));

/**
 * How many bytes of a packet's payload have left when `inner` comes behind fragments that held `gone`; -1 when it is not the
 * next of them.
 */
function behindPiece(e: Entered, inner: Uint8Array, gone: number): number {
  const whole = e.finished;
  if (!isV4(inner) || !isV4(whole) || totalLength(inner) !== inner.length) return -1;
  const header = (inner[0]! & 15) * 4;
  const payload = payloadOf(whole);
  const from = fragmentOffset(inner) - fragmentOffset(whole);
  const to = from + inner.length - header;
  // Length, flags and offset, checksum and options are its own.
  const alike = [1, 4, 5, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19].every((at) => inner[at] === whole[at]);
  if (!alike || from !== gone || to > payload.length || !same(inner.subarray(header), payload.subarray(from, to))) return -1;
  if (checksum(inner.subarray(0, header)) !== 0) return -1;
  if (moreFragments(inner) !== (to < payload.length || moreFragments(whole)) || (to < payload.length && to % 8 !== 0)) return -1;
  return to;
}

const payloadOf = (packet: Uint8Array): Uint8Array => packet.subarray((packet[0]! & 15) * 4);

/** Where in `sent` a packet ends that begins at `at`, whole or in fragments; -1 when it is not there. */
function endOf(e: Entered, sent: readonly Wrapped[], at: number, sameHost: SameHost): number {
  const fits = (w: Wrapped): boolean => e.datagram === null || isSentOn(e, w, sameHost);
  if (isWhole(e, sent[at]!.inner)) return fits(sent[at]!) ? at + 1 : -1;
  let gone = 0;
  for (let i = at; i < sent.length; i++) {
    gone = fits(sent[i]!) ? behindPiece(e, sent[i]!.inner, gone) : -1;
    if (gone < 0) return -1;
    if (gone === payloadOf(e.finished).length) return i + 1;
  }
  return -1;
}

/** Whether two addresses, in hex, are of one host. */
type SameHost = (a: string, b: string) => boolean;

/** Whether what was sent to peers is that many packets that entered, each whole or in fragments one behind the other. */
export function isSent(entered: readonly Entered[], sent: readonly Wrapped[], packets: number, sameHost: SameHost): boolean {
  const failed = new Set<string>();
  const from = (at: number, left: number): boolean => {
    if (at === sent.length || left === 0) return at === sent.length && left === 0;
    if (failed.has(`${at} ${left}`)) return false;
    for (const e of entered) {
      const end = endOf(e, sent, at, sameHost);
      if (end > 0 && from(end, left - 1)) return true;
    }
    failed.add(`${at} ${left}`);
    return false;
  };
  return from(0, packets);
}

/** Bytes of a packet in front of the payload of TCP or UDP. */
function headersOf(packet: Uint8Array): number {
  const { l4, protocol } = transportOf(packet);
  return l4 + (protocol === 6 ? (packet[l4 + 12]! >> 4) * 4 : 8);
}

/** The packets that a kernel makes of a super-segment with an open checksum, or of a single packet with one. */
export function asSegments(run: Uint8Array, size: number): Uint8Array[] {
  const headers = headersOf(run);
  const { l4, protocol } = transportOf(run);
  assert.equal(totalLength(run), run.length, "length of a run");
  const field = l4 + (protocol === 6 ? 16 : 6);
  const pseudo = Uint8Array.of(0, 0, (run.length - l4) >> 8, (run.length - l4) & 255, 0, protocol);
  const open = ~checksum(Buffer.concat([sourceOf(run), destinationOf(run), pseudo])) & 0xffff;
  assert.equal(be16(run, field) % 0xffff, open % 0xffff, "open checksum of a run");
  if (isV4(run)) assert.equal(checksum(run.subarray(0, l4)), 0, "header checksum of a run");
  return Array.from({ length: Math.ceil((run.length - headers) / size) }, (_, i) => {
    const at = headers + i * size;
    const one = Uint8Array.from(Buffer.concat([run.subarray(0, headers), run.subarray(at, at + size)]));
    const view = new DataView(one.buffer);
    if (isV4(run)) view.setUint16(4, be16(run, 4) + i);
    if (protocol === 6) view.setUint32(l4 + 4, sequence(run, l4) + i * size);
    finishPacket(one, l4, protocol);
    return one;
  });
}

/** Puts packets in the places that they have in a super-segment, which may be left empty. Fails when one has none. */
export function inPlaces(packet: Uint8Array, segments: readonly Uint8Array[], size: number): (Uint8Array | undefined)[] {
  const headers = headersOf(packet);
  const { l4, protocol } = transportOf(packet);
  const places = new Map<string, number[]>();
  const count = Math.ceil((packet.length - headers) / size);
  const key = (payload: Uint8Array, id: number, at: number): string =>
    `${isV4(packet) ? id & 0xffff : 0} ${protocol === 6 ? at >>> 0 : 0} ${hexOf(payload)}`;
  for (let i = count - 1; i >= 0; i--) {
    const at = headers + i * size;
    const place = key(packet.subarray(at, at + size), be16(packet, 4) + i, sequence(packet, l4) + i * size);
    places.set(place, [...(places.get(place) ?? []), i]);
  }
  const placed = new Array<Uint8Array | undefined>(count).fill(undefined);
  for (const segment of segments) {
    const place = places.get(key(segment.subarray(headers), be16(segment, 4), sequence(segment, l4)))?.pop();
    assert.ok(place !== undefined, `${hexOf(segment)} is no part of the super-segment`);
    placed[place] = segment;
  }
  return placed;
}

/** What a super-segment is taken apart into: its headers with each part of its payload, checksums good. */
export function checkSegments(packet: Uint8Array, segments: readonly (Uint8Array | undefined)[], size: number): void {
  const headers = headersOf(packet);
  const { l4, protocol } = transportOf(packet);
  const v4 = isV4(packet);
  // What is each segment's own: lengths, IPv4 identification, checksums; of TCP sequence number and flags.
  const own = new Set(v4 ? [2, 3, 4, 5, 10, 11] : [4, 5]);
  for (const at of protocol === 6 ? [4, 5, 6, 7, 13, 16, 17] : [4, 5, 6, 7]) own.add(l4 + at);
  segments.forEach((segment, i) => {
    if (segment === undefined) return;
    const at = headers + i * size;
    assert.equal(totalLength(segment), segment.length, "segment's length");
    if (v4) {
      const whole = segment.subarray(0, l4);
      assert.equal(checksum(whole), 0, "segment's header checksum");
      assert.equal(be16(segment, 4), (be16(packet, 4) + i) & 0xffff, "segment's identification");
    }
    for (let k = 0; k < headers; k++) if (!own.has(k)) assert.equal(segment[k], packet[k], `byte ${k} of a segment's headers`);
    const sum = transportSum(segment, protocol, segment.subarray(l4));
    assert.equal(sum, 0, "segment's transport checksum");
    if (protocol === 17) assert.equal(be16(segment, l4 + 4), segment.length - l4, "segment's UDP length");
    else assert.equal(sequence(segment, l4), (sequence(packet, l4) + at - headers) >>> 0, "segment's sequence number");
    assert.ok(same(segment.subarray(headers), packet.subarray(at, at + segment.length - headers)), "segment's payload");
    assert.equal(segment.length, Math.min(packet.length - at, size) + headers, "all of the segment's payload");
  });
}

const sequence = (b: Uint8Array, l4: number): number => ((be16(b, l4 + 4) << 16) | be16(b, l4 + 6)) >>> 0;

/**
 * Whether `out` tells the source of a packet that entered that it is too big: from whom it was for, with its beginning, and a size
 * that fits a path of `path` bytes.
 */
export function isTooBig(e: Entered, out: Uint8Array, quotesAll: boolean, path: number): boolean {
  const v4 = isV4(e.packet);
  if (isV4(out) !== v4 || totalLength(out) !== out.length || out[v4 ? 9 : 6] !== (v4 ? 1 : 58)) return false;
  const message = out.subarray(v4 ? 20 : 40);
  if (!same(sourceOf(out), destinationOf(e.packet)) || !same(destinationOf(out), sourceOf(e.packet))) return false;
  if (hexOf(message.subarray(0, 2)) !== (v4 ? "0304" : "0200")) return false;
  const sum = v4 ? checksum(message) | checksum(out.subarray(0, 20)) : transportSum(out, 58, message);
  if (sum !== 0 || out.length > (v4 ? 576 : 1280)) return false;
  const [told, least] = [be16(message, 6), v4 ? 68 : 1280];
  if (told < least || told > Math.max(least, path)) return false;
  const quote = message.subarray(8);
  // Of a super-segment the first packet is quoted as it would have been.
  if (!quotesAll) return same(quote.subarray(12), e.packet.subarray(12, quote.length));
  return same(quote, e.packet.subarray(0, quote.length));
}

/** Whether `w` is a datagram that entered, sent on: the same but for the hop that is next now, to the one that was next. */
function isSentOn(e: Entered, w: Wrapped, sameHost: SameHost): boolean {
  const came = e.datagram!;
  const next = nextHop(came);
  if (next === undefined || !sameHost(next, w.destination)) return false;
  if (w.trafficClass !== e.trafficClass || w.header !== came.length - innerLength(e)) return false;
  const advanced = came.slice(0, w.header);
  advanced[6] = advanced[6]! + 1;
  return same(w.datagram.subarray(0, w.header), advanced);
}

/** From the inner IP header to the end of the datagram. */
const innerLength = (e: Entered): number => e.datagram!.length - 4 * ((e.datagram![0]! & 31) + 1);
