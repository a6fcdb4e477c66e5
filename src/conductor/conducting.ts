/** The work of a conductor while it is one: looks, decides, and writes what has changed, again and again. */
import type { Logger } from "pino";
import type { Config, ConfigResult } from "../control/config.ts";
import { poolsOf } from "../control/site.ts";
import type { ClusterKeys } from "../store/keys.ts";
import { FAR, readRecord, type WantedRecord, writeRecord } from "../store/records.ts";
import type { Store, Write } from "../store/store.ts";
import { ClusterClock } from "./cluster-clock.ts";
import { type Decisions, decide, type Outcome, type Pools } from "./decide.ts";
import type { Term } from "./election.ts";
import { recent } from "./evidence.ts";
import { Intake } from "./intake.ts";
import { type Factors, LoadFactors } from "./load-factors.ts";
import { OwnRecords } from "./own-records.ts";
import { commitsOf, generationsRecord, readSaved, type Saved } from "./saved.ts";
import { ahead } from "./turned-back.ts";

export interface Work {
  readonly store: Store;
  readonly keys: ClusterKeys;
  /** Who conducts, as it is written. */
  readonly by: string;
  readonly log: Logger;
  /** The config that a wanted state makes. */
  readWanted(record: WantedRecord): ConfigResult;
  /** How long the others have to be heard of before what is seen moves anything, ms. */
  readonly settleMs?: number;
}

/** What a conductor says of its work. */
export interface Conducted {
  /** What an operator has to know, one line each. */
  alarms: readonly string[];
  decisions: Decisions;
  /** Generations written. */
  written: number;
}

const TICK_MS = 200;
const SETTLE_MS = 5000;
/** Decisions that only grow older are written so often, ms. */
const KEEP_MS = 30_000;
/** What is refused is read again so often, ms: it may be this host's own file that was wrong. */
const REFUSED_MS = 5000;
/** An alarm about a record that somebody else wrote stands for so long, ms. */
const STRANGE_MS = 60_000;
/** How long hosts may be ahead of the store as this process sees it, ms. */
const AHEAD_MS = 3000;

/** Tells that the store did not take a write, because another one conducts. */
export class Deposed extends Error {}

export class Conducting implements Conducted {
  alarms: readonly string[] = [];
  written = 0;
  readonly #work: Work;
  readonly #term: Term;
  readonly #intake: Intake;
  readonly #own: OwnRecords;
  /** Until when somebody else's records are an alarm, by key. */
  readonly #strangeUntil = new Map<string, number>();
  readonly #clock: ClusterClock;
  readonly #factors: LoadFactors;
  #saved: Saved;
  #config: { readonly record: WantedRecord; readonly result: ConfigResult; readonly at: number } | null = null;
  /** The last config that could be read. */
  #good: { readonly config: Config; readonly change: number } | null = null;
  #wanted: Factors = {};
  /** The highest change that generations were made for. */
  #acted = 0;
  /** Since when hosts have been ahead of the store. */
  #aheadFrom: number | null = null;
  #settledFrom: number | null = null;
  #loadAt: number | null = null;
  #keptAt: number;
  /** The outcome of the last commit is not known: what the store has is to be read again. */
  #unsure = false;
  #isAwake = false;
  #resume = (): void => {};

