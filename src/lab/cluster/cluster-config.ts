/** The config of the cluster lab, in its two places: the file of each host, and what is wanted of all. */
import { stringify } from "yaml";
import { CHURN_PORT } from "../churn-session.ts";
import { addressOf, FAMILIES, HTTP_PORT, hostNames, type LabSpec, UPLINK, VIP } from "../topology.ts";

const SEED = "4861666c696e676572436c7573746572";

/** Seconds that hosts which drain stay in the chains. */
export const DRAIN_SECONDS = 45;

export const clusterSpec = (name: string): LabSpec => ({
  name,
  hosts: 5,
  clients: 2,
  io: "af-packet",
  workers: 1,
  weights: [1, 1, 1, 1, 1],
  dips: "both",
  bgp: true,
  members: 3,
});

/** The file that every host has. */
export const ownConfig = (spec: LabSpec, endpoints: readonly string[]): string =>
  stringify(
    {
      cluster: spec.name,
      seed: SEED,
      store: { kind: "etcd", endpoints },
      io: { mode: spec.io, uplink: UPLINK, workers: spec.workers },
      ...(spec.bgp === true ? { bgp: { withdrawDelay: 1, holdSeconds: 2 } } : {}),
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );

/** The hosts of a lab as a config has them, all with the same weight. */
export const clusterHosts = (spec: LabSpec): object[] =>
  hostNames(spec).map((name) => ({ name, dip: FAMILIES.map((family) => addressOf(name, family)), weight: 10 }));

/** What is wanted at first. Conductors are processes of their own, so that one can end without a host. */
export const wantedConfig = (spec: LabSpec): string =>
  stringify(
    {
      hosts: clusterHosts(spec),
      services: [
        { name: "web", vips: Object.values(VIP), ports: { tcp: [HTTP_PORT] }, health: { kind: "http", path: "/", status: 200 } },
        { name: "churn", vips: Object.values(VIP), ports: { tcp: [CHURN_PORT], udp: [CHURN_PORT] } },
      ],
      table: { drainSeconds: DRAIN_SECONDS },
      // All hosts have the same processors: their use says nothing of one of them (`hafl lab load` gives each its own).
      load: { control: "off" },
      health: { interval: 0.5, timeout: 0.5, fall: 2, tunnel: { interval: 0.5, timeout: 0.5, fall: 2 } },
      conductor: { candidates: [], riseSeconds: 2, holdMs: 500, leaseSeconds: 4, changesPerMinute: 60 },
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
