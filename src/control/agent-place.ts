/** Who and where an agent is, and what it wants of its host's network: all that follows from options, config and the host's state. */
import type { Config, HostConfig } from "./config.ts";
import type { ConfigSource } from "./config-source.ts";
import { requireCpus } from "./cpus.ts";
import { Failure } from "./failure.ts";
import type { GivenPools } from "./generation-history.ts";
import { type HostState, readHostState } from "./host-state.ts";
import { runtimeDirOf } from "./instance.ts";
import { requireNft } from "./nft.ts";
import { findUplink, outerMtu, ownHost, tunName } from "./own-place.ts";
import { chooseTable, type Desired, formatStep, planSetup } from "./plan.ts";
import { requireCapabilities } from "./privileges.ts";
import { ownPorts, takenOver } from "./running-config.ts";

export interface AgentOptions {
  /** Path of the config file on this host. */
  readonly config: string;
  /** Where the config comes from: that file, or a store that it names. */
  readonly source: ConfigSource;
  /** Which host of the config this is; undefined: the one whose DIP this machine has. */
  readonly host: string | undefined;
  /** In place of io.uplink. */
  readonly uplink: string | undefined;
  /** undefined: the host's name. */
  readonly instance: string | undefined;
  readonly runtimeDir: string | undefined;
}

/** Who and where the agent is: all that follows from config, options and the host's state. */
export interface Place {
  readonly config: Config;
  /** Generations of its pools; null: the agent makes them itself. */
  readonly pools: GivenPools | null;
  readonly host: HostConfig;
  readonly instance: string;
  readonly uplink: ReturnType<typeof findUplink>;
  readonly mtu: number;
}

/** Throws a Failure where the config, or this machine, is not fit for it. */
export function findPlace(options: AgentOptions, state: HostState): Place {
  const loaded = options.source.load();
  if ("errors" in loaded) throw new Failure(loaded.errors, 2);
  const { config, pools } = loaded;
  requireCpus(options.config, config.io.cpus);
  const host = ownHost(config, options.config, options.host, state);
  const uplink = findUplink(config, options.config, options.uplink, host, state);
  return { config, pools, host, uplink, instance: options.instance ?? host.name, mtu: outerMtu(host, state) };
}

export const desiredOf = ({ config, host, uplink, instance }: Place, state: HostState): Desired => ({
  mode: config.io.mode,
  uplinks: [uplink.device],
  tun: tunName(instance),
  table: chooseTable(instance, state),
  vips: takenOver(config),
  egress: ownPorts(config, host.name),
});

/** The commands that would set up this host's network, in order. Throws a Failure. */
export function dryRun(options: AgentOptions): string[] {
  const state = readHostState();
  const desired = desiredOf(findPlace(options, state), state);
  const tun = `ip tuntap add dev ${desired.tun} mode tun multi_queue vnet_hdr  # by the agent itself: it goes away with it`;
  return [tun, ...planSetup(desired, state).flatMap(({ apply }) => (apply === null ? [] : formatStep(apply)))];
}

/** The runtime directory of the agent. */
export const directoryOf = (options: AgentOptions, { instance }: Place): string => options.runtimeDir ?? runtimeDirOf(instance);

/** Throws a Failure when this process may not do, or lacks, what the place needs. */
export function requireMeans({ config, host }: Place): void {
  requireCapabilities();
  if (ownPorts(config, host.name).some(({ ranges }) => ranges.length > 0)) requireNft();
}
