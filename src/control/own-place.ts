/** Where in the cluster, and on which devices of this machine, an agent is. Pure: from config, options and host state. */
import { LINK_ETHERNET, LINK_RAW, type LinkType } from "../io/packet-io.ts";
import { type Address, formatAddress } from "../wire/address.ts";
import type { Config, HostConfig } from "./config.ts";
import { Failure } from "./failure.ts";
import type { HostState } from "./host-state.ts";
import { closest } from "./suggest.ts";

const list = (dips: readonly Address[]): string => dips.map(formatAddress).join(", ");
const isHere = (dip: Address, state: HostState): boolean => state.local.has(formatAddress(dip));

/** The host this agent is: the one named, else the one that has its DIP on this machine. Throws a Failure when unclear. */
export function ownHost(config: Config, file: string, name: string | undefined, state: HostState): HostConfig {
  if (name === undefined) {
    const here = config.hosts.filter((host) => host.dips.some((dip) => isHere(dip, state)));
    if (here.length === 1) return complete(here[0]!, file, config, state);
    const found =
      here.length === 0
        ? "no host has its DIP on this machine"
        : `${here.map((h) => h.name).join(" and ")} have their DIPs on this machine`;
    throw new Failure(`${file}: hosts: ${found} (say which one this is with --host)`);
  }
  const host = config.hosts.find((h) => h.name === name);
  if (host !== undefined) return complete(host, file, config, state);
  const meant = closest(
    name,
    config.hosts.map((h) => h.name),
  );
  throw new Failure(
    `--host: no host is named "${name}" in ${file} (${meant === null ? "see `hosts`" : `did you mean "${meant}"?`})`,
    2,
  );
}

function complete(host: HostConfig, file: string, config: Config, state: HostState): HostConfig {
  const missing = host.dips.filter((dip) => !isHere(dip, state));
  if (missing.length === 0) return host;
  const field = `hosts[${config.hosts.indexOf(host)}].dip`;
  throw new Failure(
    `${file}: ${field}: ${list(missing)} of "${host.name}" is on no device of this machine (add it to one, or name the right host with --host)`,
  );
}

/** The device VIP packets come from. Throws a Failure when it is missing or of a kind we cannot read. */
export function findUplink(
  config: Config,
  file: string,
  option: string | undefined,
  host: HostConfig,
  state: HostState,
): { device: string; link: LinkType } {
  const device = option ?? config.io.uplink ?? state.local.get(formatAddress(host.dips[0]!))!;
  const field = option === undefined ? `${file}: io.uplink` : "--uplink";
  const found = state.devices.get(device);
  if (found === undefined) {
    throw new Failure(
      `${field}: no device "${device}" on this machine (it has ${[...state.devices.keys()].join(", ")}; --uplink overrides the config)`,
    );
  }
  if (option === undefined && config.io.uplink === null && device === "lo") {
    throw new Failure(`${field}: not set, and the DIP of "${host.name}" is on lo (name the device that VIP packets come from)`);
  }
  return { device, link: linkOf(found.linkType, `${field}: ${device}`) };
}

const WITHOUT_HEADER = ["none", "ppp", "rawip", "ipip", "tunnel", "tunnel6", "sit"];

function linkOf(linkType: string, where: string): LinkType {
  if (linkType === "ether" || linkType === "loopback") return LINK_ETHERNET;
  if (WITHOUT_HEADER.includes(linkType)) return LINK_RAW;
  throw new Failure(`${where} has link type ${linkType} (only Ethernet and devices without link header can be an uplink)`);
}

/** Largest outer packet in bytes: the least MTU of the devices that have this host's DIPs. */
export function outerMtu(host: HostConfig, state: HostState): number {
  return Math.min(...host.dips.map((dip) => state.devices.get(state.local.get(formatAddress(dip)) ?? "")?.mtu ?? 1500));
}

const DEVICE_NAME_MAX = 15;

/** The TUN's name: `hafl-<instance>`, with the end replaced by a hash when that is too long for a device. */
export function tunName(instance: string): string {
  const name = `hafl-${instance}`;
  if (name.length <= DEVICE_NAME_MAX) return name;
  let hash = 5381;
  for (const c of instance) hash = (Math.imul(hash, 33) ^ c.charCodeAt(0)) >>> 0;
  return `${name.slice(0, DEVICE_NAME_MAX - 5)}-${hash.toString(36).slice(-4).padStart(4, "0")}`;
}
