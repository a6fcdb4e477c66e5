/** From figures to lines of acceptance, tables and the picture. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { describeLine, judge, type Line } from "../../src/bench/acceptance.ts";
import { upload } from "../../src/bench/bulk.ts";
import { Figures } from "../../src/bench/figures.ts";
import { idleLatency } from "../../src/bench/latency.ts";
import { memory } from "../../src/bench/memory.ts";
import { beside, readable } from "../../src/bench/numbers.ts";
import type { Part } from "../../src/bench/part.ts";
import type { PathName } from "../../src/bench/paths.ts";
import { picture } from "../../src/bench/picture.ts";
import { partTable } from "../../src/bench/report.ts";
import { loss } from "../../src/bench/small.ts";

/** Figures with these rounds: [part, figure, path, rounds]. */
function figuresOf(...entries: [Part, string, PathName, number[]][]): Figures {
  const figures = new Figures();
  for (const [part, figure, path, rounds] of entries) for (const value of rounds) figures.add(part, figure, path, value);
  return figures;
}

const lineOf = (lines: readonly Line[], what: string): Line => lines.find((line) => line.what === what)!;

test("ratios of medians are held against their bounds", () => {
  const figures = figuresOf(
    [upload, "upload", "direct", [10, 16, 15]],
    [upload, "upload", "haflinger", [9, 7, 8.25]],
    [upload, "upload", "haproxy-splice", [8.5, 8.3, 8.4]],
  );
  const lines = judge(figures, {});
  assert.deepEqual(describeLine(lineOf(lines, "upload over direct")), { figure: "0.55", bound: "≥ 0.55", met: "met" });
  const splice = lineOf(lines, "upload over HAProxy with splice");
  assert.equal(splice.met, false);
  assert.equal(splice.figure, 8.25 / 8.4);
  assert.equal(lineOf(lines, "download over direct").met, undefined);
  assert.equal(describeLine(lineOf(lines, "download over direct")).met, "not measured");
});

test("what is added is the difference of medians", () => {
  const figures = figuresOf(
    [idleLatency, "idle p50", "direct", [20, 21, 22]],
    [idleLatency, "idle p50", "haflinger", [81, 90, 70]],
  );
  const line = lineOf(judge(figures, {}), "latency added to an idle echo, median");
  assert.equal(line.figure, 60);
  assert.equal(line.met, true);
});

test("a run that was too short, or tracked too few flows, is not judged", () => {
  const lost = (seconds: number): Line =>
    lineOf(
      judge(figuresOf([loss, "lost", "haflinger", [0]], [loss, "lost in", "haflinger", [seconds]]), {}),
      "small packets lost at 80 % of the floor, in 30 s",
    );
  assert.equal(lost(30).met, true);
  assert.equal(lost(0.2).met, undefined);
  const resident = (flows: number): Line =>
    lineOf(
      judge(figuresOf([memory, "resident", "haflinger", [150]], [memory, "tracked", "haflinger", [flows]]), {}),
      "resident memory with 1,000,000 flows",
    );
  assert.equal(resident(990_000).met, true);
  assert.equal(resident(16_000).met, undefined);
});

test("a table has the paths in one order, and what each is beside the first", () => {
  const figures = figuresOf([upload, "upload", "haflinger", [8, 9, 7]], [upload, "upload", "direct", [16, 16, 15]]);
  assert.deepEqual(partTable(figures, upload), {
    header: ["", "Gbit/s", "rounds", "beside the first"],
    rows: [
      ["direct (kernel routing)", "16", "15 - 16", ""],
      ["Haflinger", "8", "7 - 9", "0.50×"],
    ],
  });
  // One path and one round: nothing to compare, no spread.
  const alone = figuresOf([memory, "resident", "haflinger", [150.25]], [memory, "tracked", "haflinger", [990_214]]);
  assert.deepEqual(partTable(alone, memory), {
    header: ["", "MB", "flows it tracks, flows"],
    rows: [["Haflinger", "150", "990,214"]],
  });
});

test("numbers", () => {
  assert.deepEqual([0, 7, 1234567.8, 123.4, 12.34, 1.234, 0.5].map(readable), [
    "0",
    "7",
    "1,234,568",
    "123",
    "12.3",
    "1.23",
    "0.50",
  ]);
  assert.equal(beside(8, 16, "more"), "0.50×");
  assert.equal(beside(81.5, 21, "less"), "+60.5");
  assert.equal(beside(20, 21, "less"), "−1");
});

test("the picture has a bar for each path, as long as its figure, and is well-formed", () => {
  const figures = figuresOf([upload, "upload", "direct", [16]], [upload, "upload", "haflinger", [8]]);
  const svg = picture([figures.entriesOf("upload")], "a & b < c");
  assert.match(svg, /a &amp; b &lt; c/);
  const widths = [...svg.matchAll(/<rect [^>]*width='([\d.]+)' height='15'/g)].map((match) => Number(match[1]));
  assert.equal(widths.length, 2);
  assert.ok(Math.abs(widths[0]! - 2 * widths[1]!) < 0.2, `${widths}`);
  assert.match(svg, />8<tspan dx='8' fill='#6b7280'>0\.50×<\/tspan><\/text>/);
  const open: string[] = [];
  for (const [, close, name, empty] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (close === "/") assert.equal(open.pop(), name);
    else if (empty !== "/") open.push(name!);
  }
  assert.deepEqual(open, []);
});
