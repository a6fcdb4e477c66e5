/** How many flows a host has left: as it reports, or counted here where its agent runs. */
import { join } from "node:path";
import { Failure } from "../control/failure.ts";
import { flowsLeft } from "../control/flows-left.ts";
import { type InstanceInfo, instanceNames, RUN_ROOT, readInstance } from "../control/instance.ts";
import { OwnedFlows } from "../control/owned-flows.ts";
import { readRecord } from "../store/records.ts";
import type { Entry } from "../store/store.ts";
import { readCurrent } from "../store/wanted.ts";
import { type Cluster, type ClusterOptions, configNow } from "./cluster.ts";

export interface Left {
  /** null: nobody says. */
  readonly flows: number | null;
  /** The host goes by the change that drains it, and all that report by generations without it: what it has left is not to grow. */
  readonly applied: boolean;
  readonly text: string;
  /** Revisions of the store: when the count was written, and when all this was read. */
  readonly counted: number;
  readonly seen: number;
}

const count = (flows: number): string => (flows === 1 ? "1 flow left" : `${flows.toLocaleString("en")} flows left`);

/** Looks once. `change` is the one that drains the host. Throws a Failure when there is no way to tell. */
export async function leftOn(cluster: Cluster, host: string, change: number, options: ClusterOptions): Promise<Left> {
  if (cluster.shared) return await reported(cluster, host, change);
  const own = agentOf(cluster, host, options);
  if (own === null) {
    const text = `${host}: its change is written; how many flows it has left can be seen there only (run this on ${host}, or use --no-wait)`;
    throw new Failure(text);
  }
  const config = configNow(cluster, await readCurrent(cluster.store, cluster.keys));
  if (config === null) throw new Failure(`${cluster.file}: cannot be used any more (see \`hafl check\`)`);
  const flows = await flowsLeft(config, own.info.pid, new OwnedFlows(own.dir, host));
  return { flows, applied: true, text: count(flows), counted: 1, seen: 0 };
}

async function reported({ store, keys }: Cluster, host: string, change: number): Promise<Left> {
  // Generations first: who goes by later ones than these is not late.
  const generations = await store.read(keys.allGenerations);
  const { entries, revision: seen } = await store.read(keys.allHosts);
  const entry = entries.find(({ key }) => key === keys.host(host));
  const unknown = { flows: null, applied: false, counted: 0, seen };
  if (entry === undefined) return { ...unknown, text: "no report of it (does its agent run?)" };
  const read = readRecord("hostReport", entry.key, entry.value);
  if ("error" in read) return { ...unknown, text: read.error };
  const { change: own, flows } = read.record;
  const late = own < change ? `it still goes by change ${own}` : stillSending(host, generations.entries, entries);
  const text = `${count(flows)}${late === null ? "" : `, ${late}`}`;
  return { flows, applied: late === null, text, counted: entry.revision, seen };
}

/** Why new flows may still come to a host, by the generations that there are and the reports of all hosts; null: they do not. */
function stillSending(host: string, generations: readonly Entry[], reports: readonly Entry[]): string | null {
  const pools = generations.flatMap(({ key, value }) => {
    const read = readRecord("generations", key, value);
    return "record" in read ? [read.record] : [];
  });
  if (pools.some(({ generations: [newest] }) => newest!.hosts.some(({ name, weight }) => name === host && weight > 0)))
    return "the conductor has not taken it out yet";
  const late = reports.flatMap(({ key, value }) => {
    const read = readRecord("hostReport", key, value);
    if ("error" in read) return [];
    const { host: name, serials } = read.record;
    return pools.every(({ service, serial }) => (serials[service] ?? 0) >= serial) ? [] : [name];
  });
  if (late.length === 0) return null;
  return `${late.slice(0, 5).join(", ")}${late.length > 5 ? ", ..." : ""} may still send it new ones`;
}

/** The agent of a host that runs on this machine. */
function agentOf(
  cluster: Cluster,
  host: string,
  { instance, runtimeDir }: ClusterOptions,
): { info: InstanceInfo; dir: string } | null {
  const dirs =
    runtimeDir !== undefined
      ? [runtimeDir]
      : (instance !== undefined ? [instance] : instanceNames()).map((name) => join(RUN_ROOT, name));
  for (const dir of dirs) {
    const info = readInstance(dir);
    if (info !== null && info.host === host && info.cluster === cluster.name) return { info, dir };
  }
  return null;
}
