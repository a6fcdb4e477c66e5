/**
 * How programs with the hot path in them are run: as bundles (see build/bundle.ts), and compiled by V8 with all stages in one
 * function. Over separate modules, and with V8's own limits, a packet costs three times as much.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";

const MODULES = new URL("../", import.meta.url);
const BUNDLES = new URL("../../bundle/", import.meta.url);

/**
 * The program at `path` below src/, as a file of JavaScript to be imported or started as a worker: its bundle, or the module
 * itself when something was compiled after the bundle.
 */
export function hotProgram(path: string): URL {
  allowInlining();
  const file = path.replace(/\.ts$/, ".js");
  const bundle = new URL(file, BUNDLES);
  return existsSync(bundle) && statSync(bundle).mtimeMs >= newestModule() ? bundle : new URL(file, MODULES);
}

function newestModule(): number {
  const folder = fileURLToPath(MODULES);
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
  return names.reduce((newest, name) => Math.max(newest, statSync(`${folder}/${name}`).mtimeMs), 0);
}

/**
 * V8 stops inlining at 920 bytes of bytecode, a fifth of what a packet passes through; it then pays for calls, for values it
 * no longer knows and for bounds it checks again. The flags count for all threads of the process.
 */
function allowInlining(): void {
  setFlagsFromString("--max-inlined-bytecode-size=5000");
  setFlagsFromString("--max-inlined-bytecode-size-cumulative=15000");
  setFlagsFromString("--max-inlined-bytecode-size-absolute=15000");
}
