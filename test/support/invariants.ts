/** What must hold of every packet that goes through a host, whatever it is. Used with mutated packets. */
import assert from "node:assert/strict";
import { HEADROOM } from "../../src/io/packet-io.ts";
import type { OfflineHost } from "../../src/replay/offline-host.ts";
import * as make from "./packets.ts";

const GUARD = 0xa5;
/** In front of a packet only a GUE header with the most hops may be written. */
const MOST_HEADER = 64;
/** Bytes looked at on both sides of a packet. */
const WATCHED = 160;

/** Fills what is around the packet that the next `take` lays into the first slot. */
export function setGuards(host: OfflineHost, length: number): void {
  host.pool.fill(GUARD, HEADROOM - WATCHED, HEADROOM);
  host.pool.fill(GUARD, HEADROOM + length, HEADROOM + length + WATCHED);
}

/** The pipeline wrote neither further in front of the packet than headers go, nor behind it. */
export function checkGuards(host: OfflineHost, length: number): void {
  const { pool } = host;
  for (let i = HEADROOM - WATCHED; i < HEADROOM - MOST_HEADER; i++) {
    if (pool[i] !== GUARD) assert.fail(`byte ${i - HEADROOM} in front of the packet was written`);
  }
  for (let i = HEADROOM + length; i < HEADROOM + length + WATCHED; i++) {
    if (pool[i] !== GUARD) assert.fail(`byte ${i - HEADROOM - length} behind the packet was written`);
  }
}

/** What leaves a director decodes, and its inner bytes are the packet that came in. `packet` is the input, IP header first. */
export function checkForwarded(packet: Uint8Array, out: Uint8Array): void {
  const v4 = out[0]! >> 4 === 4;
  const ip = v4 ? 20 : 40;
  const total = v4 ? (out[2]! << 8) | out[3]! : 40 + ((out[4]! << 8) | out[5]!);
  assert.equal(total, out.length, "outer length");
  if (v4) assert.equal(make.checksum(out.subarray(0, 20)), 0, "outer header checksum");
  const udp = out.subarray(ip);
  assert.equal((udp[2]! << 8) | udp[3]!, 6080, "GUE port");
  assert.equal((udp[4]! << 8) | udp[5]!, udp.length, "UDP length");
  const gue = 4 + (udp[8]! & 31) * 4;
  const inner = udp.subarray(8 + gue);
  assert.equal(Buffer.compare(inner, packet.subarray(0, inner.length)), 0, "inner bytes");
}

/** The inner packet of one in GUE. */
export function innerOf(out: Uint8Array): Uint8Array {
  const gue = (out[0]! >> 4 === 4 ? 20 : 40) + 8;
  return out.subarray(gue + 4 + (out[gue]! & 31) * 4);
}
