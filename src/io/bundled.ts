/**
 * How programs with the hot path in them are run: as bundles (see build/bundle.ts), and compiled by V8 with all stages in one
 * function. Over separate modules, and with V8's own limits, a packet costs three times as much.
 */
import { setFlagsFromString } from "node:v8";
import { readManifest, staleBundle } from "./hot-build.ts";

const MODULES = new URL("../", import.meta.url);
const BUNDLES = new URL("../../bundle/", import.meta.url);

/** Why the bundle of a program is not run, null where it is; looked at once in a process. */
const stale = new Map<string, string | null>();

function whyStale(file: string): string | null {
  if (!stale.has(file)) stale.set(file, staleBundle(file, BUNDLES, MODULES));
  return stale.get(file)!;
}

const compiled = (path: string): string => path.replace(/\.ts$/, ".js");

/**
 * The program at `path` below src/, as a file of JavaScript to be imported or started as a worker: its bundle, or the module
 * itself when modules have changed since the bundle was made.
 */
export function hotProgram(path: string): URL {
  allowInlining();
  const file = compiled(path);
  return new URL(file, whyStale(file) === null ? BUNDLES : MODULES);
}

/** Which build of the program at `path` below src/ runs, for a log. */
export interface HotBuild {
  /** Name of the build; null: there is none. */
  readonly build: string | null;
  /** Why its bundle is not what runs, with the remedy; null: it is. */
  readonly notBundled: string | null;
}

export function hotBuild(path: string): HotBuild {
  const why = whyStale(compiled(path));
  return {
    build: readManifest(BUNDLES)?.id ?? null,
    notBundled:
      why === null
        ? null
        : `${compiled(path)} runs from separate modules, up to three times slower: of its bundle, ${why} (npm run build)`,
  };
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
