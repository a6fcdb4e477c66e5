/** Builds the C addon with node-gyp when a source is newer than it. Run by `npm run build`; exit code 1 on failure. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NATIVE = fileURLToPath(new URL("../../../native", import.meta.url));
const ADDON = join(NATIVE, "build/Release/haflinger.node");

/** Modification time in ms of the newest source file, binding.gyp included. */
function newestSource(): number {
  let newest = 0;
  for (const folder of [NATIVE, join(NATIVE, "include")]) {
    for (const name of readdirSync(folder)) {
      if (/\.(c|h|gyp)$/.test(name)) newest = Math.max(newest, statSync(join(folder, name)).mtimeMs);
    }
  }
  return newest;
}

/**
 * The headers of the running Node, when it was installed with them, so that the build works offline; without, node-gyp
 * downloads them.
 */
function headerOption(): string[] {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, "include/node/common.gypi")) ? [`--nodedir=${prefix}`] : [];
}

/** Returns null, or the output of the failed build. */
function build(): string | null {
  const nodeGyp = createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
  const options = { cwd: NATIVE, encoding: "utf8", maxBuffer: 64 << 20 } as const;
  const result = spawnSync(process.execPath, [nodeGyp, "configure", "build", ...headerOption()], options);
  if (result.error !== undefined) return result.error.message;
  return result.status === 0 ? null : `${result.stdout}${result.stderr}`;
}

if (!existsSync(ADDON) || statSync(ADDON).mtimeMs < newestSource()) {
  const output = build();
  if (output !== null) {
    process.stderr.write(
      `${output.trimEnd()}\nnative addon: cannot be built; it needs a C compiler, make and python3 (apt-get install gcc make python3)\n`,
    );
    process.exitCode = 1;
  }
}
