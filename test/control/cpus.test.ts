import assert from "node:assert/strict";
import { test } from "node:test";
import { readCpuList, requireCpus, workersOf } from "../../src/control/cpus.ts";
import type { Failure } from "../../src/control/failure.ts";

test("the kernel's lists of CPUs", () => {
  assert.deepEqual([...readCpuList("0-2,5,7-8")], [0, 1, 2, 5, 7, 8]);
  assert.deepEqual([...readCpuList("3")], [3]);
});

test("a CPU that is not there is named", () => {
  requireCpus("c.yaml", null);
  requireCpus("c.yaml", [0]);
  assert.throws(
    () => requireCpus("c.yaml", [0, 1023]),
    (error: Failure) =>
      /^c\.yaml: io\.cpus: there is no CPU 1023 for us here \(choose from [0-9,-]+\)$/.test(error.message) &&
      error.exitCode === 2,
  );
});

test("workers: one for two CPUs, one for each CPU that is named, or as many as the config says", () => {
  const auto = (allowed: string, cpus: number[] | null = null): number => workersOf({ workers: "auto", cpus }, allowed);
  assert.deepEqual(
    ["0", "0-1", "0-2", "0-3", "0-7", "0,2,4-7", "0-63"].map((list) => auto(list)),
    [1, 1, 1, 2, 4, 3, 8],
  );
  assert.equal(auto("0-7", [5]), 1);
  assert.equal(auto("0-7", [1, 2, 3, 1]), 3);
  assert.equal(workersOf({ workers: 3, cpus: [1] }, "0-1"), 3);
});
