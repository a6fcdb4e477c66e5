/**
 * Tests against the kernel run as scripts of their own in a fresh network namespace made by unshare(1). It has no name and
 * ends with its last process, so that nothing is left behind however a test ends.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Null when namespaces can be made, else why not, for the `skip` of a test. */
export function namespaceObstacle(): string | null {
  if (process.getuid?.() !== 0) return "needs root";
  const probe = spawnSync("unshare", ["--net", "ip", "link", "set", "lo", "up"], { encoding: "utf8", env: plainEnvironment() });
  return probe.status === 0 ? null : `no network namespaces: ${probe.error?.message ?? probe.stderr.trim()}`;
}

/** Runs a compiled script in its own namespace. Throws with all it printed when it exits with other than 0. */
export function runInNamespace(script: URL, more: NodeJS.ProcessEnv = {}): void {
  const env = { ...process.env, ...more };
  delete env.NODE_TEST_CONTEXT; // else the tests in the script would talk to a runner that does not listen
  const args = ["--net", process.execPath, ...process.execArgv, fileURLToPath(script)];
  const result = spawnSync("unshare", args, { encoding: "utf8", env, timeout: 400_000 });
  if (result.status !== 0) {
    throw new Error(
      `${script.pathname}: ${result.error?.message ?? result.signal ?? `exit ${result.status}`}\n${result.stdout}${result.stderr}`,
    );
  }
}

/** Runs `ip` with words split at spaces; returns what it prints. Meant for scripts inside a namespace. */
export function ip(command: string): string {
  return execFileSync("ip", command.split(" "), { encoding: "utf8", env: plainEnvironment() });
}

/** Sets a sysctl of the namespace, given as a path below /proc/sys. */
export function sysctl(path: string, value: number): void {
  writeFileSync(`/proc/sys/${path}`, `${value}\n`);
}

/** Polls until `ready` is true; throws after `limitMs`. For effects that the kernel brings about in its own time. */
export async function until(what: string, ready: () => boolean, limitMs = 3000): Promise<void> {
  for (const end = Date.now() + limitMs; !ready(); ) {
    if (Date.now() > end) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The environment without a preloaded sanitizer, which is for Node only. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const env = { ...process.env };
  delete env.LD_PRELOAD;
  return env;
}
