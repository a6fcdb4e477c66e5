/** Labs for tests: each has a name of its own and goes down with the test, however that ends. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { guardLab } from "../../src/lab/guard.ts";
import { labDown, raiseLab } from "../../src/lab/lab.ts";
import { claimLab, isRunning, type LabState, labDir, namespacesOf } from "../../src/lab/state.ts";
import { type LabSpec, namespaceOf } from "../../src/lab/topology.ts";
import { namespaceObstacle } from "./netns.ts";
import { UNPRIVILEGED } from "./unprivileged.ts";

/** Why labs cannot be raised, for the `skip` of a test; false when they can. */
export const labObstacle: string | false = namespaceObstacle() ?? false;

/** A lab's shape for tests: 4 equal hosts, 2 clients, unless said otherwise. */
export function labSpec(changes: Partial<LabSpec> & Pick<LabSpec, "name">): LabSpec {
  const hosts = changes.hosts ?? changes.weights?.length ?? 4;
  const weights = new Array<number>(hosts).fill(1);
  const rest = { clients: 2, io: "af-packet", workers: 2, dips: "both", unprivileged: UNPRIVILEGED } as const;
  return { ...rest, weights, hosts, ...changes };
}

/** Nothing of a lab may be left: no namespace, no file, none of its processes. */
export function assertNothingLeft(state: LabState): void {
  const { name } = state.spec;
  assert.deepEqual(namespacesOf(name), []);
  assert.ok(!existsSync(labDir(name)), `${labDir(name)} is left`);
  assert.deepEqual(
    state.processes.filter((p) => isRunning(p.pid)),
    [],
  );
}

/** Raises a lab, runs something with it, takes it down and looks that nothing is left. `config` as for raiseLab. */
export async function withLab(spec: LabSpec, run: (state: LabState) => Promise<void>, config?: string): Promise<void> {
  claimLab(spec.name);
  const guard = guardLab(spec.name);
  try {
    const state = await raiseLab(spec, () => {}, undefined, config);
    try {
      await run(state);
    } finally {
      await labDown(spec.name);
    }
    assertNothingLeft(state);
  } finally {
    await guard.release();
  }
}

/** Runs a command on a node; gives what it wrote on standard output. Throws with what it wrote on the other when it fails. */
export async function runOn(lab: string, node: string, command: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("ip", ["netns", "exec", namespaceOf(lab, node), ...command]);
  return stdout;
}
