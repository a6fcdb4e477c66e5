/** What is on disk about a lab: /run/hafl-lab/LAB/ with its spec, its processes, the agents' config and logs. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type LabSpec, namespaceOf, parseNamespace } from "./topology.ts";

const ROOT = "/run/hafl-lab";
const NAMESPACES = "/run/netns";

/** A process that the lab started in one of its namespaces. */
export interface LabProcess {
  readonly node: string;
  readonly role: "agent" | "server" | "bird" | "churn" | "etcd" | "conductor";
  readonly pid: number;
}

export interface LabState {
  readonly spec: LabSpec;
  readonly processes: readonly LabProcess[];
}

export const labDir = (lab: string): string => join(ROOT, lab);
export const configFile = (lab: string): string => join(labDir(lab), "config.yaml");
/** The runtime directory of a host's agent. */
export const runtimeDir = (lab: string, host: string): string => join(labDir(lab), host);
export const logFile = (lab: string, node: string, role: string): string => join(labDir(lab), `${node}.${role}.log`);
export const birdConfig = (lab: string, node: string): string => join(labDir(lab), `${node}.bird.conf`);
export const birdSocket = (lab: string, node: string): string => join(labDir(lab), `${node}.bird.ctl`);
const stateFile = (lab: string): string => join(labDir(lab), "lab.json");

/** Replaces a file at once: whoever reads it sees the old content or the new, never a part. */
export function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** Makes the lab's directory. Throws when there is one: the lab is up, or a crash left it. */
export function claimLab(lab: string): void {
  mkdirSync(ROOT, { recursive: true });
  try {
    mkdirSync(labDir(lab));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new Error(`lab ${lab}: is up already (take it down first: hafl lab down --name ${lab})`);
  }
}

export function writeState(state: LabState): void {
  replaceFile(stateFile(state.spec.name), `${JSON.stringify(state, null, 2)}\n`);
}

/** The state of a lab, null when it is not up. */
export function readState(lab: string): LabState | null {
  if (!existsSync(stateFile(lab))) return null;
  return JSON.parse(readFileSync(stateFile(lab), "utf8")) as LabState;
}

const entries = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : []);

/** Namespaces that exist, by lab: also of labs whose directory is gone. */
export function namespacesOf(lab: string): string[] {
  return entries(NAMESPACES).filter((name) => parseNamespace(name)?.lab === lab);
}

/** Names of all labs of which anything is left. */
export function labNames(): string[] {
  const found = entries(NAMESPACES).flatMap((name) => parseNamespace(name)?.lab ?? []);
  return [...new Set([...entries(ROOT), ...found])].sort();
}

/** Whether a process runs; one that has ended and waits to be reaped does not. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Whether a process is in the namespace of a node: a pid is used again, a place in our namespace is not. */
export function isInside(lab: string, node: string, pid: number): boolean {
  try {
    return statSync(`/proc/${pid}/ns/net`).ino === statSync(join(NAMESPACES, namespaceOf(lab, node))).ino;
  } catch {
    return false;
  }
}

/** Whether a process that the lab started still runs. */
export const isAlive = (lab: string, p: LabProcess): boolean => isRunning(p.pid) && isInside(lab, p.node, p.pid);
