import assert from "node:assert/strict";
import { test } from "node:test";
import { readCpuList, requireCpus } from "../../src/control/cpus.ts";
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
