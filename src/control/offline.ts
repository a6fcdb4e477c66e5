/** Tables from a configuration alone, as a host that starts with it has them: for replay, lookup and tests. */
import type { TablesSpec } from "../shm/forwarding-table.ts";
import type { ChainTable } from "../steering/generations.ts";
import type { Config } from "./config.ts";
import { advanceHistory, type History, newHistory } from "./generation-history.ts";
import { atSite } from "./site.ts";
import { chainTables, tablesSpec, UNKNOWN_MTU } from "./tables-spec.ts";

/** Chains by service name. */
export const configChains = (config: Config): Map<string, ChainTable> =>
  chainTables(config, advanceHistory(newHistory(), config, 0));

/** A cluster that starts with a configuration at `now`, ms since the epoch: what the tables of its hosts are made from. */
export interface FreshCluster {
  readonly historyOf: (host: string) => History;
  /** Tables for one host, which must be in the configuration, with outer packets of at most `mtu` bytes. */
  readonly tablesFor: (host: string, mtu?: number) => TablesSpec;
}

export function freshCluster(config: Config, now: number): FreshCluster {
  const start = newHistory();
  const bySite = new Map<string | null, { seen: Config; history: History; chains: Map<string, ChainTable> }>();
  const of = (host: string) => {
    const site = config.hosts.find(({ name }) => name === host)?.site ?? null;
    let made = bySite.get(site);
    if (made === undefined) {
      const seen = atSite(config, site);
      const history = advanceHistory(start, seen, now);
      made = { seen, history, chains: chainTables(seen, history) };
      bySite.set(site, made);
    }
    return made;
  };
  return {
    historyOf: (host) => of(host).history,
    tablesFor: (host, mtu = UNKNOWN_MTU) => {
      const { seen, history, chains } = of(host);
      return tablesSpec(seen, history, chains, host, 1, mtu);
    },
  };
}

/** Tables of the first generation for one host. The host must be in the configuration. */
export const configTables = (config: Config, host: string, mtu = UNKNOWN_MTU): TablesSpec =>
  freshCluster(config, 0).tablesFor(host, mtu);
