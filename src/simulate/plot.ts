/** Plots of a simulation, as SVG written by hand: spread of use over time, connections cut over time. */
import type { Course, Run } from "./simulate.ts";

const [WIDTH, HEIGHT] = [900, 360];
const [LEFT, RIGHT, TOP, BOTTOM] = [76, 16, 56, 40];
const COLOURS = ["#1d4ed8", "#c2410c", "#6b7280"];
const FONT = "font-family='system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif'";
/** Points of a line, at most: more than there are pixels say nothing more. */
const POINTS = 1500;

interface Line {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

interface Axis {
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly number[];
  /** Place of a value between 0 and 1. */
  readonly at: (value: number) => number;
  readonly text: (value: number) => string;
}

/** A plot for each question, by file name. */
export function plots(scenario: string, { model }: Course, runs: readonly Run[]): Record<string, string> {
  const about = `${scenario}, ${model.hosts.length.toLocaleString("en")} hosts, ${model.flows.toLocaleString("en")} flows`;
  const lines = (value: (sample: Run["samples"][number]) => number): Line[] =>
    runs.map(({ policy, samples }) => ({
      name: policy,
      points: thinned(samples.map((sample) => [sample.time / 60, value(sample)] as const)),
    }));
  const minutes = linear(0, Math.max(...runs.map(({ samples }) => samples.at(-1)!.time)) / 60);
  const spreads = lines(({ spread }) => spread);
  const cut = lines(({ broken }) => broken);
  const most = (all: readonly Line[]): number => all.flatMap(({ points }) => points).reduce((a, [, y]) => Math.max(a, y), 0);
  return {
    [`${scenario}-spread.svg`]: plot(
      `Largest use over mean use: ${about}`,
      minutes,
      linear(1, Math.max(1.1, most(spreads))),
      spreads,
    ),
    [`${scenario}-cut.svg`]: plot(
      `Connections cut so far, plus one: ${about}`,
      minutes,
      logarithmic(Math.max(10, most(cut))),
      cut.map(({ name, points }) => ({ name, points: points.map(([x, y]) => [x, y + 1] as const) })),
    ),
  };
}

const thinned = <T>(points: readonly T[]): T[] => {
  const every = Math.ceil(points.length / POINTS);
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
};

/** From one round number to another, with about six marks. */
function linear(least: number, most: number): Axis {
  const rough = (most - least) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough)!;
  const from = Math.floor(least / step) * step;
  const count = Math.ceil((most - from) / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, i) => from + i * step);
  const to = ticks.at(-1)!;
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return { from, to, ticks, at: (v) => (v - from) / (to - from), text: (v) => v.toFixed(digits) };
}

/** From 1 to a power of ten. */
function logarithmic(most: number): Axis {
  const powers = Math.ceil(Math.log10(most));
  const ticks = Array.from({ length: powers + 1 }, (_, i) => 10 ** i);
  return { from: 1, to: 10 ** powers, ticks, at: (v) => Math.log10(v) / powers, text: (v) => v.toLocaleString("en") };
}

const text = (x: number, y: number, more: string, what: string): string =>
  `<text x='${x}' y='${y}' ${more}>${what.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</text>`;

function plot(title: string, horizontal: Axis, vertical: Axis, lines: readonly Line[]): string {
  const x = (v: number): string => (LEFT + horizontal.at(v) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (v: number): string => (HEIGHT - BOTTOM - vertical.at(v) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const grid = vertical.ticks.flatMap((v) => [
    `<line x1='${LEFT}' x2='${WIDTH - RIGHT}' y1='${y(v)}' y2='${y(v)}' stroke='#e5e7eb'/>`,
    text(LEFT - 8, Number(y(v)) + 4, "font-size='11' fill='#6b7280' text-anchor='end'", vertical.text(v)),
  ]);
  const below = horizontal.ticks.map((v) =>
    text(Number(x(v)), HEIGHT - BOTTOM + 16, "font-size='11' fill='#6b7280' text-anchor='middle'", horizontal.text(v)),
  );
  const drawn = lines.map(
    ({ points }, i) =>
      `<polyline fill='none' stroke='${COLOURS[i]}' stroke-width='1.5' points='${points.map(([a, b]) => `${x(a)},${y(b)}`).join(" ")}'/>`,
  );
  const legend = lines.map(({ name }, i) =>
    text(LEFT + i * 150, 42, `font-size='12' font-weight='600' fill='${COLOURS[i]}'`, name),
  );
  return [
    `<svg xmlns='http://www.w3.org/2000/svg' width='${WIDTH}' height='${HEIGHT}' viewBox='0 0 ${WIDTH} ${HEIGHT}' ${FONT}>`,
    `<rect width='${WIDTH}' height='${HEIGHT}' fill='#ffffff'/>`,
    text(LEFT, 22, "font-size='14' font-weight='600' fill='#111827'", title),
    ...legend,
    ...grid,
    ...below,
    text(WIDTH - RIGHT, HEIGHT - 8, "font-size='11' fill='#6b7280' text-anchor='end'", "minutes"),
    ...drawn,
    "</svg>\n",
  ].join("\n");
}
