/** Runs put together: each part is of one of them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { download, upload } from "../../src/bench/bulk.ts";
import { Figures } from "../../src/bench/figures.ts";
import type { LabResult, RunNote } from "../../src/bench/lab.ts";
import type { Part } from "../../src/bench/part.ts";
import { save, withSaved } from "../../src/bench/saved.ts";
import type { Failure } from "../../src/control/failure.ts";

const MACHINE: RunNote["machine"] = {
  host: "h",
  date: "2026-01-01T00:00:00.000Z",
  processor: "p",
  processors: 2,
  memory: "1 GiB",
  kernel: "6.1",
  congestion: "cubic",
  versions: {},
  commit: null,
  loadBefore: [0, 0],
};
const ONE = { median: 1, unit: "ns", rounds: [1] };

function resultOf(part: Part, figure: string, rounds: number[], note: Partial<RunNote> = {}): LabResult {
  const figures = new Figures();
  for (const n of rounds) figures.add(part, figure, "direct", n);
  const run = { machine: MACHINE, rounds: 1, seconds: 1, workers: 1, measured: [part.name], leftOut: [], loads: [], minutes: 1 };
  return { figures, alone: {}, runs: [{ ...run, ...note }] };
}

function fileOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hafl-saved-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "saved.json");
}

test("what was measured before is added, and gives way to what is measured again", (t) => {
  const file = fileOf(t);
  const first = resultOf(download, "download", [1, 2, 3], { measured: ["download", "table"], minutes: 1 });
  save(file, withSaved(file, { ...first, alone: { table: { build: ONE } } }));
  save(file, withSaved(file, resultOf(upload, "upload", [4, 5, 6], { minutes: 2 })));
  const both = withSaved(file, resultOf(download, "download", [7, 8, 9], { minutes: 3 }));
  assert.deepEqual(both.figures.parts, [upload, download], "in the order of the benchmark");
  assert.deepEqual(both.figures.roundsOf("download", "direct"), [7, 8, 9]);
  assert.deepEqual(both.figures.roundsOf("upload", "direct"), [4, 5, 6]);
  assert.deepEqual(both.alone, { table: { build: ONE } });
  assert.deepEqual(
    both.runs.map(({ minutes, measured }) => [minutes, measured]),
    [
      [3, ["download"]],
      [2, ["upload"]],
      [1, ["table"]],
    ],
  );
});

test("figures of another machine are not put beside ours", (t) => {
  const file = fileOf(t);
  save(file, resultOf(upload, "upload", [1], { machine: { ...MACHINE, kernel: "5.10" } }));
  assert.throws(
    () => withSaved(file, resultOf(download, "download", [1])),
    (error: Failure) => error.message === `${file}: was measured on another machine (choose another folder with --out)`,
  );
});
