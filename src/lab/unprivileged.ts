/**
 * Agents as `hafl install-service` has them run: an ordinary user with two capabilities and no way to more. Only the lab itself, which
 * makes namespaces, needs root.
 */
import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Nobody's on any system: of the numbers that systemd's documentation on users calls unused. */
export const AGENT_UID = 61_104;

const KEPT = "-all,+net_admin,+net_raw";
const OTHERS_MAY_READ_AND_WRITE = 0o006;

/** Where udev gives the node that makes TUNs to everybody there is nothing to do; elsewhere the process sees one like that, it alone. */
const OWN_TUN_NODE = "mount -t tmpfs -o mode=755 tun /dev/net && mknod -m 666 /dev/net/tun c 10 200 && ";

/** The command line that runs a program as that user, in the place of the process that it is started in. */
export function unprivileged(command: readonly string[]): string[] {
  const open = (statSync("/dev/net/tun").mode & OTHERS_MAY_READ_AND_WRITE) === OTHERS_MAY_READ_AND_WRITE;
  const ids = [`--reuid=${AGENT_UID}`, `--regid=${AGENT_UID}`, "--clear-groups"];
  const rights = [`--bounding-set=${KEPT}`, `--inh-caps=${KEPT}`, `--ambient-caps=${KEPT}`, "--no-new-privs"];
  const become = ["setpriv", ...ids, ...rights, ...command];
  return open ? become : ["unshare", "--mount", "sh", "-c", `${OWN_TUN_NODE}exec "$0" "$@"`, ...become];
}

/** Makes a directory that is theirs. */
export function unprivilegedDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
  chownSync(path, AGENT_UID, AGENT_UID);
}

/** Why agents cannot run so; null when they can. */
export function unprivilegedObstacle(): string | null {
  const own = fileURLToPath(import.meta.url);
  const { status } = spawnSync("setpriv", [`--reuid=${AGENT_UID}`, "--clear-groups", "test", "-r", own]);
  return status === 0 ? null : `${own}: cannot be read by others than root (install the program elsewhere)`;
}
