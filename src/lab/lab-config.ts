/** The config that the agents of a lab share. */
import { stringify } from "yaml";
import { addressOf, ECHO_PORT, FAMILIES, HTTP_PORT, hostNames, type LabSpec, UPLINK, VIP } from "./topology.ts";

/** Any 16 bytes do: nobody attacks a lab, and a fixed key makes runs comparable. */
const SEED = "4861666c696e6765724c616253656564";

/** Which hosts serve, with their weights. */
export type Pool = Readonly<Record<string, number>>;

/** The pool that the lab starts with: every host with its weight. */
export function fullPool(spec: LabSpec): Pool {
  return Object.fromEntries(hostNames(spec).map((host, i) => [host, spec.weights[i]!]));
}

/** The config as YAML. `hosts` are the members of the cluster, all hosts of the lab unless given. */
export function labConfig(spec: LabSpec, pool: Pool = fullPool(spec), hosts: readonly string[] = hostNames(spec)): string {
  const families = FAMILIES.filter((family) => spec.dips === "both" || spec.dips === String(family));
  return stringify(
    {
      cluster: spec.name,
      seed: SEED,
      hosts: hosts.map((name) => ({ name, dip: families.map((family) => addressOf(name, family)) })),
      services: [
        { name: "web", vips: Object.values(VIP), ports: { tcp: [HTTP_PORT] }, pool },
        { name: "echo", vips: Object.values(VIP), ports: { udp: [ECHO_PORT] }, pool, udp: "stateless" },
      ],
      io: { mode: spec.io, uplink: UPLINK, workers: spec.workers },
      ...(spec.bgp === true ? { bgp: { withdrawDelay: 1, holdSeconds: 2 } } : {}),
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}
