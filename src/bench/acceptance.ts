/** What the measured figures have to be. Each line is judged by medians of one run; what was not measured is not judged. */
import type { Alone, AloneName } from "./alone.ts";
import type { Figures } from "./figures.ts";
import type { PathName } from "./paths.ts";

export interface Line {
  readonly what: string;
  /** Undefined: not measured. */
  readonly figure: number | undefined;
  readonly bound: number;
  readonly least: boolean;
  readonly unit: string;
  readonly met: boolean | undefined;
}

const line = (what: string, figure: number | undefined, kind: "at least" | "at most", bound: number, unit = ""): Line => {
  const least = kind === "at least";
  const met = figure === undefined || Number.isNaN(figure) ? undefined : least ? figure >= bound : figure <= bound;
  return { what, figure: met === undefined ? undefined : figure, bound, least, unit, met };
};

/** Seconds that the run without loss has to last, and flows that have to be tracked, for their lines to say what they say. */
const LOSSLESS_SECONDS = 25;
const FLOWS_LEAST = 950_000;

/** All lines. */
export function judge(figures: Figures, alone: Alone): Line[] {
  const of = (figure: string, path: PathName = "haflinger"): number => figures.medianOf(figure, path) ?? Number.NaN;
  const ratio = (figure: string, path: PathName, to: PathName): number => of(figure, path) / of(figure, to);
  const over = (figure: string, to: PathName): number => ratio(figure, "haflinger", to);
  const added = (figure: string, path: PathName): number => of(figure, path) - of(figure, "direct");
  const sum = (values: readonly number[]): number =>
    values.reduce((total, n) => total + n, Number(values.length === 0 && Number.NaN));
  const late = sum(
    ["late", "late at 80 %", "late of two"].flatMap((figure) =>
      (["haflinger", "haflinger-1", "haflinger-2"] as const).flatMap((path) => figures.roundsOf(figure, path)),
    ),
  );
  const own = (name: AloneName, figure: string): number => alone[name]?.[figure]?.median ?? Number.NaN;
  const seconds = of("lost in");
  const lost = seconds >= LOSSLESS_SECONDS ? of("lost") : Number.NaN;
  const resident = of("tracked") >= FLOWS_LEAST ? of("resident") : Number.NaN;
  const many = own("flows", "tracked") >= FLOWS_LEAST ? own("flows", "ratio") : Number.NaN;
  return [
    line("upload over direct", over("upload", "direct"), "at least", 0.55),
    line("upload over HAProxy with splice", over("upload", "haproxy-splice"), "at least", 1),
    line("download over direct", over("download", "direct"), "at least", 0.95),
    line("requests on kept connections over HAProxy", over("keepalive", "haproxy"), "at least", 1),
    line("requests on kept connections over direct", over("keepalive", "direct"), "at least", 0.83),
    line("requests with a connection each over direct", over("connections", "direct"), "at least", 0.7),
    line("requests with a connection each over HAProxy", over("connections", "haproxy"), "at least", 1.25),
    line("small packets over the C floor", over("small", "floor"), "at least", 0.9),
    line("small packets lost at 80 % of the floor, in 30 s", lost, "at most", 0, "packets"),
    line("latency added to an idle echo, median", added("idle p50", "haflinger"), "at most", 60, "µs"),
    line("latency added to an idle echo, 99 of 100", added("idle p99", "haflinger"), "at most", 200, "µs"),
    line("latency added with busy polling, median", added("idle p50", "haflinger-busy"), "at most", 25, "µs"),
    line("established packet in the pipeline", own("hot-path", "whole"), "at most", 44, "ns"),
    line("table of 65,537 buckets for 1,000 weighted hosts", own("table", "build"), "at most", 15, "ms"),
    line("delay of a burst that takes up new tables", own("table", "delay"), "at most", 100, "µs"),
    line("two workers over one, two uploads", ratio("upload of two", "haflinger-2", "haflinger-1"), "at least", 1),
    line("two workers over one, two flows of small packets", ratio("small of two", "haflinger-2", "haflinger-1"), "at least", 1),
    line("small packets that left their flow's order", late, "at most", 0, "packets"),
    line("resident memory with 1,000,000 flows", resident, "at most", 200, "MB"),
    line("packet with 1,000,000 flows over 10,000", many, "at most", 1.5),
  ];
}

const number = (n: number): string =>
  Number.isInteger(n) ? n.toLocaleString("en") : Math.abs(n) >= 100 ? n.toFixed(0) : n.toFixed(2);

/** The line's figure and bound, and whether that is met. */
export function describeLine({ figure, bound, least, unit, met }: Line): { figure: string; bound: string; met: string } {
  const withUnit = (n: number): string => (unit === "" ? number(n) : `${number(n)} ${unit}`);
  return {
    figure: figure === undefined ? "-" : withUnit(figure),
    bound: `${least ? "≥" : "≤"} ${withUnit(bound)}`,
    met: met === undefined ? "not measured" : met ? "met" : "NOT MET",
  };
}
