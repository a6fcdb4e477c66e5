/** Events in the log: their names, and lines of the agent. */
import type { Logger } from "pino";
import type { PublishResult } from "./publish.ts";

/**
 * A line about a change of these kinds has `event` with one of these names, so that who collects the log finds them without reading its
 * text; what else is in the line says what changed.
 */
export const EVENTS = {
  table: "other forwarding tables are current: generation, and for each pool how many buckets moved",
  paths: "path MTUs of hosts changed",
  config: "a config was refused, nothing of it has been applied",
  takeover: "this process has taken over from another one, or another one from it",
  fitness: "the host has become fit or unfit for packets: problems, by who found them",
  health: "a service of this host has become healthy or unhealthy: service, healthy, reason",
  probe: "what probes of a service on another host through the tunnel find has changed: host, service, healthy, outcome, reason",
  routes: "VIPs are announced or withdrawn, or the routing daemon does not do what it is told",
  bgp: "a BGP session of the routing daemon changed its state",
  leadership: "this process has begun or ceased to conduct, or cannot stand for election",
  generations: "the conductor made other generations of a pool: which, and why",
  alarm: "what an operator has to know of the cluster, by its conductor: raised, or over",
  store: "the store is away or back",
  refused: "something in the store was refused: its key, and why",
  metrics: "metrics are served, or cannot be",
} as const;

/** Says what other tables have changed. `vips`: those taken over and given back. */
export function logTables(
  log: Logger,
  { generation, movedBuckets, buckets, pools }: PublishResult,
  vips: { readonly added: readonly string[]; readonly removed: readonly string[] },
  problems: readonly string[],
): void {
  const moves = pools.map(
    ({ name, moved, share }) => `${name} ${moved} of ${buckets} buckets moved (${(share * 100).toFixed(2)} %)`,
  );
  const more = problems.length > 0 ? { problems } : {};
  log.info(
    { event: "table", generation, movedBuckets, buckets, pools, vips, ...more },
    `generation ${generation}: ${moves.join(", ") || "no pools"}`,
  );
}
