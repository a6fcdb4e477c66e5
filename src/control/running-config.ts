/** What a reload may change and what it may not. Pure. */
import { portsOfSlices } from "../steering/slices.ts";
import { formatAddress, type Prefix } from "../wire/address.ts";
import { type Config, type ConfigResult, effectiveConfig, loadConfig } from "./config.ts";
import { compileRules } from "./drop-rules.ts";
import type { OwnPorts } from "./egress-rules.ts";
import type { GivenPools } from "./generation-history.ts";

/** All VIPs of a config. Those of two services are the same prefix, twice; who takes them over has to leave one out. */
export function vipsOf(config: Config): Prefix[] {
  const distinct = new Map(config.services.flatMap(({ vips }) => vips).map((vip) => [JSON.stringify(vip), vip]));
  return [...distinct.values()];
}

/** Flows of its own that a host remembers when its directors do not use the table. */
const OWN_FLOWS = 1_000_000;

/** Flows the table has room for. */
export const trackedFlows = (config: Config): number => config.flowTable?.size ?? OWN_FLOWS;

/** Everything that the data plane takes over from the kernel: VIPs and egress IPs. */
export const takenOver = (config: Config): Prefix[] => [
  ...vipsOf(config),
  ...config.egress.map(({ ip }) => ({ address: ip, length: ip.family === 4 ? 32 : 128 })),
];

/** The egress IPs of a config and which of their ports a host owns. */
export const ownPorts = (config: Config, host: string): OwnPorts[] =>
  config.egress.map(({ ip, sliceSize, owners }) => ({ ip, ranges: portsOfSlices(owners[host] ?? [], sliceSize) }));

/** A config that an agent can act on, or error lines: also when its drop rules cannot be compiled. */
export const loadUsable = (file: string): ConfigResult => usable(loadConfig(file), file);

/** The same of a config that was read from elsewhere; `name` is what its drop rules are from. */
export function usable(result: ConfigResult, name: string): ConfigResult {
  if ("errors" in result) return result;
  const { errors, missing } = compileRules(result.config);
  const lines = missing === null ? errors : [missing];
  return lines.length > 0 ? { errors: lines.map((line) => `${name}: ${line}`) } : result;
}

const dipsOf = (config: Config, host: string): string =>
  config.hosts
    .find(({ name }) => name === host)
    ?.dips.map(formatAddress)
    .join(", ") ?? "";

const cpusOf = ({ io }: Config): string => (io.cpus === null ? "none" : `[${io.cpus.join(", ")}]`);

/** Lines for what differs and cannot while an agent runs: descriptors, threads and the sizes of shared memory hang on it. */
export function refusedChanges(before: Config, after: Config, host: string, file: string): string[] {
  if (!after.hosts.some(({ name }) => name === host)) {
    return [`${file}: hosts: this host, "${host}", is missing (stop its agent first, or give it state: down)`];
  }
  const fields: [string, string, string][] = [
    ["cluster", before.cluster, after.cluster],
    ["seed", Buffer.from(before.seed).toString("hex"), Buffer.from(after.seed).toString("hex")],
    ["table.size", `${before.table.size}`, `${after.table.size}`],
    ["flowTable.size", `${trackedFlows(before)}`, `${trackedFlows(after)}`],
    ["flowTable", before.flowTable === null ? "off" : "on", after.flowTable === null ? "off" : "on"],
    ["gue.port", `${before.gue.port}`, `${after.gue.port}`],
    ["store", JSON.stringify(before.store), JSON.stringify(after.store)],
    ["io.mode", before.io.mode, after.io.mode],
    ["io.uplink", before.io.uplink ?? "none", after.io.uplink ?? "none"],
    ["io.workers", `${before.io.workers}`, `${after.io.workers}`],
    ["io.cpus", cpusOf(before), cpusOf(after)],
    ["io.busyPollUs", `${before.io.busyPollUs}`, `${after.io.busyPollUs}`],
    ...(["sendTrains", "receiveTrains", "joinTcp", "joinUdp"] as const).map((name): [string, string, string] => [
      `io.offloads.${name}`,
      before.io.offloads[name],
      after.io.offloads[name],
    ]),
    [`hosts[${after.hosts.findIndex(({ name }) => name === host)}].dip`, dipsOf(before, host), dipsOf(after, host)],
  ];
  return fields
    .filter(([, was, is]) => was !== is)
    .map(([field, was, is]) => {
      const values = field === "seed" ? "" : ` from ${was} to ${is}`;
      return `${file}: ${field}: cannot change${values} while the agent runs (change it back, or restart the agents)`;
    });
}

/** Whether two configs mean the same. */
export const sameConfig = (a: Config, b: Config): boolean => effectiveConfig(a) === effectiveConfig(b);

/** Whether two sets of given generations are the same; undefined is none that is known. */
export const samePools = (a: GivenPools | null | undefined, b: GivenPools | null): boolean =>
  a !== undefined && JSON.stringify(a) === JSON.stringify(b);
