/** The lab of uneven hosts: what it is made of, and its config. */
import { stringify } from "yaml";
import { clusterHosts } from "../cluster/cluster-config.ts";
import { HTTP_PORT, type LabSpec, VIP } from "../topology.ts";
import { groupOf } from "./cpu-groups.ts";

/** What hosts can do, one as against another; and what 1 is, of one CPU: all together half of one, the rest is for everything else. */
export const CAPACITIES: readonly number[] = [1, 1, 2, 2, 4];
export const UNIT = 0.05;

/** CPU time that a request costs, microseconds: so little that use is smooth, and so much that it is the server's. */
export const COST_US = 1000;
/** How much of what all hosts can do is asked for. At equal weights that is a little more than the smallest can do. */
export const DEMAND = 0.55;
/** Between two steps of the controller. */
export const STEP_SECONDS = 5;

export const unevenSpec = (name: string): LabSpec => ({
  name,
  hosts: CAPACITIES.length,
  clients: 2,
  io: "af-packet",
  workers: 1,
  weights: CAPACITIES.map(() => 1),
  dips: "both",
  members: 1,
});

/** What is wanted. Each request is a connection of its own: load follows weights at once, only its measurement is late. */
export const unevenWanted = (spec: LabSpec): string =>
  stringify(
    {
      hosts: clusterHosts(spec),
      services: [{ name: "web", vips: Object.values(VIP), ports: { tcp: [HTTP_PORT] } }],
      table: { drainSeconds: 15 },
      conductor: { candidates: [], changesPerMinute: 60 },
      load: {
        intervalSeconds: STEP_SECONDS,
        averageSeconds: 10,
        settleSeconds: 10,
        gain: 0.4,
        step: 0.25,
        deadBand: 0.05,
        overload: 1,
        cgroup: groupOf(spec.name, "{host}"),
      },
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
