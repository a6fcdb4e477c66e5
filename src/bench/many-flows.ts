/**
 * What a packet costs with a million flows in the flow table instead of ten thousand: the whole path of a worker, on 64-byte TCP packets of
 * established flows that take turns. Packets lie where a worker's would, in a few slots that are written anew, so that
 * what differs is the flow table alone: it is all that grows with flows.
 */
import type { Config } from "../control/config.ts";
import { createTurn, type Turn } from "../dataplane/pipeline.ts";
import { RX_OFFSET, RX_STRIDE } from "../io/packet-io.ts";
import { countFlows } from "../shm/flow-table.ts";
import { IPV4_HEADER, IPV4_SOURCE } from "../wire/ipv4.ts";
import { ACK, SYN } from "../wire/tcp.ts";
import { BurstSource, type Load, prepare, setAllFlags } from "./load.ts";
import { type Measurement, median } from "./measure.ts";

export const FEW_FLOWS = 10_000;
/** Packets that lie ready; their bytes fit the second-level cache. */
const SLOTS = 2048;
/** Packets of a round, at least. */
const ROUND = 200_000;
const WARM_UP = 3;

/** Makes the packets those of SLOTS flows from `first` on. The director does not look at checksums. */
function setFlows({ context: { bytes }, bursts }: Load, first: number): void {
  let flow = first;
  for (const { records, count } of bursts) {
    for (let i = 0; i < count; i++, flow++) {
      const ip = records[i * RX_STRIDE + RX_OFFSET]!;
      bytes.setInt32(ip + IPV4_SOURCE, 0x0a000000 + (flow >>> 4));
      bytes.setUint16(ip + IPV4_HEADER, 1024 + ((flow * 7) % 60_000));
    }
  }
}

/** Packets of all flows, each as often; gives nanoseconds per packet, of which writing them is no part. */
function pass(load: Load, turn: Turn, flows: number, passes: number): number {
  let packets = 0;
  let ms = 0;
  for (let n = 0; n < passes; n++) {
    for (let first = 0; first < flows; first += SLOTS) {
      setFlows(load, first);
      const begun = performance.now();
      for (let done = 0; done < SLOTS; ) done += turn();
      ms += performance.now() - begun;
      packets += SLOTS;
    }
  }
  return (ms * 1e6) / packets;
}

/** Nanoseconds per packet with few flows and with `flows`, their ratio, the flows that the table holds, and the process's memory. */
export function benchFlows(
  config: Config,
  flows: number,
  rounds: number,
  onRound: (round: number) => void = () => {},
): Record<string, Measurement> {
  const load = prepare(config, SLOTS);
  const turn = createTurn(load.context, new BurstSource(load), []);
  setAllFlags(load, SYN);
  pass(load, turn, flows, 1);
  setAllFlags(load, ACK);
  const few: number[] = [];
  const many: number[] = [];
  for (let round = -WARM_UP; round < rounds; round++) {
    const a = pass(load, turn, FEW_FLOWS, Math.ceil(ROUND / FEW_FLOWS));
    const b = pass(load, turn, flows, Math.ceil(ROUND / flows));
    if (round < 0) continue;
    few.push(a);
    many.push(b);
    onRound(round + 1);
  }
  const { memory } = load.context;
  const tracked = countFlows(memory.flows, memory.now).established;
  const figure = (unit: string, values: number[]): Measurement => ({ median: median(values), unit, rounds: values });
  return {
    few: figure("ns", few),
    many: figure("ns", many),
    ratio: figure(
      "times",
      many.map((ns, i) => ns / few[i]!),
    ),
    tracked: figure("flows", [tracked]),
    resident: figure("MB", [process.memoryUsage().rss / 1e6]),
  };
}
