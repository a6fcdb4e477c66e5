/** What the weights of hosts are multiplied by because of their load, by service: one controller for each pool. */
import type { Config, ServiceConfig } from "../control/config.ts";
import type { LoadConfig } from "../control/config-load.ts";
import type { HostReport } from "../store/records.ts";
import { type HostUse, type LoadSettings, type LoadState, resumed, stepLoad } from "./load-control.ts";

/** By service, by host; a host that is not in it has 1. */
export type Factors = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface LoadView {
  readonly config: Config;
  /** What a host last reported of its load; null: nothing, or nothing recent. */
  readonly loadOf: (host: string) => HostReport["load"];
  /** Whether a host of a service's pool takes new flows now: active and healthy. */
  readonly takes: (service: string, host: string) => boolean;
}

/** The section `load` as the controller takes it. */
export const loadSettings = ({
  gain,
  step,
  deadBand,
  idle,
  floor,
  ceiling,
  settleSeconds,
  intervalSeconds,
}: LoadConfig): LoadSettings => ({
  gain,
  step,
  deadBand,
  idle,
  floor,
  ceiling,
  settle: settleSeconds / intervalSeconds,
});

/**
 * Use of a host by what it reported: a service's own measure where it has one, else use of the CPUs and the share of
 * time in which work waited for one, added, so that of two hosts with nothing left the more overloaded shows. null: not known.
 */
export function useOf(service: ServiceConfig, load: HostReport["load"]): number | null {
  if (load === null) return null;
  return service.load === null ? load.cpu + load.pressure : (load.services[service.name] ?? null);
}

/**
 * The controllers of a cluster. Made by a conductor when it is elected, from the factors its predecessor left; `step` is called every
 * `load.intervalSeconds`, by the conductor's own clock, and not while a pool is frozen: nothing else is to be kept.
 */
export class LoadFactors {
  #factors: Factors;
  /** By service and site. */
  #states = new Map<string, LoadState>();

  constructor(factors: Factors) {
    this.#factors = factors;
  }

  /** One step of each service that `isFree` allows to be moved. Returns the factors of all; those of services that are not moved are the same objects. */
  step(view: LoadView, isFree: (service: string) => boolean): Factors {
    const { config } = view;
    if (config.load.control === "off") {
      this.#states.clear();
      this.#factors = {};
      return this.#factors;
    }
    const before = this.#states;
    this.#states = new Map();
    this.#factors = Object.fromEntries(
      config.services.map((service) => {
        const factors = this.#factors[service.name] ?? {};
        return [service.name, isFree(service.name) ? this.#stepService(view, service, factors, before) : factors];
      }),
    );
    return this.#factors;
  }

  #stepService(
    { config, loadOf, takes }: LoadView,
    service: ServiceConfig,
    factors: Readonly<Record<string, number>>,
    before: ReadonlyMap<string, LoadState>,
  ): Readonly<Record<string, number>> {
    const siteOf = new Map(config.hosts.map(({ name, site }) => [name, service.sites === "own" ? (site ?? "") : ""]));
    const result: Record<string, number> = {};
    let isMoved = false;
    // Hosts are compared with those they share their clients with.
    for (const site of new Set(service.pool.map(({ host }) => siteOf.get(host)!))) {
      const pool = service.pool.filter(({ host, weight }) => siteOf.get(host) === site && weight > 0);
      const hosts = pool
        .filter(({ host }) => takes(service.name, host))
        .map(({ host, weight }): HostUse => ({ name: host, weight, use: useOf(service, loadOf(host)) }));
      const key = `${service.name}/${site}`;
      const state = before.get(key) ?? resumed(factors, hosts);
      const after = stepLoad(state, hosts, loadSettings(config.load), new Set(pool.map(({ host }) => host)));
      this.#states.set(key, after.state);
      isMoved ||= after.moved.length > 0;
      for (const { host } of pool) {
        const factor = after.state[host]?.factor ?? factors[host] ?? 1;
        if (factor !== 1) result[host] = factor;
      }
    }
    return isMoved || Object.keys(result).length !== Object.keys(factors).length ? result : factors;
  }
}
