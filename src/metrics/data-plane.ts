/** Metrics of the data plane: all counters that the workers keep, by verdict, worker, host, service, rule and egress IP. */
import { WORKER_COUNTERS, type WorkerCounter } from "../shm/counters.ts";
import type { RuleCounts } from "../shm/rules.ts";
import type { Family, Sample } from "./family.ts";
import type { LiveCounts } from "./live-counts.ts";

/** What each counter of a worker counts. */
const WORKER_HELP: Readonly<Record<WorkerCounter, string>> = {
  uplinkFrames: "Frames from the uplink as received, before super-segments are taken apart",
  uplinkPackets: "Packets from the uplink",
  uplinkBytes: "Bytes from the uplink",
  gueMessages: "Messages read from the GUE sockets, each a packet or a train of them",
  guePackets: "Packets received in GUE",
  gueBytes: "Bytes received in GUE",
  uplinkBursts: "Bursts read from the uplink",
  gueBursts: "Bursts read from GUE sockets",
  gueSends: "Messages sent to peers, each a packet or a train of them",
  kernelWrites: "Writes to the TUN",
  gueSendFailed: "Messages to peers that the kernel did not take",
  kernelWriteFailed: "Writes to the TUN that the kernel did not take",
  kernelDrops: "Frames that the kernel lost before they were read",
  waits: "Times that the worker had nothing to do",
  truncated: "Frames longer than a slot",
  icmpSendFailed: "ICMP messages to sources that the kernel did not take",
  icmpSent: "ICMP messages to sources whose packets do not fit",
  secondHops: "Packets in GUE sent on to the second host of their chain",
  thirdHops: "Packets in GUE sent on to the third host of their chain",
  furtherHops: "Packets in GUE sent on to the fourth host of their chain, or back to the first",
};

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Samples of a map of maps: by name and the field that each label value stands for. */
const byName = <F extends string>(
  rows: Readonly<Record<string, Readonly<Record<F, number>>>>,
  fields: Readonly<Partial<Record<F, string>>>,
): Sample[] =>
  Object.entries(rows).flatMap(([name, row]) =>
    Object.entries(fields).map(([field, value]): Sample => [row[field as F], name, value as string]),
  );

const counter = (name: string, help: string, labels: readonly string[], read: Family["read"]): Family => ({
  name: `hafl_${name}_total`,
  help,
  type: "counter",
  labels,
  read,
});

/** All of them. */
export function dataPlaneFamilies(counts: LiveCounts): Family[] {
  const rule = (name: string, help: string, field: keyof RuleCounts): Family =>
    counter(`rule_${name}`, help, ["rule"], () => Object.entries(counts.rules()).map(([of, row]) => [row[field], of]));
  return [
    counter("verdicts", "Packets by what became of them; each has exactly one verdict", ["verdict"], () =>
      Object.entries(counts.counters().verdicts).map(([verdict, packets]) => [packets, verdict]),
    ),
    ...WORKER_COUNTERS.map((name) =>
      counter(`worker_${snake(name)}`, WORKER_HELP[name], ["worker"], () =>
        counts.counters().workers.map((worker, i): Sample => [worker[name], `${i}`]),
      ),
    ),
    counter("host_packets", "Packets sent in GUE to a host, and received from it", ["host", "direction"], () =>
      byName(counts.counters().perHost, { sentPackets: "sent", receivedPackets: "received" }),
    ),
    counter("host_bytes", "Bytes of the packets sent in GUE to a host, and received from it", ["host", "direction"], () =>
      byName(counts.counters().perHost, { sentBytes: "sent", receivedBytes: "received" }),
    ),
    counter("service_packets", "Packets steered for a service", ["service"], () =>
      Object.entries(counts.counters().perService).map(([service, { packets }]) => [packets, service]),
    ),
    counter("service_bytes", "Bytes of the packets steered for a service", ["service"], () =>
      Object.entries(counts.counters().perService).map(([service, { bytes }]) => [bytes, service]),
    ),
    rule("dropped_packets", "Packets that a drop rule dropped; of those dropped in the kernel, frames", "packets"),
    rule("dropped_in_kernel", "Frames that a drop rule dropped in the kernel", "inKernel"),
    rule("dropped_bytes", "Bytes that a drop rule dropped in user space", "bytes"),
    rule("dropped_in_kernel_bytes", "Estimate of the bytes that a drop rule dropped in the kernel", "inKernelBytes"),
    rule("passed_packets", "Packets that match a drop rule and were within its limit", "passedPackets"),
    rule("passed_bytes", "Bytes that match a drop rule and were within its limit", "passedBytes"),
    ...egressFamilies(counts),
  ];
}

/** What cannot be read is left out: connection tracking is for root's eyes. */
function egressFamilies(counts: LiveCounts): Family[] {
  const slices = (of: (use: { ports: number; connections: number }) => number): Sample[] =>
    Object.entries(counts.egress()).flatMap(([ip, { slices }]) =>
      Object.entries(slices).flatMap(([slice, use]): Sample[] => (use === null ? [] : [[of(use), ip, slice]])),
    );
  const kept = (field: "exhausted" | "strayed"): Sample[] =>
    Object.entries(counts.egress()).flatMap(([ip, use]): Sample[] => (use[field] === null ? [] : [[use[field], ip]]));
  const labels = ["ip", "slice"];
  const gauge = (name: string, help: string, read: Family["read"]): Family => ({ name, help, type: "gauge", labels, read });
  return [
    gauge("hafl_egress_slice_ports", "Ports of a slice of an egress IP that this host owns", () =>
      Object.entries(counts.egress()).flatMap(([ip, { slices, sliceSize }]) =>
        Object.keys(slices).map((slice): Sample => [sliceSize, ip, slice]),
      ),
    ),
    gauge("hafl_egress_slice_ports_used", "Ports of a slice that connections use, TCP and UDP counted apart", () =>
      slices(({ ports }) => ports),
    ),
    gauge("hafl_egress_slice_connections", "Tracked connections of a slice that are not over", () =>
      slices(({ connections }) => connections),
    ),
    counter(
      "egress_exhausted",
      "Connections refused because every port of this host was taken toward their destination",
      ["ip"],
      () => kept("exhausted"),
    ),
    counter("egress_strayed", "Packets held back because their port is not this host's", ["ip"], () => kept("strayed")),
  ];
}
