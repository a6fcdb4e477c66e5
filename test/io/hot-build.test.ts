import assert from "node:assert/strict";
import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { hotBuild, hotProgram } from "../../src/io/bundled.ts";
import { readManifest, staleBundle } from "../../src/io/hot-build.ts";

const DIST = new URL("../../", import.meta.url);
const WORKER = "dataplane/worker.js";

test("what was built runs as a bundle, and its build has a name", () => {
  assert.match(hotProgram("dataplane/worker.ts").pathname, /\/bundle\/dataplane\/worker\.js$/);
  const { build, notBundled } = hotBuild("dataplane/worker.ts");
  assert.match(build!, /^[0-9a-f]{12}$/);
  assert.equal(notBundled, null);
});

test("a copied tree runs its bundle, whatever the times of its files; one that was compiled again does not", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-build-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const [bundles, modules] = ["bundle", "src"].map((name) => pathToFileURL(`${join(dir, name)}/`)) as [URL, URL];
  // In this order all modules are newer than all bundles.
  cpSync(new URL("bundle", DIST), bundles, { recursive: true });
  cpSync(new URL("src", DIST), modules, { recursive: true });
  const made = readManifest(bundles)!.programs[WORKER]!;
  assert.ok(Object.keys(made).includes("dataplane/director.js") && Object.keys(made).length > 30);
  assert.equal(staleBundle(WORKER, bundles, modules), null);

  appendFileSync(new URL("bench/report.js", modules), "// not part of it");
  assert.equal(staleBundle(WORKER, bundles, modules), null);
  appendFileSync(new URL("dataplane/parse.js", modules), "// changed");
  assert.match(staleBundle(WORKER, bundles, modules)!, /^dataplane\/parse\.js is not/);

  rmSync(modules, { recursive: true });
  assert.equal(staleBundle(WORKER, bundles, modules), null, "a package has nothing but the bundle");
  rmSync(new URL(WORKER, bundles));
  assert.match(staleBundle(WORKER, bundles, modules)!, /missing/);
  writeFileSync(new URL("build.json", bundles), "{");
  assert.match(staleBundle(WORKER, bundles, modules)!, /never made/);
});
