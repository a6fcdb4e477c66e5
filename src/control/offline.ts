/** Tables from a configuration alone, as a host that starts with it has them: for replay, lookup and tests. */
import type { TablesSpec } from "../shm/forwarding-table.ts";
import type { ChainTable } from "../steering/generations.ts";
import type { Config } from "./config.ts";
import { advanceHistory, newHistory } from "./generation-history.ts";
import { chainTables, tablesSpec, UNKNOWN_MTU } from "./tables-spec.ts";

/** Chains by service name. */
export const configChains = (config: Config): Map<string, ChainTable> =>
  chainTables(config, advanceHistory(newHistory(), config, 0));

/** Tables of the first generation for one host. The host must be in the configuration. */
export function configTables(config: Config, host: string, mtu = UNKNOWN_MTU): TablesSpec {
  const history = advanceHistory(newHistory(), config, 0);
  return tablesSpec(config, history, chainTables(config, history), host, 1, mtu);
}
