/** What is kept of files that an earlier agent left. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { mapRegion } from "../../src/io/runtime-files.ts";
import { magic } from "../../src/shm/region.ts";

const folder = mkdtempSync(join(tmpdir(), "hafl-regions-"));
after(() => rmSync(folder, { recursive: true }));
const LAYOUT = { magic: magic("Test"), version: 3 };
/** The word of the header that says by which start of the machine times are. */
const BOOT = 12;

test("a region stays with its layout and size, and as long as the machine runs: its times mean nothing after that", () => {
  const path = join(folder, "region");
  const { buffer, kept } = mapRegion(path, 4096, LAYOUT);
  assert.equal(kept, false);
  new Int32Array(buffer)[100] = 7;
  const again = mapRegion(path, 4096, LAYOUT);
  assert.equal(again.kept, true);
  assert.equal(new Int32Array(again.buffer)[100], 7);

  const file = readFileSync(path);
  file.writeInt32LE(file.readInt32LE(BOOT) ^ 1, BOOT);
  rmSync(path);
  writeFileSync(path, file);
  const later = mapRegion(path, 4096, LAYOUT);
  assert.equal(later.kept, false);
  assert.equal(new Int32Array(later.buffer)[100], 0);

  assert.equal(mapRegion(path, 4096, { ...LAYOUT, version: 4 }).kept, false);
  assert.equal(mapRegion(path, 8192, { ...LAYOUT, version: 4 }).kept, false);
});
