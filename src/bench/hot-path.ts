/**
 * What a packet costs in the pipeline: 64-byte TCP packets of many established flows, through the first stages and through all.
 *
 * Every stage is a loop of its own, so that V8 compiles each for itself as it does the whole; one loop that is handed
 * different stages would measure calls.
 */
import type { Config } from "../control/config.ts";
import type { Context } from "../dataplane/context.ts";
import { bucketFor, destinationVip, hashFlow, serviceOf } from "../dataplane/flow.ts";
import { parseNetwork, parseTransport } from "../dataplane/parse.ts";
import { createTurn } from "../dataplane/pipeline.ts";
import { RX_OFFSET, RX_STRIDE, type RxBurst } from "../io/packet-io.ts";
import { ACK, SYN } from "../wire/tcp.ts";
import { BurstSource, type Load, PACKET, prepare, setAllFlags } from "./load.ts";
import { type Measurement, measure } from "./measure.ts";

/** Kept, so that no stage is optimised away; of 32 bits, so that it needs no memory of its own. */
let sink = 0;

function parse({ bytes, parsed }: Context, { records, count }: RxBurst): void {
  for (let i = 0; i < count; i++) {
    const ip = records[i * RX_STRIDE + RX_OFFSET]!;
    sink ^= parseNetwork(bytes, ip, PACKET, parsed) + parseTransport(bytes, parsed);
  }
}

function hash({ bytes, parsed, tables }: Context, { records, count }: RxBurst): void {
  for (let i = 0; i < count; i++) {
    const ip = records[i * RX_STRIDE + RX_OFFSET]!;
    sink ^= parseNetwork(bytes, ip, PACKET, parsed) + parseTransport(bytes, parsed);
    hashFlow(tables, parsed);
  }
}

function lookUp({ bytes, parsed, tables }: Context, { records, count }: RxBurst): void {
  for (let i = 0; i < count; i++) {
    const ip = records[i * RX_STRIDE + RX_OFFSET]!;
    sink ^= parseNetwork(bytes, ip, PACKET, parsed) + parseTransport(bytes, parsed);
    hashFlow(tables, parsed);
    const service = serviceOf(tables, destinationVip(tables, parsed), parsed);
    sink ^= bucketFor(tables, service, parsed);
  }
}

/** All packets once through a stage, as often as it takes for some hundred thousand. Returns how many that were. */
function subject(load: Load, stage: (context: Context, burst: RxBurst) => void, times: number): () => number {
  return () => {
    for (let n = 0; n < times; n++) {
      for (const burst of load.bursts) stage(load.context, burst);
    }
    return times * load.packets;
  };
}

/**
 * Nanoseconds per packet: `parse`, then with `hash`, then with the look-up of VIP, service and bucket; and `whole` for the
 * worker's own turn, with flow table, headers and counters. The config's first service must have TCP port 80
 * on an IPv4 VIP, and the last host must not be in its pool.
 */
export function benchHotPath(
  config: Config,
  flows: number,
  rounds: number,
  onRound?: (round: number) => void,
): Record<string, Measurement> {
  const load = prepare(config, flows);
  const turn = createTurn(load.context, new BurstSource(load.bursts), []);
  // The flows begin, so that what is measured are established ones.
  setAllFlags(load, SYN);
  for (const _ of load.bursts) turn();
  setAllFlags(load, ACK);

  const times = Math.max(1, Math.round(200_000 / flows));
  const whole = (): number => {
    let packets = 0;
    while (packets < times * load.packets) packets += turn();
    return packets;
  };
  const stages = { parse, hash, lookUp };
  const subjects = Object.fromEntries(Object.entries(stages).map(([name, stage]) => [name, subject(load, stage, times)]));
  const result = measure({ ...subjects, whole }, rounds, 15, onRound);
  if (Number.isNaN(sink)) throw new Error("no result");
  return result;
}
