/** The addon's tests once more with the addon built for AddressSanitizer and UBSan. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const NO_SANITIZER = 3;

test("the addon's tests are clean under AddressSanitizer and UBSan", (t) => {
  const script = fileURLToPath(new URL("../../../native/asan.sh", import.meta.url));
  const result = spawnSync("sh", [script], { encoding: "utf8", timeout: 300_000, maxBuffer: 64 << 20 });
  if (result.status === NO_SANITIZER) return t.skip(result.stderr.trim());
  assert.equal(result.status, 0, `${result.error?.message ?? ""}\n${result.stdout}${result.stderr}`);
});
