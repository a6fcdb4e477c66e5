import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hafl } from "../support/command.ts";
import { CONFIG } from "../support/fixture.ts";

test("hafl mtu: overhead and largest inner packet, by host and length of chain", async () => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-mtu-"));
  try {
    const file = join(dir, "config.yaml");
    writeFileSync(file, CONFIG);
    const { code, stdout } = await hafl("mtu", "--config", file, "--mtu", "1600", "--json");
    assert.equal(code, 0);
    const rows = JSON.parse(stdout) as { host: string; outer: number; chain: number; overhead: number; largest: number }[];
    const of = (host: string): number[] => rows.filter((row) => row.host === host).map(({ overhead }) => overhead);
    // s3 has IPv6 only: where it may be a hop, hops take 16 bytes each.
    assert.deepEqual(of("s1"), [32, 52, 68, 84]);
    assert.deepEqual(of("s3"), [52, 72, 88, 104]);
    assert.equal(rows[0]!.largest, 1568);
    assert.match((await hafl("mtu", "--config", file)).stdout, /largest inner packet/);
    assert.equal((await hafl("mtu", "--config", file, "--mtu", "9")).code, 2);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
