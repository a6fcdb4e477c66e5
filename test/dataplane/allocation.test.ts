import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

/**
 * Runs the benchmark of the hot path and looks at the heap after each round. Collections would hide what is allocated, so
 * they are reported too.
 */
const PROGRAM = `
  const { pipeline } = await import(${JSON.stringify(new URL("../../src/cli/pipeline.js", import.meta.url).href)});
  const { benchConfig } = await import(${JSON.stringify(new URL("../../src/cli/bench.js", import.meta.url).href)});
  const { benchHotPath } = await pipeline("bench/hot-path.ts");
  const used = new Float64Array(100);
  benchHotPath(benchConfig(), 1000, 60, (round) => {
    if (round === 20) process.stdout.write("begin\\n");
    used[round] = process.memoryUsage().heapUsed;
  });
  const grown = Array.from({ length: 40 }, (_, i) => used[21 + i] - used[20 + i]).sort((a, b) => a - b);
  process.stdout.write("grown " + grown[20] + "\\n");
`;

test("the hot path allocates nothing", () => {
  const run = spawnSync(process.execPath, ["--trace-gc", "--input-type=module", "--eval", PROGRAM], {
    encoding: "utf8",
    timeout: 120_000,
  });
  assert.equal(run.status, 0, run.stderr);
  // What is collected when all is done is not the hot path's.
  const since = run.stdout.slice(run.stdout.indexOf("begin"), run.stdout.indexOf("grown"));
  assert.doesNotMatch(since, /Scavenge|Mark-Compact/, "something was collected");
  const grown = Number(/grown (-?\d+)/.exec(run.stdout)?.[1]);
  // The median of 40 rounds: in one where a way is taken for the first time V8 throws its code away, and what is not compiled
  // allocates. A round is 200,000 packets through each of four stages: a byte for every packet would be eight times as much.
  assert.ok(grown < 100_000, `${grown} bytes in 800,000 packets`);
});
