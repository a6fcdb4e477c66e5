/** What an agent remembers of its pools: their last generations, and the ids its hosts and services got. Kept as JSON next to the tables. */

import { MAX_HOSTS, MAX_SERVICES } from "../shm/counters.ts";
import {
  advanceGenerations,
  type DrainTime,
  drainTimeOf,
  type Generation,
  sameHosts,
  whenLeft,
} from "../steering/generations.ts";
import type { WeightedHost } from "../steering/maglev.ts";
import type { Config, ServiceConfig } from "./config.ts";

export interface History {
  /** Generations by service name, newest first. */
  readonly pools: Readonly<Record<string, readonly Generation[]>>;
  /** Ids by host name: they stay while the history lasts, because counters and flows refer to them. */
  readonly hostIds: Readonly<Record<string, number>>;
  /** The id that the next new host gets. Ids are used again only when all have been: old flows must not find new hosts. */
  readonly nextId: number;
  /** Names this numbering of hosts; never 0. */
  readonly epoch: number;
  /** Names of services by their ids, also of those that are gone: one that comes back is counted on. */
  readonly serviceSlots: readonly string[];
}

/** A history with nothing in it, and a numbering of its own. */
export const newHistory = (): History => ({
  pools: {},
  hostIds: {},
  nextId: 0,
  epoch: 1 + Math.floor(Math.random() * 0x7ffffffe),
  serviceSlots: [],
});

/** Hosts of a pool that take new flows. */
function activeHosts(config: Config, service: ServiceConfig): WeightedHost[] {
  const active = new Set(config.hosts.filter((h) => h.state === "active").map((h) => h.name));
  return service.pool.filter((m) => active.has(m.host) && m.weight > 0).map((m) => ({ name: m.host, weight: m.weight }));
}

/** Hosts of a pool that may own flows: also those being drained. */
function owningHosts(config: Config, service: ServiceConfig): WeightedHost[] {
  const down = downHosts(config);
  return service.pool.filter((m) => !down.has(m.host) && m.weight > 0).map((m) => ({ name: m.host, weight: m.weight }));
}

/** How long each host stays in the chains once it has left a pool, ms. */
export function drainTimes(config: Config): (host: string) => number {
  const own = new Map(config.hosts.map(({ name, drainSeconds }) => [name, drainSeconds]));
  return (host) => (own.get(host) ?? config.table.drainSeconds) * 1000;
}

/** When the next host leaves the chains of any of these pools, ms since the epoch; null: none is about to. */
export function nextDrained(pools: Iterable<readonly Generation[]>, drain: DrainTime): number | null {
  let next = Number.POSITIVE_INFINITY;
  for (const generations of pools) {
    const left = whenLeft(generations);
    const staying = new Set(generations.flatMap(({ hosts }) => hosts.filter(({ gone }) => !gone).map(({ name }) => name)));
    for (const name of staying) next = Math.min(next, left.get(name)! + drainTimeOf(drain, name));
  }
  return Number.isFinite(next) ? next : null;
}

/** Names of hosts that get nothing. */
const downHosts = (config: Config): Set<string> => new Set(config.hosts.filter((h) => h.state === "down").map((h) => h.name));

/**
 * Generations of one pool by its configuration and what came before. A pool seen for the first time that has hosts being
 * drained gets two: the one in which they still were active, and the newest.
 */
export function poolGenerations(
  config: Config,
  service: ServiceConfig,
  before: readonly Generation[],
  now: number,
): Generation[] {
  const active = activeHosts(config, service);
  let list = [...before];
  if (list.length === 0) {
    const owning = owningHosts(config, service);
    if (!sameHosts(owning, active)) list = [{ id: 1, time: now, hosts: owning }];
  }
  // A host that has left the configuration has no address any more; one that is down has no connections.
  const down = downHosts(config);
  const known = new Set(config.hosts.map((h) => h.name).filter((host) => !down.has(host)));
  return advanceGenerations(list, active, now, drainTimes(config), known);
}

/** Generations by service name that somebody else has decided, for all hosts alike. */
export type GivenPools = Readonly<Record<string, readonly Generation[]>>;

/**
 * Generations as they were given. Hosts that the configuration does not have, or that are down in it, are gone from them at once: what
 * is given may be older than the configuration. None are given yet: those that every host comes to by the configuration alone.
 */
function givenGenerations(config: Config, service: ServiceConfig, given: readonly Generation[] | undefined): Generation[] {
  if (given === undefined) return poolGenerations(config, service, [], 0);
  const down = downHosts(config);
  const known = new Set(config.hosts.map((h) => h.name).filter((host) => !down.has(host)));
  return given.map((g) => ({ ...g, hosts: g.hosts.map((h) => (h.gone || known.has(h.name) ? h : { ...h, gone: true })) }));
}

/**
 * Slots with a place for each of these names, at most MAX_SERVICES: the one it has, else the next that nobody had. When all had
 * somebody it is that of one that is gone, whose counts go on under the new name: no counter ever goes back.
 */
function slotsFor(names: readonly string[], before: readonly string[]): string[] {
  const slots = [...before];
  const [known, staying] = [new Set(before), new Set(names)];
  for (const name of names) {
    if (known.has(name)) continue;
    slots[slots.length < MAX_SERVICES ? slots.length : slots.findIndex((other) => !staying.has(other))] = name;
  }
  return slots;
}

/**
 * The history after a configuration has become current at `now`, ms since the epoch. With `given` its pools are those, and time does
 * not matter.
 */
export function advanceHistory(history: History, config: Config, now: number, given: GivenPools | null = null): History {
  const pools = Object.fromEntries(
    config.services.map((service) => [
      service.name,
      given === null
        ? poolGenerations(config, service, history.pools[service.name] ?? [], now)
        : givenGenerations(config, service, given[service.name]),
    ]),
  );
  const hostIds: Record<string, number> = {};
  for (const host of config.hosts) {
    const id = history.hostIds[host.name];
    if (id !== undefined) hostIds[host.name] = id;
  }
  const used = new Set(Object.values(hostIds));
  let nextId = history.nextId;
  for (const host of config.hosts) {
    if (hostIds[host.name] !== undefined) continue;
    while (used.has(nextId)) nextId = (nextId + 1) % MAX_HOSTS;
    used.add(nextId);
    hostIds[host.name] = nextId;
    nextId = (nextId + 1) % MAX_HOSTS;
  }
  const serviceSlots = slotsFor(
    config.services.map(({ name }) => name),
    history.serviceSlots,
  );
  return { pools, hostIds, nextId, epoch: history.epoch, serviceSlots };
}
