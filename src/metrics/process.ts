/** Metrics of the process: CPU, memory, and whether the main thread keeps up. The workers' threads are part of it. */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { type Family, type Sample, single } from "./family.ts";

/** How often the event loop is looked at, ms. */
const LOOK_MS = 20;
const QUANTILES = [50, 99];

export class ProcessMetrics {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: LOOK_MS });

  readonly families: readonly Family[] = [
    {
      name: "hafl_process_cpu_seconds_total",
      help: "CPU time of the process with all its threads",
      type: "counter",
      labels: ["mode"],
      read: () => {
        const { user, system } = process.cpuUsage();
        return [
          [user / 1e6, "user"],
          [system / 1e6, "system"],
        ];
      },
    },
    single("gauge", "hafl_process_resident_memory_bytes", "Memory of the process", () => process.memoryUsage.rss()),
    single("gauge", "hafl_process_heap_bytes", "JavaScript heap of the main thread", () => process.memoryUsage().heapUsed),
    single(
      "gauge",
      "hafl_process_start_time_seconds",
      "When the process started, seconds since the epoch",
      () => Math.round(performance.timeOrigin) / 1000,
    ),
    {
      name: "hafl_event_loop_delay_seconds",
      help: "How late the main thread was, at most in this share of cases, since this was asked last; the data plane does not run there",
      type: "gauge",
      labels: ["share"],
      read: () => this.#delays(),
    },
  ];

  start(): void {
    this.#delay.enable();
  }

  stop(): void {
    this.#delay.disable();
  }

  #delays(): Sample[] {
    const late = (ns: number): number => Math.max(0, (Number.isFinite(ns) ? ns : 0) / 1e9 - LOOK_MS / 1000);
    const samples = QUANTILES.map((q): Sample => [late(this.#delay.percentile(q)), `${q / 100}`]);
    const all: Sample[] = [...samples, [this.#delay.count === 0 ? 0 : late(this.#delay.max), "1"]];
    this.#delay.reset();
    return all;
  }
}
