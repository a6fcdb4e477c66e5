import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Desired } from "../../src/control/plan.ts";
import { readHostFacts } from "../../src/health/host-facts.ts";
import { parseAddress } from "../../src/wire/address.ts";

test("what `ip` breaks off in the middle of a line is no answer", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-ip-"));
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
    rmSync(dir, { recursive: true });
  });
  writeFileSync(join(dir, "ip"), `#!/bin/sh\ncat >/dev/null; printf '[]\\n[]\\n[]\\n[{"dst":'\n`, { mode: 0o755 });
  process.env.PATH = `${dir}:${path}`;
  await assert.rejects(
    readHostFacts({ vips: [], table: 6080, tun: "t" } as unknown as Desired, [parseAddress("10.0.1.11")!], 6080),
  );
});
