/** One turn of a worker: a burst from the uplink, a burst of GUE, and what they send. Used by workers, replay and tests alike. */
import type { PacketSource } from "../io/packet-io.ts";
import { counterAt } from "../shm/counters.ts";
import type { Tables } from "../shm/forwarding-table.ts";
import { type Context, flush } from "./context.ts";
import { direct } from "./director.ts";
import { receiveGue } from "./target.ts";

const UPLINK_BURSTS = counterAt("uplinkBursts");
const GUE_BURSTS = counterAt("gueBursts");
const GUE_FAILED = counterAt("gueSendFailed");
const KERNEL_FAILED = counterAt("kernelWriteFailed");

/** Takes one burst from each source through the pipeline under the given tables. Returns the packets handled. */
export function turn(context: Context, tables: Tables, uplink: PacketSource | null, gue: readonly PacketSource[]): number {
  context.tables = tables;
  const counters = context.counters;
  let handled = 0;
  if (uplink !== null) {
    const count = uplink.receive();
    if (count > 0) {
      direct(context, uplink.burst, uplink.link);
      counters[UPLINK_BURSTS] = counters[UPLINK_BURSTS]! + 1;
      handled += count;
    }
  }
  for (let i = 0; i < gue.length; i++) {
    const source = gue[i]!;
    const count = source.receive();
    if (count === 0) continue;
    receiveGue(context, source.burst);
    counters[GUE_BURSTS] = counters[GUE_BURSTS]! + 1;
    handled += count;
  }
  if (handled > 0) finish(context);
  return handled;
}

function finish(context: Context): void {
  flush(context);
  const counters = context.counters;
  counters[GUE_FAILED] = counters[GUE_FAILED]! + context.peersFailed;
  counters[KERNEL_FAILED] = counters[KERNEL_FAILED]! + context.kernelFailed;
  context.peersFailed = 0;
  context.kernelFailed = 0;
}
