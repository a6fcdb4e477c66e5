/** BGP in a lab: BIRD on the router and on every host; the router spreads packets over those that announce. */
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync } from "node:fs";
import { promisify } from "node:util";
import { AGGREGATES, hostBird, routerBird, type Session } from "./bird-config.ts";
import { startBird, waitReady } from "./node-processes.ts";
import { pollFor } from "./poll.ts";
import { birdSocket, type LabProcess, runtimeDir } from "./state.ts";
import { addressOf, FAMILIES, type Family, hostNames, type LabSpec, namespaceOf, VIP } from "./topology.ts";

const ROUTER_AS = 65000;
/** AS number of all hosts. */
export const HOSTS_AS = 65001;
const ROUTER: Readonly<Record<Family, string>> = { 4: "10.0.1.1", 6: "fd00:1::1" };
/** Sessions come up one after the other, on a machine that is busy with agents. */
const ROUTED_MS = 30_000;

/** Sessions of a host with its router, and those of the router with it. */
function sessions(host: string, at: "host" | "router"): Session[] {
  return FAMILIES.map((family) => {
    const [near, far] = [addressOf(host, family), ROUTER[family]];
    if (at === "host")
      return {
        name: `r${family}`,
        local: near,
        neighbor: far,
        as: HOSTS_AS,
        neighborAs: ROUTER_AS,
        import: "none",
        export: "filter hafl_routes",
      };
    const name = `${host}v${family}`;
    return { name, local: far, neighbor: near, as: ROUTER_AS, neighborAs: HOSTS_AS, import: "all", export: "none" };
  });
}

/**
 * Config of a host's BIRD. The agent's file is in its runtime directory, which is made so that BIRD may look into it. `restarting`: it
 * tells its neighbours to keep its routes when it falls silent.
 */
export function birdOfHost(lab: string, host: string, restarting = false): string {
  mkdirSync(runtimeDir(lab, host), { recursive: true, mode: 0o755 });
  return hostBird(
    addressOf(host, 4),
    `${runtimeDir(lab, host)}/bird*.conf`,
    sessions(host, "host").map((s) => (restarting ? { ...s, more: "graceful restart on;" } : s)),
  );
}

/** Starts BIRD on all hosts and the router, and waits until all listen. */
export async function startBirds(spec: LabSpec): Promise<LabProcess[]> {
  const hosts = hostNames(spec);
  const router = routerBird(
    ROUTER[4],
    AGGREGATES,
    hosts.flatMap((host) => sessions(host, "router")),
  );
  const started = await Promise.all([
    startBird(spec.name, "r", router),
    ...hosts.map((host) => startBird(spec.name, host, birdOfHost(spec.name, host))),
  ]);
  await Promise.all(started.map((bird) => waitReady(spec.name, bird)));
  // Elsewhere the agent's user is in BIRD's group.
  if (spec.unprivileged === true) for (const host of hosts) chmodSync(birdSocket(spec.name, host), 0o666);
  return started;
}

interface IpRoute {
  readonly gateway?: string;
  readonly nexthops?: readonly { readonly gateway?: string }[];
}

/** The gateways over which a node's kernel sends packets for an address by a route to just that address; none without one. */
export async function gatewaysTo(lab: string, node: string, address: string): Promise<string[]> {
  const family = address.includes(":") ? "-6" : "-4";
  const args = [family, "-j", "-n", namespaceOf(lab, node), "route", "show", "exact", address];
  const { stdout } = await promisify(execFile)("ip", args);
  const routes = JSON.parse(stdout.trim() || "[]") as IpRoute[];
  // IPv6 lists a route of several next hops as one, or as many of one each.
  return routes
    .flatMap(({ gateway, nexthops }) => [gateway, ...(nexthops ?? []).map((hop) => hop.gateway)])
    .filter((g) => g !== undefined);
}

/** Which hosts the router sends packets for the VIP of a family to. */
export async function routedTo(spec: LabSpec, family: Family): Promise<string[]> {
  const gateways = await gatewaysTo(spec.name, "r", VIP[family]);
  return hostNames(spec).filter((host) => gateways.includes(addressOf(host, family)));
}

/** Waits until the router sends packets to exactly these hosts, in both families; gives how long that took, ms. Throws when it does not. */
export async function waitRouted(
  spec: LabSpec,
  signal?: AbortSignal,
  hosts: readonly string[] = hostNames(spec),
  patienceMs = ROUTED_MS,
): Promise<number> {
  const begun = performance.now();
  const done = await pollFor(
    async () => {
      const routed = await Promise.all(FAMILIES.map((family) => routedTo(spec, family)));
      return routed.every((list) => list.join() === hosts.join()) ? true : null;
    },
    patienceMs,
    5,
    signal,
  );
  signal?.throwIfAborted();
  if (done !== null) return performance.now() - begun;
  const now = (await Promise.all(FAMILIES.map((family) => routedTo(spec, family)))).map((list) => list.join(", ") || "no host");
  throw new Error(
    `the router does not send VIP packets to ${hosts.join(", ") || "no host"} within ${patienceMs} ms, but to ${now.join("; IPv6: ")}`,
  );
}
