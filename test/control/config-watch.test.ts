import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { ConfigWatch } from "../../src/control/config-watch.ts";
import { until } from "../support/netns.ts";

let dir = "";
let watch: ConfigWatch | undefined;
let changes = 0;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hafl-watch-"));
  changes = 0;
});
afterEach(() => {
  watch?.close();
  rmSync(dir, { recursive: true });
});

const start = (file: string): void => {
  watch = new ConfigWatch(file, () => {
    changes++;
  });
};
const noticed = (count: number): Promise<void> => until(`change ${count}`, () => changes === count);

test("written in place, replaced by rename, removed and written again", async () => {
  const file = join(dir, "c.yaml");
  writeFileSync(file, "1");
  start(file);
  writeFileSync(file, "2");
  await noticed(1);
  writeFileSync(`${file}.new`, "3");
  renameSync(`${file}.new`, file);
  await noticed(2);
  rmSync(file);
  writeFileSync(join(dir, "other.yaml"), "x");
  writeFileSync(file, "4");
  await noticed(3);
});

test("a directory behind a symbolic link that is swapped", async () => {
  for (const version of ["1", "2"]) {
    mkdirSync(join(dir, version));
    writeFileSync(join(dir, version, "c.yaml"), version);
  }
  symlinkSync("1", join(dir, "current"));
  symlinkSync("current/c.yaml", join(dir, "c.yaml"));
  start(join(dir, "c.yaml"));
  symlinkSync("2", join(dir, "next"));
  renameSync(join(dir, "next"), join(dir, "current"));
  await noticed(1);
});

test("a directory that cannot be watched is reported to whoever asks", () => {
  watch = new ConfigWatch(join(dir, "nowhere", "c.yaml"), () => {});
  let reported = "";
  watch.onFailure((error) => {
    reported = error.message;
  });
  assert.match(reported, /ENOENT/);
});
