/** One turn of a worker: a burst from the uplink, a burst of GUE, and what they send. Used by workers, tests and benchmarks. */
import type { PacketSource } from "../io/packet-io.ts";
import { counterAt } from "../shm/counters.ts";
import { hostClock } from "../shm/host-clock.ts";
import { CLOCK_MASK } from "./clock.ts";
import { type Context, flush } from "./context.ts";
import { direct } from "./director.ts";
import { settleHeld } from "./fragments.ts";
import { receiveGue } from "./target.ts";

const UPLINK_BURSTS = counterAt("uplinkBursts");
const GUE_BURSTS = counterAt("gueBursts");
const GUE_FAILED = counterAt("gueSendFailed");
const KERNEL_FAILED = counterAt("kernelWriteFailed");
const ICMP_FAILED = counterAt("icmpSendFailed");

/** Sources by bit: the uplink, and from FIRST_GUE on the GUE sockets. */
const UPLINK = 1;
const FIRST_GUE = 2;
export const ALL_SOURCES = -1;

/**
 * Takes one burst from each of the sources in `ready`, all unless said otherwise, through the pipeline. Returns the packets
 * handled.
 */
export type Turn = (ready?: number) => number;

/**
 * The turn of one worker. What it works on is captured, not passed: it is then constant to V8, which compiles all stages into
 * this one function and writes the addresses and lengths of the arrays into the code. That takes a quarter of the time away.
 * `clock` gives milliseconds, those of all who share its memory.
 */
export function createTurn(
  context: Context,
  uplink: PacketSource | null,
  gue: readonly PacketSource[],
  clock: () => number = hostClock,
): Turn {
  return (ready = ALL_SOURCES) => {
    const now = clock();
    context.clock = now & CLOCK_MASK;
    context.memory.now = Math.trunc(now / 1000);
    let handled = 0;
    if (uplink !== null && (ready & UPLINK) !== 0) handled += fromUplink(context, uplink, now);
    for (let i = 0; i < gue.length; i++) if ((ready & (FIRST_GUE << i)) !== 0) handled += fromPeers(context, gue[i]!);
    if (context.held.count > 0) settleHeld(context);
    if (handled > 0 || context.toPeers.count > 0 || context.toKernel.count > 0) finish(context);
    return handled;
  };
}

/** For a worker that takes no more turns: fragments that still wait for their first are sent if it has come, else dropped. */
export function endTurns(context: Context): void {
  settleHeld(context, 0);
  finish(context);
}

function fromUplink(context: Context, uplink: PacketSource, now: number): number {
  const count = uplink.receive();
  if (count === 0) return 0;
  const { drop } = context;
  if (drop === null) {
    direct(context, uplink.burst, uplink.link);
  } else {
    drop.now[0] = now;
    drop.wall[0] = Date.now();
    drop.direct(context, uplink.burst, uplink.link);
  }
  context.counters[UPLINK_BURSTS]! += 1;
  return count;
}

function fromPeers(context: Context, source: PacketSource): number {
  const count = source.receive();
  if (count === 0) return 0;
  receiveGue(context, source.burst);
  context.counters[GUE_BURSTS]! += 1;
  return count;
}

function finish(context: Context): void {
  flush(context);
  const counters = context.counters;
  counters[GUE_FAILED]! += context.peersFailed;
  counters[KERNEL_FAILED]! += context.kernelFailed;
  counters[ICMP_FAILED]! += context.originFailed;
  context.peersFailed = 0;
  context.kernelFailed = 0;
  context.originFailed = 0;
}
