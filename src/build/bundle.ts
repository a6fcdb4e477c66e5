/**
 * Makes one file of each program that has the hot path in it, with all modules it imports. Run by `npm run build`, after the
 * compiler; exit code 1 on failure.
 *
 * V8 writes a constant of the same scope into the code it compiles, but reads one of another module from memory each time,
 * and checks before each call of a function that could be replaced that it has not been. One scope for all modules, with
 * every function a constant, takes two thirds of the time away. Nothing else is changed: names and comments stay.
 */
import { writeFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type AstNodeLocation, type Plugin, type RollupError, rollup } from "rollup";
import { buildId, contentHash } from "../io/hot-build.ts";

/** By their path below src/; the bundles have the same below dist/bundle/, so that paths relative to them stay right. */
const PROGRAMS = [
  "dataplane/worker.js",
  "replay/replay.js",
  "bench/hot-path.js",
  "bench/flows-worker.js",
  "bench/offload.js",
  "bench/swap-worker.js",
];

const folder = (name: string): string => fileURLToPath(new URL(`../../${name}/`, import.meta.url));

/** Turns declarations of functions into constants, at the start of the file as declarations would be. */
const constantFunctions: Plugin = {
  name: "constant-functions",
  renderChunk(code) {
    const functions: string[] = [];
    let rest = "";
    let from = 0;
    for (const node of this.parse(code).body) {
      if (node.type !== "FunctionDeclaration") continue;
      const { start, end } = node as typeof node & AstNodeLocation;
      functions.push(`const ${node.id.name} = ${code.slice(start, end)};\n`);
      rest += code.slice(from, start);
      from = end;
    }
    return { code: functions.join("") + rest + code.slice(from), map: null };
  },
};

/** Only files of ours go into a bundle: packages, Node's own modules and the addon stay where they are. */
const isForeign = (id: string): boolean => !/^[./]/.test(id);

/** Makes the bundle of one program. Gives the hashes of the modules in it, by their paths below src/. */
async function bundle(program: string): Promise<Record<string, string>> {
  const build = await rollup({ input: folder("src") + program, external: isForeign, plugins: [constantFunctions] });
  await build.write({ file: folder("bundle") + program, format: "es" });
  await build.close();
  const modules = build.watchFiles.filter((file) => file.startsWith(folder("src"))).sort();
  return Object.fromEntries(modules.map((file) => [relative(folder("src"), file), contentHash(file)!]));
}

try {
  const programs: Record<string, Record<string, string>> = {};
  for (const program of PROGRAMS) programs[program] = await bundle(program);
  writeFileSync(`${folder("bundle")}build.json`, `${JSON.stringify({ id: buildId(programs), programs })}\n`);
} catch (error) {
  process.stderr.write(`bundle: ${(error as RollupError).message}\n`);
  process.exitCode = 1;
}
