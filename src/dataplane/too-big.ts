/** What does not fit the path to the host it is for: the source is told, or the inner packet fragmented. */
import { TOO_BIG } from "../shm/verdict.ts";
import { dontFragment } from "../wire/ipv4.ts";
import type { Context } from "./context.ts";
import { reportTooBig } from "./originate.ts";
import { sendFragments } from "./pre-fragment.ts";

/**
 * The packet in hand has a GUE header of `gueLength` bytes in front of it and is longer than `room`, the largest inner packet
 * that fits. Returns `sent` when it left in fragments, else TOO_BIG or NO_ROOM.
 */
export function tooBig(context: Context, host: number, family: number, gueLength: number, room: number, sent: number): number {
  const { bytes, parsed: p } = context;
  if (p.version === 4 && !dontFragment(bytes, p.ip)) return sendFragments(context, host, family, gueLength, room, sent);
  reportTooBig(context, room);
  return TOO_BIG;
}
