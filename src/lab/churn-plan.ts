/** What is done to the hosts of the churn lab, step by step, and the config that says it. */
import { stringify } from "yaml";
import { CHURN_PORT } from "./churn-session.ts";
import { addressOf, FAMILIES, hostNames, type LabSpec, UPLINK, VIP } from "./topology.ts";

export type HostState = "active" | "draining" | "down";

/** How hosts are at a time. */
export type Cluster = Readonly<Record<string, { readonly state: HostState; readonly weight: number }>>;

export interface Change {
  readonly what: string;
  readonly cluster: Cluster;
}

/** Hosts that stay active to the end, whatever their weights: the first half. The others come and go. */
export const stayingHosts = (spec: Pick<LabSpec, "hosts">): string[] => hostNames(spec).slice(0, Math.ceil(spec.hosts / 2));

export const fullCluster = (spec: LabSpec): Cluster =>
  Object.fromEntries(hostNames(spec).map((host, i) => [host, { state: "active" as const, weight: spec.weights[i]! }]));

/**
 * An endless round: a host is drained, a staying one gets another weight, a host is taken away at once, another weight, the
 * host that was drained goes down, comes back, and so does the other. Next time it is two others.
 */
export function* changes(spec: LabSpec): Generator<Change> {
  let cluster = fullCluster(spec);
  const staying = stayingHosts(spec);
  const moving = hostNames(spec).filter((host) => !staying.includes(host));
  const set = (host: string, part: Partial<Cluster[string]>, what: string): Change => {
    cluster = { ...cluster, [host]: { ...cluster[host]!, ...part } };
    return { what, cluster };
  };
  for (let round = 0; ; round++) {
    const a = moving[round % moving.length]!;
    const b = moving[(round + 1) % moving.length]!;
    const heavier = staying[round % staying.length]!;
    const weight = cluster[heavier]!.weight;
    yield set(a, { state: "draining" }, `${a} draining`);
    yield set(heavier, { weight: weight + 1 }, `${heavier} weight ${weight + 1}`);
    yield set(b, { state: "down" }, `${b} down`);
    yield set(a, { state: "down" }, `${a} down`);
    yield set(b, { state: "active" }, `${b} added`);
    yield set(heavier, { weight }, `${heavier} weight ${weight}`);
    yield set(a, { state: "active", weight: 2 }, `${a} added, weight 2`);
    yield set(a, { weight: 1 }, `${a} weight 1`);
  }
}

/** Hosts that the router spreads packets over at step `n`, by number: all but one, and all again. */
export const routedHosts = (spec: LabSpec, n: number): number[] =>
  Array.from({ length: spec.hosts }, (_, i) => i + 1).filter((i) => n % 2 === 1 || i !== 1 + ((n / 2) % spec.hosts));

/** The agents' config as YAML. */
export function churnConfig(spec: LabSpec, cluster: Cluster, drainSeconds: number, flowTable: boolean): string {
  const families = FAMILIES.filter((family) => spec.dips === "both" || spec.dips === String(family));
  return stringify(
    {
      cluster: spec.name,
      seed: "4861666c696e6765724c616253656564",
      hosts: hostNames(spec).map((name) => ({
        name,
        dip: families.map((family) => addressOf(name, family)),
        ...cluster[name]!,
      })),
      services: [{ name: "churn", vips: Object.values(VIP), ports: { tcp: [CHURN_PORT], udp: [CHURN_PORT] }, udp: "flow" }],
      table: { drainSeconds },
      flowTable: flowTable ? { size: 100_000 } : "off",
      io: { mode: spec.io, uplink: UPLINK, workers: spec.workers },
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}
