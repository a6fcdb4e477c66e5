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
  let packets = 0;
  // On a busy machine V8 takes its time to compile, and what is not compiled allocates.
  benchHotPath(benchConfig(), 1000, 60, (round) => {
    if (round === 50) process.stdout.write("begin\\n");
    used[round] = process.memoryUsage().heapUsed;
  });
  process.stdout.write("grown " + (used[60] - used[50]) + "\\n");
`;

test("the hot path allocates nothing", () => {
  const run = spawnSync(process.execPath, ["--trace-gc", "--input-type=module", "--eval", PROGRAM], {
    encoding: "utf8",
    timeout: 120_000,
  });
  assert.equal(run.status, 0, run.stderr);
  const since = run.stdout.slice(run.stdout.indexOf("begin"));
  assert.doesNotMatch(since, /Scavenge|Mark-Compact/, "something was collected");
  const grown = Number(/grown (-?\d+)/.exec(since)?.[1]);
  // Ten rounds of 200,000 packets through each stage: a byte for every packet would be ten times as much.
  assert.ok(grown < 1_000_000, `${grown} bytes after 10,000,000 packets`);
});
