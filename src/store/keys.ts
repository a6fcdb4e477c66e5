/**
 * The keys of a cluster in its store, and what lies there (records.ts). All begin with `/hafl/CLUSTER/`.
 *
 *     wanted                what is wanted: the config document of all hosts, with who, when and why
 *     history/0000000042    every change of it, by number
 *     generations/POOL      the last generations of a pool, by the conductor; SERVICE, or SERVICE@SITE where sites have their own
 *     decisions             what the conductor decided and the next one has to know: holds, flaps, freeze, factors of load
 *     conductor             who conducts now; leased
 *     hosts/HOST            what a host says of itself; leased
 *     probes/HOST           what a host found when it probed the others; leased
 */

export interface ClusterKeys {
  readonly prefix: string;
  readonly wanted: string;
  readonly decisions: string;
  readonly conductor: string;
  /** Prefixes of the keys below. */
  readonly allHistory: string;
  readonly allGenerations: string;
  readonly allHosts: string;
  readonly allProbes: string;
  history(change: number): string;
  generations(pool: string): string;
  host(name: string): string;
  probes(host: string): string;
}

/** Digits of a change's number in its key: sorted by key is sorted by number. */
const CHANGE_DIGITS = 10;

/** The keys of the cluster of that name. `root` in place of `/hafl`, for several worlds in one store. */
export function clusterKeys(cluster: string, root = "/hafl"): ClusterKeys {
  const prefix = `${root}/${cluster}/`;
  const below = (folder: string) => (name: string) => `${prefix}${folder}/${name}`;
  return {
    prefix,
    wanted: `${prefix}wanted`,
    decisions: `${prefix}decisions`,
    conductor: `${prefix}conductor`,
    allHistory: `${prefix}history/`,
    allGenerations: `${prefix}generations/`,
    allHosts: `${prefix}hosts/`,
    allProbes: `${prefix}probes/`,
    history: (change) => below("history")(String(change).padStart(CHANGE_DIGITS, "0")),
    generations: below("generations"),
    host: below("hosts"),
    probes: below("probes"),
  };
}
