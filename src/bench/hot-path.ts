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
import { BurstSource, type Load, PACKET, prepare, renewFlows, setAllFlags } from "./load.ts";
import { type Measurement, measure, type Subject } from "./measure.ts";

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

/** All packets through a stage, as often as it takes for some hundred thousand. */
function stage(load: Load, work: (context: Context, burst: RxBurst) => void, times: number): Subject {
  const run = (): number => {
    for (let n = 0; n < times; n++) {
      for (const burst of load.bursts) work(load.context, burst);
    }
    return times * load.packets;
  };
  return { run };
}

/**
 * Nanoseconds per packet: `parse`, then with `hash`, then with the look-up of VIP, service and bucket; `whole` for the
 * worker's own turn on packets of established flows, with flow table, headers and counters; and `begin` for the same on SYNs,
 * each of a new flow, into a flow table that fills up and stays full. The config's first service must have TCP port 80
 * on an IPv4 VIP, and the last host must not be in its pool.
 */
export function benchHotPath(
  config: Config,
  flows: number,
  rounds: number,
  onRound?: (round: number) => void,
): Record<string, Measurement> {
  const load = prepare(config, flows);
  const turn = createTurn(load.context, new BurstSource(load), []);
  const once = (): number => {
    let packets = 0;
    while (packets < load.packets) packets += turn();
    return packets;
  };
  const times = Math.max(1, Math.round(200_000 / flows));
  const many = (): number => {
    let packets = 0;
    while (packets < times * load.packets) packets += turn();
    return packets;
  };
  const renew = (): void => {
    setAllFlags(load, SYN);
    renewFlows(load);
  };
  const result = measure(
    {
      parse: stage(load, parse, times),
      hash: stage(load, hash, times),
      lookUp: stage(load, lookUp, times),
      begin: { prepare: renew, run: once },
      // The flows have just begun, so that these are established ones.
      whole: { prepare: () => setAllFlags(load, ACK), run: many },
    },
    rounds,
    15,
    onRound,
  );
  if (Number.isNaN(sink)) throw new Error("no result");
  return result;
}
