/** From a configuration and its history to the contents of a bank. Pure. */
import type { HostSpec, PoolSpec, TablesSpec } from "../shm/forwarding-table.ts";
import type { QuicSpec } from "../shm/quic-table.ts";
import type { EgressSpec } from "../shm/slice-table.ts";
import { keysOf } from "../steering/flow-hash.ts";
import type { ChainTable } from "../steering/generations.ts";
import { NO_HOST } from "../steering/maglev.ts";
import { RememberedTables } from "../steering/remembered-tables.ts";
import { formatAddress } from "../wire/address.ts";
import type { Config, EgressConfig, HostConfig, ServiceConfig } from "./config.ts";
import type { History } from "./generation-history.ts";
import { mtuTo, type PathMtus } from "./path-mtu.ts";
import { vipSpecs } from "./vip-specs.ts";

/** Largest outer packet when nothing is known of the path. */
export const UNKNOWN_MTU = 65_535;

/**
 * The chain tables of all services by name; services whose generations agree share one. `remembered` holds them, and the tables of
 * single generations, from call to call.
 */
export function chainTables(config: Config, history: History, remembered = new RememberedTables()): Map<string, ChainTable> {
  const key = keysOf(config.seed).table;
  const tables = new Map(
    config.services.map(({ name }) => [name, remembered.chains(history.pools[name] ?? [], config.table.size, key)] as const),
  );
  remembered.forgetUnused();
  return tables;
}

/** Everything a bank holds. `host` is the one it is for; `mtus` the largest outer packets. */
export function tablesSpec(
  config: Config,
  history: History,
  tables: ReadonlyMap<string, ChainTable>,
  host: string,
  generation: number,
  mtus: PathMtus,
): TablesSpec {
  const idOf = (name: string): number => history.hostIds[name]!;
  const serviceIds = new Map(history.serviceSlots.map((name, slot) => [name, slot]));
  const serviceId = (name: string): number => serviceIds.get(name)!;
  const distinct = [...new Set(tables.values())];
  const pools: PoolSpec[] = distinct.map((table) => ({
    planes: table.planes.map((plane) => toIds(plane, table.names.map(idOf))),
  }));
  return {
    generation,
    tableSize: config.table.size,
    self: idOf(host),
    flowKey: keysOf(config.seed).flow,
    guePort: config.gue.port,
    hosts: config.hosts.map((h) => hostSpec(h, idOf(h.name), mtuTo(mtus, h.name))),
    services: config.services.map((s) => ({
      id: serviceId(s.name),
      name: s.name,
      pool: distinct.indexOf(tables.get(s.name)!),
      hash: s.hash,
      udp: s.udp,
      quic: quicSpec(s, config, history, idOf),
    })),
    pools,
    vips: vipSpecs(config, serviceId),
    egress: config.egress.map((egress) => egressSpec(egress, config, idOf)),
  };
}

/** Slices of hosts that are down are nobody's: what came for them would be lost on the way. */
function egressSpec({ ip, sliceSize, owners }: EgressConfig, config: Config, idOf: (name: string) => number): EgressSpec {
  const up = config.hosts.filter(({ state }) => state !== "down");
  const pairs = up.flatMap(({ name }) => (owners[name] ?? []).map((slice): [number, number] => [slice, idOf(name)]));
  return { name: formatAddress(ip), words: ip.words, family: ip.family, sliceSize, owners: new Map(pairs) };
}

/** Server ids of the hosts that are in the pool or still in its chains, other than those that are down. */
function quicSpec(service: ServiceConfig, config: Config, history: History, idOf: (name: string) => number): QuicSpec | null {
  if (service.quic === null) return null;
  const recent = (history.pools[service.name] ?? []).flatMap(({ hosts }) => hosts.map(({ name }) => name));
  const members = new Set([...service.pool.map(({ host }) => host), ...recent]);
  const servers = config.hosts.flatMap(({ name, serverId, state }): [number, number][] =>
    serverId === null || state === "down" || !members.has(name) ? [] : [[serverId, idOf(name)]],
  );
  return { ...service.quic, servers };
}

function toIds(plane: Uint16Array, ids: readonly number[]): Uint16Array {
  return plane.map((index) => (index === NO_HOST ? NO_HOST : ids[index]!));
}

function hostSpec(host: HostConfig, id: number, mtu: number): HostSpec {
  const v4 = host.dips.find((d) => d.family === 4);
  const v6 = host.dips.find((d) => d.family === 6);
  return { id, name: host.name, ipv4: v4?.words[3] ?? null, ipv6: v6?.words ?? null, mtu, alive: host.state !== "down" };
}
