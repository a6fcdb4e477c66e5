/**
 * Runs all compiled tests: `npm test`, or some by words their paths contain: `node dist/test/support/run.js control cli`.
 * Those end to end raise labs and mostly wait for time to pass; two at a time, when nothing else runs. Some need the machine.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const compiled = join(root, "dist", "test");

/** Compiled tests in order of path, without those whose source is gone. */
function testFiles(): string[] {
  const files = readdirSync(compiled, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".test.js"));
  return files.filter((file) => existsSync(join(root, "test", file.replace(/\.js$/, ".ts")))).sort();
}

/** Whether all tests of the files pass. */
function passes(files: readonly string[], concurrency: number): boolean {
  if (files.length === 0) return true;
  const paths = files.map((file) => relative(root, join(compiled, file)));
  const args = ["--enable-source-maps", "--test", `--test-concurrency=${concurrency}`, ...paths];
  return spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status === 0;
}

const words = process.argv.slice(2);
const chosen = testFiles().filter((file) => words.length === 0 || words.some((word) => file.includes(word)));
if (chosen.length === 0) {
  process.stderr.write(`no test's path contains ${words.join(" or ")}\n`);
  process.exit(2);
}
const isEndToEnd = (file: string): boolean => file.startsWith("e2e/");
/** They load a machine of two processors by themselves. */
const isAlone = (file: string): boolean => ["e2e/bench-lab.test.js", "e2e/takeover.test.js"].includes(file);
const endToEnd = chosen.filter(isEndToEnd);
let good = passes(
  chosen.filter((file) => !isEndToEnd(file)),
  Math.min(4, availableParallelism()),
);
if (endToEnd.length > 0 && process.getuid?.() !== 0) process.stdout.write("end-to-end tests skipped: not root\n");
else {
  const shared = endToEnd.filter((file) => !isAlone(file));
  good = passes(shared, 2) && good;
  good = passes(endToEnd.filter(isAlone), 1) && good;
}
process.exitCode = good ? 0 : 1;
