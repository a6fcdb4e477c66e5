/** A lab from up to down: network by netns-scripts/, then an agent and a server on every host. */
import { startBirds, waitRouted } from "./lab-bgp.ts";
import { labConfig } from "./lab-config.ts";
import { runScript } from "./namespace.ts";
import { startAgent, startServer, waitReady } from "./node-processes.ts";
import {
  claimLab,
  configFile,
  isAlive,
  type LabState,
  labNames,
  namespacesOf,
  readState,
  replaceFile,
  writeState,
} from "./state.ts";
import { hostNames, type LabSpec, parseNamespace, VIP } from "./topology.ts";

/** Says what is going on, one line at a time. */
export type Progress = (line: string) => void;

/** Takes a lab away: processes, namespaces, files. Nothing to take away is fine. */
export async function labDown(lab: string): Promise<void> {
  await runScript("lab-down.sh", [lab]);
}

/** Raises a lab. Throws when there is one of that name already. */
export async function labUp(spec: LabSpec, progress: Progress, signal?: AbortSignal): Promise<LabState> {
  claimLab(spec.name);
  return await raiseLab(spec, progress, signal);
}

/**
 * Raises a lab whose name is claimed, and waits until every agent and server is ready. When anything fails it takes away
 * what was made until then, and throws. The agents' config is the lab's own unless given.
 */
export async function raiseLab(
  spec: LabSpec,
  progress: Progress,
  signal?: AbortSignal,
  config: string = labConfig(spec),
): Promise<LabState> {
  try {
    progress(`network: router, ${spec.clients} clients, ${spec.hosts} hosts`);
    replaceFile(configFile(spec.name), config);
    const vips = spec.bgp === true ? [] : Object.values(VIP);
    await runScript("lab-up.sh", [spec.name, String(spec.hosts), String(spec.clients), ...vips]);
    const birds = spec.bgp === true ? await startBirds(spec) : [];
    progress(`agents and servers (${spec.io}, ${spec.workers === 1 ? "1 worker" : `${spec.workers} workers`} each)`);
    const hosts = hostNames(spec);
    const starts = await Promise.allSettled(hosts.flatMap((host) => [startAgent(spec, host), startServer(spec, host)]));
    // All have been started or have failed before anything is taken down again.
    const processes = starts.map((start) => {
      if (start.status === "rejected") throw start.reason;
      return start.value;
    });
    const state = { spec, processes: [...birds, ...processes] };
    writeState(state);
    await Promise.all(processes.map((process) => waitReady(spec.name, process, signal)));
    if (spec.bgp === true) await waitRouted(spec, signal);
    signal?.throwIfAborted();
    return state;
  } catch (error) {
    await labDown(spec.name);
    throw error;
  }
}

/** Puts a process in the place of the one with its role on its node, or takes it out. */
export function recordProcess(state: LabState, changed: LabState["processes"][number]): LabState {
  const others = state.processes.filter((p) => p.node !== changed.node || p.role !== changed.role);
  const next = { ...state, processes: [...others, changed] };
  writeState(next);
  return next;
}

/** Which hosts (by number, from 1) the router spreads packets for the VIPs over. */
export async function routeVips(lab: string, hosts: readonly number[]): Promise<void> {
  for (const vip of Object.values(VIP)) await runScript("lab-route.sh", [lab, vip, ...hosts.map(String)]);
}

export interface LabStatus {
  readonly name: string;
  /** false: something is left of a lab that did not go down in order. */
  readonly whole: boolean;
  readonly spec: LabSpec | null;
  readonly nodes: readonly { readonly node: string; readonly namespace: string }[];
  readonly processes: readonly { readonly node: string; readonly role: string; readonly pid: number; readonly alive: boolean }[];
}

/** How a lab is; null when nothing of it exists. */
export function labStatus(lab: string): LabStatus | null {
  if (!labNames().includes(lab)) return null;
  const state = readState(lab);
  const nodes = namespacesOf(lab).map((namespace) => ({ node: parseNamespace(namespace)!.node, namespace }));
  nodes.sort((a, b) => a.node.localeCompare(b.node, "en", { numeric: true }));
  const processes = (state?.processes ?? []).map((p) => ({ ...p, alive: isAlive(lab, p) }));
  const whole =
    state !== null &&
    nodes.length === (state.spec.routers ?? 1) + state.spec.hosts + state.spec.clients &&
    processes.every((p) => p.alive);
  return { name: lab, whole, spec: state?.spec ?? null, nodes, processes };
}
