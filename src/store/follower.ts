/**
 * Follows the wanted state of a cluster and the generations of its pools in a store. What it gives out is always whole and never
 * older than before; when the store is away it is what counted last, from memory or from this host's disk.
 */
import type { Logger } from "pino";
import { type ConfigResult, readText } from "../control/config.ts";
import type { ConfigSource, WantedResult } from "../control/config-source.ts";
import { mergeConfig, type Named } from "../control/config-split.ts";
import { Failure } from "../control/failure.ts";
import { usable } from "../control/running-config.ts";
import { type Followed, fittingPools, givenPools, judge, NOTHING, outage } from "./followed.ts";
import type { ClusterKeys } from "./keys.ts";
import { readLastGood, writeLastGood } from "./last-good.ts";
import type { WantedRecord } from "./records.ts";
import type { Change, Closable, Snapshot, Store } from "./store.ts";

/** All is read anew so often, ms, a part of it by chance, also while watches run: a watch that hangs is found out. */
const RESYNC_MS = 5_000;
/** Waits between attempts while the store is away, ms. */
const RETRY_FIRST_MS = 200;
const RETRY_MOST_MS = 3_000;

export interface FollowerOptions {
  readonly store: Store;
  readonly keys: ClusterKeys;
  readonly cluster: string;
  /** This host's own file. */
  readonly file: string;
  /** Where the last good state is kept; null: nowhere. */
  readonly lastGood: string | null;
  /** Makes a config of this host's own parts and the wanted ones; unless given, as every agent does. */
  readonly merge?: (own: Named, wanted: Named) => ConfigResult;
}

/** How far what is applied lags behind. */
export interface Applied {
  /** The change of the wanted state; 0: none. */
  readonly change: number;
  /** Serials of generations by pool. */
  readonly serials: Readonly<Record<string, number>>;
  /** The revision of the store that was seen last; 0: none since the start. */
  readonly revision: number;
  /** Seconds since the store was known to have nothing newer. */
  readonly ageSeconds: number;
  /** What is refused, and why; null: nothing. */
  readonly refused: string | null;
}

const sameSerials = (a: Followed["pools"], b: Followed["pools"]): boolean => serialsOf(a) === serialsOf(b);
const serialsOf = (pools: Followed["pools"]): string =>
  JSON.stringify(Object.entries(pools).map(([name, { serial }]) => [name, serial]));

/** A config that an agent can act on. */
export const usableMerge = (own: Named, wanted: Named): ConfigResult => usable(mergeConfig(own, wanted), wanted.name);

export class Follower implements ConfigSource {
  readonly #options: FollowerOptions;
  readonly #log: Logger;
  /** What lies in the store, by key, as far as it is followed. */
  #content = new Map<string, string>();
  #followed: Followed = NOTHING;
  #refused: ReadonlyMap<string, string> = new Map();
  /** Why the agent did not take what it was given. */
  #untaken: string | null = null;
  /** What load() gave last, and what the agent took. */
  #given: Followed = NOTHING;
  #taken: Followed = NOTHING;
  /** Generations are all that is new: they go with the wanted state that the agent has, if it has refused the one that counts. */
  #onlyPools = false;
  /** The last two merges with this host's own file: what counts, and what is refused. */
  #merged: { readonly own: string; readonly config: string; readonly result: ConfigResult }[] = [];
  /** The revisions at which all was read last, of what is wanted and of generations. */
  #readAt: readonly number[] = [];
  /** Times that a watch told something. */
  #told = 0;
  /** Times that all was read, or begun to be. */
  #syncs = 0;
  #revision = 0;
  #confirmed = performance.now();
  #away = false;
  #changed: () => void = () => {};
  #moved: () => void = () => {};
  #watches: Closable[] = [];
  #timer: NodeJS.Timeout | undefined;
  #retryMs = RETRY_FIRST_MS;
  #closed = false;

  private constructor(options: FollowerOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
  }

  get name(): string {
    return this.#options.keys.wanted;
  }