  private constructor(work: Work, term: Term, saved: Saved) {
    this.#work = work;
    this.#term = term;
    this.#saved = saved;
    this.#clock = new ClusterClock(saved.time ?? Date.now());
    this.#keptAt = this.#clock.now;
    this.#factors = new LoadFactors(factorsOf(saved.decisions));
    this.#wanted = factorsOf(saved.decisions);
    this.#intake = new Intake(
      work.store,
      work.keys,
      () => this.#clock.now,
      () => this.wake(),
    );
    this.#own = new OwnRecords(work.store, work.keys, () => this.wake());
    this.#own.read(saved.entries);
  }

  /** Begins where the last conductor stopped. Rejects as the store does. */
  static async begin(work: Work, term: Term): Promise<Conducting> {
    return new Conducting(work, term, await readSaved(work.store, work.keys));
  }

  get decisions(): Decisions {
    return this.#saved.decisions;
  }

  /** Works until `isOver`. Rejects with Deposed, and as the store does; it may be called again after the latter. */
  async run(isOver: () => boolean, ticked: () => void): Promise<void> {
    while (!isOver()) {
      this.#isAwake = false;
      await this.tick();
      ticked();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, TICK_MS);
        this.#resume = () => {
          clearTimeout(timer);
          resolve();
        };
        if (this.#isAwake || isOver()) this.#resume();
      });
    }
  }

  /** Ends a pause of `run`, or the next one. */
  wake(): void {
    this.#isAwake = true;
    this.#resume();
  }

  close(): void {
    this.#intake.close();
    this.#own.close();
  }

  /** Looks and decides once. */
  async tick(): Promise<void> {
    const now = this.#clock.step();
    if (this.#unsure) {
      this.#saved = await readSaved(this.#work.store, this.#work.keys);
      this.#own.read(this.#saved.entries);
      this.#unsure = false;
    }
    if (!this.#intake.current) {
      this.#settledFrom = null;
      return;
    }
    this.#settledFrom ??= now;
    const alarms = [...this.#saved.refused, ...this.#intake.refused.values()];
    if (this.#intake.wanted === null && alarms.length === 0) alarms.push("nothing is wanted yet (write it with hafl apply FILE)");
    const good = this.#read(alarms, now);
    if (good === null) return this.#tell(alarms);
    const { config, change } = good;
    const settled = now - this.#settledFrom >= (this.#work.settleMs ?? SETTLE_MS);
    const saved = this.#saved;

    const names = new Set(config.hosts.map(({ name }) => name));
    const reports = [...this.#intake.reports].flatMap(([host, seen]) => (names.has(host) ? (recent(seen, now) ?? []) : []));
    const { hosts, most, change: highest, serial } = ahead(reports, change, saved.serials, saved.serial);
    this.#aheadFrom = hosts.length > 0 ? (this.#aheadFrom ?? now) : null;
    // News of the hosts may come a moment before that of what they follow.
    const isAhead = this.#aheadFrom !== null && now - this.#aheadFrom >= AHEAD_MS;
    const forgotten = change < this.#acted;
    const behind = most || forgotten || (reports.length === 0 && saved.turnedBack !== null);
    // Somebody has put above all that was applied what is to hold from here on.
    const resumed = saved.turnedBack !== null && change > saved.turnedBack;
    const known = isAhead || forgotten ? Math.max(highest, this.#acted) : null;
    const turnedBack = behind && !resumed ? (saved.turnedBack ?? known) : null;
    if (turnedBack !== null || (isAhead && !resumed)) alarms.push(aheadText(hosts, turnedBack));

    if (settled) this.#stepLoad(config, now);
    const outcome =
      behind && !resumed
        ? unmoved(saved)
        : decide({ config, sightings: this.#intake, factors: this.#wanted, settled, now }, saved.decisions, saved.pools);
    alarms.push(...outcome.alarms);
    const changed = new Map(outcome.changed);
    if (resumed) for (const pool of outcome.pools.keys()) changed.set(pool, `goes on from change ${change}`);
    const strange = this.#own.strange();
    const last = this.#judgeStrange(strange, saved, outcome.pools, changed, now);
    for (const [key, until] of this.#strangeUntil)
      if (until > now) alarms.push(`${key}: was written by somebody else than the conductor, who has written it again`);
    await this.#save({ ...outcome, alarms, changed }, change, turnedBack, Math.max(serial, last), now, strange);
    this.#tell(alarms);
  }

  /**
   * Has pools written again whose records somebody else wrote. Gives the highest serial that has to be exceeded: that of a record which
   * agents may have taken, not one that is made up.
   */
  #judgeStrange(
    strange: ReadonlyMap<string, string | null>,
    saved: Saved,
    pools: Pools,
    changed: Map<string, string>,
    now: number,
  ): number {
    let last = saved.serial;
    for (const [key, value] of strange) {
      const { log, keys } = this.#work;
      if (!this.#strangeUntil.has(key))
        log.warn({ event: "alarm", key, value: value?.slice(0, 500) ?? null }, `${key}: was written by somebody else`);
      this.#strangeUntil.set(key, now + STRANGE_MS);
      const pool = key.startsWith(keys.allGenerations) ? key.slice(keys.allGenerations.length) : null;
      if (pool !== null && pools.has(pool)) changed.set(pool, "written over what somebody else wrote");
      const read = pool === null || value === null ? null : readRecord("generations", key, value);
      if (read !== null && "record" in read && read.record.serial <= saved.serial + FAR)
        last = Math.max(last, read.record.serial);
    }
    for (const [key, until] of this.#strangeUntil) if (until <= now) this.#strangeUntil.delete(key);
    return last;
  }

  /** What is wanted, as far as it can be read. */
  #read(alarms: string[], now: number): { readonly config: Config; readonly change: number } | null {
    const record = this.#intake.wanted;
    const before = Math.max(this.#acted, this.#saved.change);
    if (record !== null && before > 0 && record.change > before + FAR) {
      alarms.push(`change ${record.change} is far above change ${before}: it was not counted, but made up (apply a config)`);
      return this.#good;
    }
    const known = this.#config?.record === record ? this.#config : null;
    if (record !== null && (known === null || ("errors" in known.result && now - known.at >= REFUSED_MS))) {
      const result = this.#work.readWanted(record);
      this.#config = { record, result, at: now };
      if ("config" in result) this.#good = { config: result.config, change: record.change };
    }
    if (this.#config !== null && "errors" in this.#config.result)
      alarms.push(`change ${this.#config.record.change} of what is wanted is refused: ${this.#config.result.errors[0]}`);
    return this.#good;
  }

  #stepLoad(config: Config, now: number): void {
    if (this.#loadAt !== null && now - this.#loadAt < config.load.intervalSeconds * 1000) return;
    this.#loadAt = now;
    const { decisions } = this.#saved;
    const pools = poolsOf(config);
    const of = (service: string): string[] => pools.filter((pool) => pool.service.name === service).map(({ name }) => name);
    const active = new Set(config.hosts.filter(({ state }) => state === "active").map(({ name }) => name));
    const view = {
      config,
      loadOf: (host: string) => recent(this.#intake.reports.get(host), now)?.load ?? null,
      takes: (service: string, host: string) =>
        active.has(host) && of(service).every((pool) => decisions[pool]?.hosts[host]?.up ?? true),
    };
    this.#wanted = this.#factors.step(view, (service) => of(service).every((pool) => (decisions[pool]?.frozen ?? null) === null));
  }

  /** Writes what is not as it was, decisions first: should it end halfway, the next conductor makes the same generations of them. */
  async #save(
    outcome: Outcome,
    change: number,
    turnedBack: number | null,
    from: number,
    now: number,
    strange: ReadonlyMap<string, string | null>,
  ): Promise<void> {
    const { keys, by } = this.#work;
    const saved = this.#saved;
    const { decisions, pools, alarms } = outcome;
    let serial = from;
    const serials = new Map(saved.serials);
    const generations = [...outcome.changed].map(([pool, why]): Write => {
      serials.set(pool, ++serial);
      const list = pools.get(pool)!.map((generation) => ({ ...generation, hosts: [...generation.hosts] }));
      const value = generationsRecord({ service: pool, serial, change, by, why: short(why), generations: list });
      return { key: keys.generations(pool), value };
    });
    for (const pool of outcome.removed) serials.delete(pool);
    const foreign = [...strange].filter(([key, value]) => value !== null && key !== keys.decisions && !isOf(pools, key, keys));
    const gone = new Set([...outcome.removed.map((pool) => keys.generations(pool)), ...foreign.map(([key]) => key)]);
    const removals = [...gone].map((key): Write => ({ key, value: null }));
    const next: Saved = { ...saved, time: now, serial, decisions, turnedBack, alarms, pools, serials, refused: [] };
    const isAging = now - this.#keptAt >= KEEP_MS && waits(next);
    if (strange.size === 0 && generations.length + removals.length === 0 && essence(next) === essence(saved) && !isAging) {
      // Timers that run are not worth a write.
      this.#saved = { ...next, time: saved.time, serial: saved.serial, refused: saved.refused };
      return;
    }
    const record = writeRecord("decisions", { time: now, serial, by, pools: decisions, turnedBack, alarms: [...alarms] });
    const writes = [{ key: keys.decisions, value: record }, ...generations, ...removals];
    this.#unsure = true;
    for (const commit of commitsOf(writes)) {
      const committed = await this.#term.commit(commit);
      if (!committed.done) throw new Deposed("a write was rejected: another one conducts");
      this.#own.wrote(commit, committed.revision);
    }
    this.#unsure = false;
    this.#saved = next;
    this.#keptAt = now;
    this.written += generations.length;
    if (generations.length > 0) this.#acted = Math.max(this.#acted, change);
    for (const [pool, why] of outcome.changed) {
      const facts = { event: "generations", pool, serial: serials.get(pool), generation: pools.get(pool)![0]!.id, change };
      this.#work.log.info(facts, `${pool}: new generations: ${why}`);
    }
  }

  #tell(alarms: readonly string[]): void {
    const { log } = this.#work;
    for (const alarm of alarms) if (!this.alarms.includes(alarm)) log.warn({ event: "alarm", raised: true }, alarm);
    for (const alarm of this.alarms) if (!alarms.includes(alarm)) log.info({ event: "alarm", raised: false }, `over: ${alarm}`);
    if (alarms.length !== this.alarms.length || alarms.some((alarm, i) => alarm !== this.alarms[i])) this.alarms = alarms;
  }
}

/** Whether a key is that of one of the pools. */
const isOf = (pools: Pools, key: string, { allGenerations }: ClusterKeys): boolean => pools.has(key.slice(allGenerations.length));

const unmoved = ({ decisions, pools }: Saved): Outcome => ({ decisions, pools, changed: new Map(), removed: [], alarms: [] });

function aheadText(hosts: readonly string[], turnedBack: number | null): string {
  const who = hosts.length > 5 ? `${hosts.slice(0, 5).join(", ")}, ...` : hosts.join(", ");
  const text = `${hosts.length} hosts have applied what the store does not have (${who}): was it restored from a snapshot?`;
  if (turnedBack === null) return text;
  return `${text} Nothing moves until a change above ${turnedBack} is applied`;
}

/** A reason as it is written: there may be hundreds of hosts in it. */
const short = (why: string): string => (why.length > 500 ? `${why.slice(0, 500)}...` : why);

/** Factors by service, of all its pools. */
function factorsOf(decisions: Decisions): Factors {
  const factors: Record<string, Record<string, number>> = {};
  for (const [pool, { factors: own }] of Object.entries(decisions)) {
    const service = pool.split("@")[0]!;
    factors[service] = { ...factors[service], ...own };
  }
  return factors;
}

/** What of decisions has to be in the store at once; the rest is time that runs. */
function essence({ decisions, turnedBack, alarms }: Saved): string {
  const pools = Object.entries(decisions).map(([pool, { hosts, frozen, factors }]) => [
    pool,
    Object.entries(hosts).flatMap(([host, { up, flaps, since }]) => (up && flaps === 0 ? [] : [[host, up, flaps, since]])),
    frozen?.since,
    factors,
  ]);
  return JSON.stringify([pools, turnedBack, alarms]);
}

/** Whether something comes about by time alone. */
const waits = ({ decisions, pools }: { readonly decisions: Decisions; readonly pools: Pools }): boolean =>
  Object.values(decisions).some(({ hosts, frozen }) => frozen !== null || Object.keys(hosts).length > 0) ||
  [...pools.values()].some((list) => list.length > 1);
