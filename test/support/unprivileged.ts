/**
 * Whether agents of end-to-end tests run as an ordinary user with two capabilities, in place of root: with HAFL_UNPRIVILEGED=1 in the
 * environment. The tests are the same; e2e/unprivileged.test.ts runs some of them so.
 */
import { chownSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AGENT_UID, unprivilegedObstacle } from "../../src/lab/unprivileged.ts";

export const UNPRIVILEGED = process.env.HAFL_UNPRIVILEGED === "1";

if (UNPRIVILEGED) {
  const obstacle = unprivilegedObstacle();
  if (obstacle !== null) throw new Error(obstacle);
}

/** Gives a file or directory to the user that agents run as. */
export function giveToAgent(path: string): void {
  if (UNPRIVILEGED) chownSync(path, AGENT_UID, AGENT_UID);
}

/** A fresh directory for configs and runtime directories of agents. */
export function agentFolder(prefix: string): string {
  const dir = mkdtempSync(join(tmpdir(), prefix));
  giveToAgent(dir);
  return dir;
}
