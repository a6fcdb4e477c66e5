/**
 * One side of flows.ts, in a thread of its own as a worker is: the whole path of a worker, on 64-byte TCP packets of established flows that
 * take turns. Packets lie where a worker's would, in a few slots that are written anew, so that what differs by the number
 * of flows is the flow table alone: it is all that grows with them.
 *
 * For each message it takes a pass over all flows and answers with nanoseconds per packet.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { Config } from "../control/config.ts";
import { createTurn } from "../dataplane/pipeline.ts";
import { RX_OFFSET, RX_STRIDE } from "../io/packet-io.ts";
import { countFlows } from "../shm/flow-table.ts";
import { IPV4_HEADER, IPV4_SOURCE } from "../wire/ipv4.ts";
import { ACK, SYN } from "../wire/tcp.ts";
import { BurstSource, type Load, prepare, setAllFlags } from "./load.ts";

export interface FlowsWorkerOptions {
  readonly config: Config;
  readonly flows: number;
}

/** Said when the flows have begun; then with each pass. */
export interface FlowsReport {
  /** Established entries of the flow table. */
  readonly tracked: number;
  readonly nanoseconds: number;
}

/** Packets that lie ready; their bytes fit the second-level cache. */
const SLOTS = 2048;
/** Packets of a pass, at least. */
const PASS = 200_000;

/** Makes the packets those of SLOTS flows from `first` on, beginning anew behind the last. The director does not look at checksums. */
function setFlows({ context: { bytes }, bursts }: Load, first: number, flows: number): void {
  let n = first;
  for (const { records, count } of bursts) {
    for (let i = 0; i < count; i++, n++) {
      const flow = n % flows;
      const ip = records[i * RX_STRIDE + RX_OFFSET]!;
      bytes.setInt32(ip + IPV4_SOURCE, 0x0a000000 + (flow >>> 4));
      bytes.setUint16(ip + IPV4_HEADER, 1024 + ((flow * 7) % 60_000));
    }
  }
}

const { config, flows } = workerData as FlowsWorkerOptions;
const load = prepare(config, SLOTS);
const turn = createTurn(load.context, new BurstSource(load), []);

/** Packets of all flows, each about as often; gives nanoseconds per packet, of which writing them is no part. */
function pass(): number {
  const packets = Math.max(flows, PASS);
  let ms = 0;
  for (let first = 0; first < packets; first += SLOTS) {
    setFlows(load, first, flows);
    const begun = performance.now();
    for (let done = 0; done < SLOTS; ) done += turn();
    ms += performance.now() - begun;
  }
  return (ms * 1e6) / (Math.ceil(packets / SLOTS) * SLOTS);
}

function report(nanoseconds: number): void {
  const { memory } = load.context;
  const told: FlowsReport = { tracked: countFlows(memory.flows, memory.now).established, nanoseconds };
  parentPort!.postMessage(told);
}

setAllFlags(load, SYN);
pass();
setAllFlags(load, ACK);
report(pass());
parentPort!.on("message", () => report(pass()));
