/** Writing what is wanted, and saying what that does. */
import { forecast, type PoolMove } from "../conductor/forecast.ts";
import { readSaved } from "../conductor/saved.ts";
import type { Config } from "../control/config.ts";
import { Failure } from "../control/failure.ts";
import { refusedChanges } from "../control/running-config.ts";
import type { WantedRecord } from "../store/records.ts";
import { StoreAway } from "../store/store.ts";
import { type Current, changeWanted, readCurrent, type Wish } from "../store/wanted.ts";
import { configChanges, type FieldChange } from "../store/wanted-diff.ts";
import { type Cluster, configNow, requireForward, whoIsIt } from "./cluster.ts";

/** What a change means. */
export interface Difference {
  readonly changes: readonly FieldChange[];
  readonly pools: readonly PoolMove[];
}

/**
 * Reads what a difference depends on: the generations that the store has. Gives what tells then what differs between two configs, and what
 * moves; that takes a while, which a change need not wait for.
 */
export async function differences(cluster: Cluster): Promise<(before: Config | null, after: Config) => Difference> {
  const saved = await readSaved(cluster.store, cluster.keys);
  return (before, after) => ({
    changes: configChanges(before, after),
    pools: forecast(before, after, saved.pools, saved.decisions, saved.time ?? 0).filter(({ moved }) => moved > 0),
  });
}

/** Lines for what agents that run would refuse of `after`. */
export function refusedByAgents(before: Config | null, after: Config, name: string): string[] {
  if (before === null) return [];
  const both = before.hosts.filter((host) => after.hosts.some(({ name: other }) => other === host.name));
  return [...new Set(both.flatMap((host) => refusedChanges(before, after, host.name, name)))];
}

/** Writes a change once. Throws a Failure when somebody else has changed it since `current` was read, or nobody knows whether it is done. */
export async function writeOnce(cluster: Cluster, current: Current, wish: Omit<Wish, "who">): Promise<WantedRecord> {
  const record = await written(cluster, current, wish);
  if (record !== null) return record;
  throw new Failure(
    `${cluster.wanted}: somebody else has changed it meanwhile: nothing is written (look at \`hafl history\` and try again)`,
  );
}

async function written(cluster: Cluster, current: Current, wish: Omit<Wish, "who">): Promise<WantedRecord | null> {
  const { store, keys } = cluster;
  try {
    return await changeWanted(store, keys, current, { ...wish, who: whoIsIt() });
  } catch (error) {
    if (!(error instanceof StoreAway)) throw error;
    throw new StoreAway(`${error.message}; whether the change is written nobody knows, see \`hafl history\``);
  }
}

/** How often a small change is made again on top of what others have changed meanwhile. */
const ATTEMPTS = 20;

/**
 * Changes what is wanted by editing it, on top of what others have changed meanwhile. `edit` gives the document as it is to be, or null when
 * it already says so. Returns the change and whether it is ours. Throws a Failure.
 */
export async function writeEdit(
  cluster: Cluster,
  why: string,
  edit: (current: Current & { readonly record: WantedRecord; readonly config: Config }) => Promise<string | null>,
): Promise<{ record: WantedRecord; changed: boolean }> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const current = await readCurrent(cluster.store, cluster.keys);
    requireForward(cluster, current);
    const { record } = current;
    if (record === null)
      throw new Failure(`${cluster.wanted}: there is nothing to change (put it there with \`hafl apply FILE\`)`);
    const config = configNow(cluster, current);
    if (config === null)
      throw new Failure(`${cluster.wanted}: change ${record.change} cannot be used (see \`hafl check\`; \`hafl apply FILE\`)`);
    const text = await edit({ ...current, record, config });
    if (text === null) return { record, changed: false };
    const done = await written(cluster, current, { config: text, why });
    if (done !== null) return { record: done, changed: true };
  }
  throw new Failure(`${cluster.wanted}: others changed it ${ATTEMPTS} times meanwhile: nothing is written (try again)`);
}
