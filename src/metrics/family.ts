/** A family of metrics that are read when somebody asks, and how they get into prom-client's registry. */
import { Counter, Gauge, type Registry } from "prom-client";

/** One value with its labels, in the order of the family's. */
export type Sample = readonly [value: number, ...labels: string[]];

export interface Family {
  /** `hafl_...`; that of a counter ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  /** Names of labels. */
  readonly labels?: readonly string[];
  /** The values there are now. */
  read(): Iterable<Sample>;
}

/** A family without labels. */
export const single = (type: Family["type"], name: string, help: string, read: () => number): Family => ({
  name,
  help,
  type,
  read: () => [[read()]],
});

/** Adds a family to a registry. */
export function register(registry: Registry, { name, help, type, labels = [], read }: Family): void {
  const named = (values: readonly string[]): Record<string, string> =>
    Object.fromEntries(labels.map((label, i) => [label, values[i]!]));
  const common = { name, help, labelNames: [...labels], registers: [registry] };
  // Made anew each time: what is not there any more is not shown any more.
  if (type === "gauge") {
    const gauge = new Gauge<string>({
      ...common,
      collect: () => {
        gauge.reset();
        for (const [value, ...values] of read()) gauge.set(named(values), value);
      },
    });
  } else {
    const counter = new Counter<string>({
      ...common,
      collect: () => {
        counter.reset();
        for (const [value, ...values] of read()) counter.inc(named(values), value);
      },
    });
  }
}
