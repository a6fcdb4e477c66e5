/** How long bursts took, from the workers' counters, as a histogram of Prometheus. */
import type { Histogram, Metric, Registry } from "prom-client";
import { BURST_BOUNDS, type BurstTimes } from "../shm/counters.ts";

const NAME = "hafl_burst_duration_seconds";
const HELP = "How long a worker took for a burst of packets, from reading it to the last packet sent";

type Values = Awaited<ReturnType<Histogram["get"]>>["values"];

/** Adds it to a registry. Nothing is observed here: the workers have counted, and it is shown when somebody asks. */
export function registerBursts(registry: Registry, read: () => readonly BurstTimes[]): void {
  const values = (): Values => read().flatMap((times, worker) => valuesOf(times, `${worker}`));
  // A registry takes its own kinds of metrics; of this one it calls only what is here.
  const metric = { name: NAME, get: async () => ({ name: NAME, help: HELP, type: "histogram", values: values() }) };
  registry.registerMetric(metric as unknown as Metric);
}

function valuesOf({ counts, sum }: BurstTimes, worker: string): Values {
  let total = 0;
  const buckets = counts.map((count, i) => {
    total += count;
    return { metricName: `${NAME}_bucket`, labels: { worker, le: BURST_BOUNDS[i] ?? "+Inf" }, value: total };
  });
  return [
    ...buckets,
    { metricName: `${NAME}_sum`, labels: { worker }, value: sum },
    { metricName: `${NAME}_count`, labels: { worker }, value: total },
  ];
}
