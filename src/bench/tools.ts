/** The programs of others that are measured with and against: where they are, which versions, how to get them. */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../control/failure.ts";
import { scriptPath } from "../lab/namespace.ts";
import { WORKSHOP } from "./programs.ts";

/** Where netns-scripts/bench-tools.sh unpacks what the system has not. */
const FETCHED = join(WORKSHOP, "tools");
/** node_modules of the director as a Node user would write it. */
export const BY_HAND_MODULES = join(FETCHED, "by-hand");

const BIN = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];

/** Programs, and the Debian package each comes in. */
const PACKAGES = { iperf3: "iperf3", wrk: "wrk", nginx: "nginx-light", haproxy: "haproxy" } as const;
export type ToolName = keyof typeof PACKAGES;

const runs = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** Folders with shared libraries below the unpacked packages. */
function libraryFolders(): string[] {
  const roots = ["usr/lib", "lib"].map((name) => join(FETCHED, name)).filter((folder) => existsSync(folder));
  return roots.flatMap((root) => readdirSync(root).flatMap((name) => (name.includes("-linux-") ? join(root, name) : [])));
}

/** The command line that a program's arguments are put behind; null when there is no such program. */
export function findTool(name: ToolName): string[] | null {
  const [own] = BIN.map((folder) => join("/", folder, name)).filter(runs);
  if (own !== undefined) return [own];
  const [fetched] = BIN.map((folder) => join(FETCHED, folder, name)).filter(runs);
  return fetched === undefined ? null : ["/usr/bin/env", `LD_LIBRARY_PATH=${libraryFolders().join(":")}`, fetched];
}

/** The same, for who cannot go on without. */
export function tool(name: ToolName): string[] {
  const found = findTool(name);
  if (found === null) throw new Failure(`hafl bench: ${howToGet(name)}`);
  return found;
}

export const howToGet = (name: ToolName): string =>
  `${name} is missing: hafl bench lab --install, or apt-get install ${PACKAGES[name]}`;

/** nginx's module for TCP: the path to load it from, "" where it is built in, null where it is missing. */
export function streamModule(): string | null {
  const nginx = findTool("nginx");
  if (nginx === null) return null;
  const { stderr } = spawnSync(nginx[0]!, [...nginx.slice(1), "-V"], { encoding: "utf8" });
  const folder = /--modules-path=(\S+)/.exec(stderr)?.[1] ?? "/usr/lib/nginx/modules";
  const file = "ngx_stream_module.so";
  const found = [join(folder, file), join(FETCHED, folder, file)].find((path) => existsSync(path));
  return found ?? (/--with-stream(\s|$)/.test(stderr) ? "" : null);
}

export const hasByHand = (): boolean =>
  ["cap/build/Release/cap.node", "raw-socket/build/Release/raw.node"].every((file) =>
    existsSync(join(BY_HAND_MODULES, "node_modules", file)),
  );

/** Fetches what is missing. Throws a Failure that names what still is. */
export function fetchTools(): void {
  const { status, stderr, error } = spawnSync("sh", [scriptPath("bench-tools.sh"), FETCHED], { encoding: "utf8" });
  if (status !== 0) throw new Failure(`hafl bench lab --install: ${error?.message ?? stderr.trim().split("\n").at(-1)}`);
}

/** The first line that a program says of its version, without what follows the number. */
export function versionOf(name: ToolName): string {
  const [command, ...prefix] = tool(name);
  const { stdout, stderr } = spawnSync(command!, [...prefix, name === "iperf3" ? "--version" : "-v"], { encoding: "utf8" });
  return /\d+\.\d+[^\s]*/.exec(`${stdout}${stderr}`)?.[0] ?? "unknown";
}
