/** Sites: which hosts of a pool serve the packets that come to a data centre. Pure. */
import type { Config, ServiceConfig } from "./config.ts";

const siteOf = (config: Config, host: string): string | null => config.hosts.find(({ name }) => name === host)?.site ?? null;

/** All sites of a config; null stands for the hosts that have none. */
export const sitesOf = (config: Config): (string | null)[] => [...new Set(config.hosts.map(({ site }) => site))];

/**
 * The pool of a service as the hosts of a site see it. With `sites: own` its hosts there, and those of all sites as long as none of
 * them takes new flows: a packet that comes nevertheless goes over the backbone rather than nowhere.
 */
export function poolAt(config: Config, service: ServiceConfig, site: string | null): ServiceConfig["pool"] {
  if (service.sites === "all") return service.pool;
  const here = new Map(config.hosts.filter((host) => host.site === site).map((host) => [host.name, host.state]));
  const own = service.pool.filter(({ host }) => here.has(host));
  return own.some(({ host, weight }) => weight > 0 && here.get(host) === "active") ? own : service.pool;
}

/** A pool of its own: of a service, or of a service at one site. */
export interface Pool {
  /** Name of the service; where each site has a pool of its own, `SERVICE@SITE`. */
  readonly name: string;
  /** The service with the hosts of this pool. */
  readonly service: ServiceConfig;
}

/** All pools of a config. Of generations each has its own, under its name. */
export const poolsOf = (config: Config): Pool[] =>
  config.services.flatMap((service) => {
    const sites = service.sites === "all" ? [] : sitesOf(config);
    if (sites.length <= 1) return [{ name: service.name, service }];
    return sites.map((site) => ({
      name: poolName(config, service, site),
      service: { ...service, pool: poolAt(config, service, site) },
    }));
  });

/** Name of the pool of a service that hosts of a site use. */
export const poolName = (config: Config, service: ServiceConfig, site: string | null): string =>
  service.sites === "all" || sitesOf(config).length <= 1 ? service.name : `${service.name}@${site ?? ""}`;

/** The config as the hosts of a site act on it: each pool is the site's own. */
export function atSite(config: Config, site: string | null): Config {
  if (sitesOf(config).length <= 1) return config;
  return { ...config, services: config.services.map((service) => ({ ...service, pool: poolAt(config, service, site) })) };
}

/** The config as a host of it acts on it. */
export const forHost = (config: Config, host: string): Config => atSite(config, siteOf(config, host));

/** What is given by pool, by the names of the services whose pools they are for a host. */
export function poolsFor<T>(config: Config, byPool: Readonly<Record<string, T>>, host: string): Record<string, T> {
  const site = siteOf(config, host);
  const named = config.services.map((service) => [service.name, byPool[poolName(config, service, site)]] as const);
  return Object.fromEntries(named.filter((entry): entry is [string, T] => entry[1] !== undefined));
}
