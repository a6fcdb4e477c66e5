/** How many flows a host has left: as it reports, or counted here where its agent runs. */
import { join } from "node:path";
import { Failure } from "../control/failure.ts";
import { flowsLeft } from "../control/flows-left.ts";
import { type InstanceInfo, instanceNames, RUN_ROOT, readInstance } from "../control/instance.ts";
import { OwnedFlows } from "../control/owned-flows.ts";
import { readRecord } from "../store/records.ts";
import { readCurrent } from "../store/wanted.ts";
import { type Cluster, type ClusterOptions, configNow } from "./cluster.ts";

export interface Left {
  /** null: nobody says. */
  readonly flows: number | null;
  /** The host goes by the change that drains it: what it has left is not to grow. */
  readonly applied: boolean;
  readonly text: string;
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
  return { flows, applied: true, text: count(flows) };
}

async function reported({ store, keys }: Cluster, host: string, change: number): Promise<Left> {
  const { entries } = await store.read(keys.host(host));
  const entry = entries.find(({ key }) => key === keys.host(host));
  if (entry === undefined) return { flows: null, applied: false, text: "no report of it (does its agent run?)" };
  const read = readRecord("hostReport", entry.key, entry.value);
  if ("error" in read) return { flows: null, applied: false, text: read.error };
  const applied = read.record.change >= change;
  const late = applied ? "" : `, it still goes by change ${read.record.change}`;
  return { flows: read.record.flows, applied, text: `${count(read.record.flows)}${late}` };
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
