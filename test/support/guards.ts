/** That the pipeline writes nowhere but in the packet and where headers go. */
import assert from "node:assert/strict";
import { HEADROOM } from "../../src/io/packet-io.ts";
import type { OfflineHost } from "../../src/replay/offline-host.ts";
import { GUE_MAX_HEADER } from "../../src/wire/gue.ts";

const GUARD = 0xa5;
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
  for (let i = HEADROOM - WATCHED; i < HEADROOM - GUE_MAX_HEADER; i++) {
    if (pool[i] !== GUARD) assert.fail(`byte ${i - HEADROOM} in front of the packet was written`);
  }
  for (let i = HEADROOM + length; i < HEADROOM + length + WATCHED; i++) {
    if (pool[i] !== GUARD) assert.fail(`byte ${i - HEADROOM - length} behind the packet was written`);
  }
}
