/** Where messages of our own leave, and how often they may: a token bucket for each worker. */
import type { PacketSink } from "../io/packet-io.ts";
import { elapsed } from "./clock.ts";

/** Messages a worker sends in a second, and in a burst after a pause: as Linux limits its own, all sources together. */
const PER_SECOND = 1000;
const AT_ONCE = 64;
/** Where messages of our own go, and how many may. */
export interface Origin {
  readonly sink: PacketSink;
  /** Thousandths of a message that may be sent, and when that was reckoned. */
  allowed: number;
  reckoned: number;
}

export const createOrigin = (sink: PacketSink): Origin => ({ sink, allowed: AT_ONCE * 1000, reckoned: 0 });

/** Takes a token, if there is one. `clock` is the time of the turn. */
export function maySend(origin: Origin, clock: number): boolean {
  const passed = elapsed(clock, origin.reckoned);
  // A second fills it whatever it held.
  origin.allowed = passed > 1000 ? AT_ONCE * 1000 : Math.min(AT_ONCE * 1000, origin.allowed + passed * PER_SECOND);
  origin.reckoned = clock;
  if (origin.allowed < 1000) return false;
  origin.allowed -= 1000;
  return true;
}
