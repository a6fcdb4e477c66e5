/** Real requests through a lab, and what became of them: who answered, who should have, what each agent counted. */
import type { Config } from "../control/config.ts";
import { type Flow, formatFlow } from "../steering/flow.ts";
import { type FlowResult, flowOf, type LoadJob } from "./flows.ts";
import { job, runLoad } from "./load.ts";
import { clientNames, FAMILIES, hostNames, type LabSpec } from "./topology.ts";

/** Which host a flow belongs to, by the function behind `hafl lookup`. */
export type Lookup = (flow: Flow) => { readonly host: string | null };

/** What an agent has counted, in packets. */
export interface AgentCounts {
  readonly fromRouter: number;
  readonly forwarded: number;
  readonly unwrapped: number;
  readonly delivered: number;
}

export interface HostReport extends AgentCounts {
  readonly host: string;
  readonly weight: number;
  readonly http: number;
  readonly udp: number;
  /** Requests served over the share its weight stands for; 1 is exact. */
  readonly ofShare: number;
}

export interface TrafficReport {
  readonly requests: number;
  readonly answered: number;
  /** Replies that came from the host that lookup names. */
  readonly asLookedUp: number;
  readonly seconds: number;
  readonly hosts: readonly HostReport[];
  /** One line for each request that failed, and for each reply from another host than lookup names. */
  readonly failures: readonly string[];
  readonly mismatches: readonly string[];
}

const FIRST_PORT = 20_000;

/**
 * Spreads `perProtocol` HTTP requests and as many echoes over the clients, half of each over IPv6. No source port is used
 * twice for a protocol.
 */
export function planTraffic(spec: LabSpec, perProtocol: number): Record<string, LoadJob[]> {
  const clients = clientNames(spec);
  const plan: Record<string, LoadJob[]> = Object.fromEntries(clients.map((client) => [client, []]));
  for (const protocol of ["tcp", "udp"] as const) {
    let sent = 0;
    const groups = clients.flatMap((client) => FAMILIES.map((family) => ({ client, family })));
    groups.forEach(({ client, family }, i) => {
      const until = Math.round((perProtocol * (i + 1)) / groups.length);
      plan[client]!.push(job(client, protocol, family, until - sent, { firstPort: FIRST_PORT + sent, concurrency: 8 }));
      sent = until;
    });
  }
  return plan;
}

const minus = (after: AgentCounts, before: AgentCounts): AgentCounts => ({
  fromRouter: after.fromRouter - before.fromRouter,
  forwarded: after.forwarded - before.forwarded,
  unwrapped: after.unwrapped - before.unwrapped,
  delivered: after.delivered - before.delivered,
});

/** Sums results and counters up. `weights` are those of the hosts, in order. */
export function report(
  results: readonly FlowResult[],
  hosts: readonly string[],
  weights: readonly number[],
  counts: readonly AgentCounts[],
  lookup: Lookup,
  seconds: number,
): TrafficReport {
  const answered = results.filter((r) => r.host !== null);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mismatches = answered.flatMap((r) => {
    const expected = lookup(flowOf(r)).host;
    return expected === r.host ? [] : [`${formatFlow(flowOf(r))}: answered by ${r.host}, lookup names ${expected ?? "no host"}`];
  });
  return {
    requests: results.length,
    answered: answered.length,
    asLookedUp: answered.length - mismatches.length,
    seconds,
    hosts: hosts.map((host, i) => {
      const served = answered.filter((r) => r.host === host);
      const http = served.filter((r) => r.protocol === "tcp").length;
      const share = (answered.length * weights[i]!) / total;
      return {
        host,
        weight: weights[i]!,
        http,
        udp: served.length - http,
        ofShare: share === 0 ? (served.length === 0 ? 1 : Number.POSITIVE_INFINITY) : served.length / share,
        ...counts[i]!,
      };
    }),
    failures: results.filter((r) => r.host === null).map((r) => `${formatFlow(flowOf(r))}: ${r.error}`),
    mismatches,
  };
}

/** What traffic needs from the rest of the program. */
export interface Oracle {
  readonly createLookup: (config: Config) => Lookup;
  /** Counters of the agent with this runtime directory. */
  readonly readCounts: (runtimeDir: string) => AgentCounts;
}

/** Sends the traffic and reports on it. `onProgress` is called after each result. */
export async function runTraffic(
  spec: LabSpec,
  config: Config,
  oracle: Oracle,
  runtimeDirOf: (host: string) => string,
  perProtocol: number,
  onProgress: (done: number, of: number) => void,
  signal?: AbortSignal,
): Promise<TrafficReport> {
  const hosts = hostNames(spec);
  const counts = (): AgentCounts[] => hosts.map((host) => oracle.readCounts(runtimeDirOf(host)));
  const before = counts();
  const results: FlowResult[] = [];
  const begun = performance.now();
  const onResult = (result: FlowResult): void => {
    results.push(result);
    onProgress(results.length, 2 * perProtocol);
  };
  await runLoad(spec.name, planTraffic(spec, perProtocol), onResult, signal);
  signal?.throwIfAborted();
  const seconds = (performance.now() - begun) / 1000;
  const delta = counts().map((after, i) => minus(after, before[i]!));
  return report(results, hosts, spec.weights, delta, oracle.createLookup(config), seconds);
}