  /**
   * A follower that has something to give: what the store has, or while it is away what counted last on this host. Rejects with a
   * Failure when there is neither.
   */
  static async open(options: FollowerOptions, log: Logger): Promise<Follower> {
    const follower = new Follower(options, log);
    follower.#remember();
    try {
      await follower.#sync();
    } catch (error) {
      const { message } = error as Error;
      if (follower.#followed.wanted === null) {
        follower.close();
        const where = options.lastGood === null ? "" : `, and ${options.lastGood} has nothing to start with`;
        throw new Failure(`${options.store.name}: the store cannot be read: ${message}${where}`);
      }
      const { change } = follower.#followed.wanted;
      log.warn({ err: error, change }, `the store is away: starting with change ${change}, which counted here last`);
      follower.#lose(message);
    }
    if (follower.#followed.wanted === null) {
      follower.close();
      const wanted = follower.#content.get(options.keys.wanted);
      const refused = wanted === undefined ? [] : [...follower.#refused.values()];
      if (refused.length > 0) throw new Failure(refused, 2);
      throw new Failure(`${options.keys.wanted}: there is nothing (put it there with \`hafl apply FILE\`)`);
    }
    return follower;
  }

  load(): WantedResult {
    const { pools } = this.#followed;
    const wanted = this.#onlyPools ? this.#taken.wanted : this.#followed.wanted;
    this.#onlyPools = false;
    if (wanted === null) return { errors: [`${this.name}: there is nothing (put it there with \`hafl apply FILE\`)`] };
    this.#given = { wanted, pools };
    const own = readText(this.#options.file);
    if ("errors" in own) return own;
    const result = this.#merge(own.text, wanted.config);
    if ("errors" in result) return result;
    const fit = fittingPools(pools, this.#taken.pools, new Set(result.config.hosts.map(({ name }) => name)));
    this.#given = { wanted, pools: fit };
    return { config: result.config, pools: givenPools(fit) };
  }

  #merge(own: string, config: string): ConfigResult {
    const known = this.#merged.find((one) => one.own === own && one.config === config);
    if (known !== undefined) return known.result;
    const { file, merge = usableMerge } = this.#options;
    const result = merge({ text: own, name: file }, { text: config, name: this.name });
    this.#merged = [{ own, config, result }, ...this.#merged.slice(0, 1)];
    return result;
  }

  taken(errors: readonly string[]): void {
    this.#take(errors);
    this.#moved();
  }

  #take(errors: readonly string[]): void {
    const again = this.#given.wanted === this.#taken.wanted;
    if (errors.length > 0) {
      this.#untaken = errors[0]!;
      if (again || this.#taken.wanted === null || sameSerials(this.#followed.pools, this.#taken.pools)) return;
      // Generations must not wait until the wanted state is put right.
      setImmediate(() => this.#give(true));
      return;
    }
    if (this.#given.wanted === this.#followed.wanted) this.#untaken = null;
    this.#taken = this.#given;
    const { lastGood, cluster } = this.#options;
    if (lastGood === null) return;
    try {
      writeLastGood(lastGood, cluster, this.#taken);
    } catch (error) {
      this.#log.error({ err: error }, `a restart while the store is away will not find this state: ${(error as Error).message}`);
    }
  }

  follow(changed: () => void): void {
    this.#changed = changed;
  }

  /** Has `moved` called when something of `applied` has changed, other than its age. */
  onMove(moved: () => void): void {
    this.#moved = moved;
  }

  /** What the agent runs by, and how far it is behind. */
  get applied(): Applied {
    const serials = Object.entries(this.#taken.pools).map(([pool, { serial }]) => [pool, serial] as const);
    return {
      change: this.#taken.wanted?.change ?? 0,
      serials: Object.fromEntries(serials),
      revision: this.#revision,
      ageSeconds: Math.round(performance.now() - this.#confirmed) / 1000,
      refused: this.#refusedText,
    };
  }

  get #refusedText(): string | null {
    const lines = [...this.#refused.values(), ...(this.#untaken === null ? [] : [this.#untaken])];
    return lines.length > 1 ? `${lines[0]} (and ${lines.length - 1} more)` : (lines[0] ?? null);
  }

  /** Whether the store cannot be reached now. */
  get away(): boolean {
    return this.#away;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const watch of this.#watches.splice(0)) watch.close();
  }

  #remember(): void {
    const { lastGood, cluster } = this.#options;
    if (lastGood === null) return;
    try {
      this.#followed = readLastGood(lastGood, cluster);
    } catch (error) {
      this.#log.error({ err: error }, (error as Error).message);
    }
  }

  /** Reads all, and watches from there. */
  async #sync(): Promise<void> {
    const { store, keys } = this.#options;
    const prefixes = [keys.wanted, keys.allGenerations];
    const told = this.#told;
    const own = ++this.#syncs;
    const read = await Promise.all(prefixes.map((prefix) => store.read(prefix)));
    // One that took so long that another was begun may be older than that.
    if (this.#closed || own !== this.#syncs) return;
    // What a watch has told meanwhile may be newer than what was read.
    if (this.#told !== told) return this.#again(RETRY_FIRST_MS);
    const entries = read.flatMap((snapshot: Snapshot) => snapshot.entries);
    this.#content = new Map(entries.map(({ key, value }) => [key, value]));
    this.#readAt = read.map(({ revision }) => revision);
    this.#confirm(Math.max(...this.#readAt));
    if (this.#watches.length === 0) {
      this.#watches = prefixes.map((prefix, i) =>
        store.watch(prefix, read[i]!.revision, {
          changed: (changes, revision) =>
            this.#hear(
              // A watch may be behind what was read.
              changes.filter((change) => change.revision > this.#readAt[i]!),
              revision,
            ),
          lost: (reason) => this.#lose(reason),
        }),
      );
    }
    this.#judge();
    this.#again(RESYNC_MS * (0.75 + Math.random() / 2));
  }

  #hear(changes: readonly Change[], revision: number): void {
    if (changes.length === 0) return;
    for (const { key, value } of changes) {
      if (value === null) this.#content.delete(key);
      else this.#content.set(key, value);
    }
    this.#told++;
    this.#confirm(revision);
    this.#judge();
  }

  #confirm(revision: number): void {
    this.#revision = revision;
    this.#confirmed = performance.now();
    this.#retryMs = RETRY_FIRST_MS;
    if (this.#away) this.#log.info({ revision, event: "store" }, "the store is back");
    this.#away = false;
  }

  #judge(): void {
    const before = this.#followed;
    const judged = judge(this.#options.keys, this.#content, before);
    const refused = new Map(judged.refused);
    let { wanted } = judged.followed;
    if (wanted !== null && wanted !== before.wanted) {
      const result = this.#look(wanted.config);
      if (result !== null && "errors" in result) {
        const [first, ...more] = result.errors;
        refused.set(this.name, more.length > 0 ? `${first} (and ${more.length} more)` : first!);
        wanted = before.wanted;
      }
    }
    const pools = this.#fitting(judged.followed.pools, wanted, refused);
    for (const [key, line] of refused) {
      if (this.#refused.get(key) !== line) this.#log.error({ key, event: "refused" }, `refused: ${line}`);
    }
    const moved = [...refused.values()].join("\n") !== [...this.#refused.values()].join("\n");
    this.#refused = refused;
    if (moved) this.#moved();
    const same = before.wanted === wanted || before.wanted?.change === wanted?.change;
    if (same && sameSerials(before.pools, pools)) return;
    this.#followed = { wanted, pools };
    this.#give(same && this.#untaken !== null);
  }

  /** The config that a wanted state makes on this host, or errors; null: its own file cannot be read, which load() says. */
  #look(config: string): ConfigResult | null {
    const own = readText(this.#options.file);
    return "errors" in own ? null : this.#merge(own.text, config);
  }

  /**
   * The generations that go with a wanted state. Those for a newer one wait for it, as it comes by another watch, unless it is refused
   * here; those for this one can only have hosts of it.
   */
  #fitting(pools: Followed["pools"], wanted: WantedRecord | null, refused: Map<string, string>): Followed["pools"] {
    const { keys } = this.#options;
    const result = wanted === null ? null : this.#look(wanted.config);
    if (wanted === null || result === null || "errors" in result) return pools;
    const hosts = new Set(result.config.hosts.map(({ name }) => name));
    const before = this.#followed.pools;
    const fit = Object.entries(pools).flatMap(([pool, record]) => {
      if (record.serial === before[pool]?.serial) return [[pool, before[pool]!] as const];
      const key = keys.generations(pool);
      const early = record.change > wanted.change && !refused.has(keys.wanted);
      const stranger = record.change === wanted.change ? record.generations[0]!.hosts.find(({ name }) => !hosts.has(name)) : null;
      const why = stranger
        ? `there is no host "${stranger.name}" in change ${wanted.change}`
        : outage(pool, record, result.config);
      if (why !== null && !early) refused.set(key, `${key}: ${why} (what counts here stays)`);
      const counts = early || why !== null ? before[pool] : record;
      return counts === undefined ? [] : [[pool, counts] as const];
    });
    return Object.fromEntries(fit);
  }

  #give(onlyPools: boolean): void {
    if (this.#closed) return;
    this.#onlyPools = onlyPools && this.#taken.wanted !== null;
    this.#changed();
  }

  #lose(reason: string): void {
    if (this.#closed) return;
    for (const watch of this.#watches.splice(0)) watch.close();
    if (!this.#away) this.#log.warn({ event: "store", reason }, `the store is away, all goes on as it is: ${reason}`);
    this.#away = true;
    this.#again(this.#retryMs * (0.5 + Math.random()));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
  }

  #again(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#sync().catch((error: Error) => this.#lose(error.message));
    }, ms);
  }
}
