/** Metrics of the host and its agent: what it runs by, what it is fit for, what it announces. */
import type { AgentView } from "../control/attendant.ts";
import type { History } from "../control/generation-history.ts";
import { readHistory } from "../control/history-file.ts";
import { VERSION } from "../control/version.ts";
import { type Family, type Sample, single } from "./family.ts";

/** What is known of the config. */
export interface Applied {
  /** When the current one became that, ms since the epoch. */
  readonly since: number;
  /** How many have since the process started. */
  readonly count: number;
}

const flag = (on: boolean): number => (on ? 1 : 0);

/** All of them. */
export function hostFamilies(view: AgentView, applied: () => Applied): Family[] {
  const { board, place } = view;
  let pools: { generation: number; pools: History["pools"] } | null = null;
  const history = (): [string, History["pools"][string]][] => {
    const generation = view.generation();
    if (pools?.generation !== generation) pools = { generation, pools: readHistory(view.runtimeDir).pools };
    return Object.entries(pools.pools).filter(([, list]) => list.length > 0);
  };
  const pool = (name: string, help: string, of: (generations: History["pools"][string]) => number): Family => ({
    name: `hafl_pool_${name}`,
    help,
    type: "gauge",
    labels: ["pool"],
    read: () => history().map(([pool, list]): Sample => [of(list), pool]),
  });
  return [
    {
      name: "hafl_info",
      help: "Always 1; which agent this is",
      type: "gauge",
      labels: ["instance", "host", "cluster", "version", "mode"],
      read: () => [[1, place.instance, place.host.name, place.config.cluster, VERSION, place.config.io.mode]],
    },
    single("gauge", "hafl_table_generation", "Generation of the forwarding tables", () => view.generation()),
    single(
      "gauge",
      "hafl_config_applied_timestamp_seconds",
      "When the config that is current became that, seconds since the epoch",
      () => applied().since / 1000,
    ),
    single(
      "counter",
      "hafl_config_applied_total",
      "Configs that became current since the process started",
      () => applied().count,
    ),
    pool("generation", "Newest generation of a pool", ([newest]) => newest!.id),
    pool("generations", "Generations of a pool that are in the chains", (list) => list.length),
    pool("hosts", "Hosts of a pool that get new connections", ([newest]) => newest!.hosts.length),
    pool(
      "changed_timestamp_seconds",
      "When the newest generation of a pool began, seconds since the epoch",
      ([newest]) => newest!.time / 1000,
    ),
    single("gauge", "hafl_fit", "Whether the host is fit for packets", () => flag(board.unfit.size === 0)),
    {
      name: "hafl_problem",
      help: "1 for each who found something wrong with the host",
      type: "gauge",
      labels: ["source"],
      read: () => [...board.problems.keys()].map((source): Sample => [1, source]),
    },
    {
      name: "hafl_service_healthy",
      help: "Whether a service that is checked on this host is healthy",
      type: "gauge",
      labels: ["service"],
      read: () => [...board.services].map(([service, { healthy }]): Sample => [flag(healthy), service]),
    },
    {
      name: "hafl_route_announced",
      help: "1 for each prefix that routers are told of",
      type: "gauge",
      labels: ["prefix"],
      read: () => (board.routes?.announced ?? []).map((prefix): Sample => [1, prefix]),
    },
    single("gauge", "hafl_routes_troubled", "Whether something keeps the host from announcing all its VIPs", () =>
      flag(board.routes?.problem != null),
    ),
  ];
}
