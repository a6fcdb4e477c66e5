/** What becomes of one pool. Pure; times by the cluster's clock, ms. */
import type { Config, ServiceConfig } from "../control/config.ts";
import type { ConductorConfig } from "../control/config-conductor.ts";
import { drainTimes, poolGenerations } from "../control/generation-history.ts";
import { type Generation, sameHosts, whenLeft } from "../steering/generations.ts";
import type { PoolDecisions, Standing } from "../store/records.ts";
import { budgetAt, fullBudget, RESERVE, spend } from "./budget.ts";
import type { Verdict } from "./evidence.ts";
import { freeze, type PoolMember } from "./freeze.ts";
import { isPlain, observe, ripeAt, turn, UP } from "./standing.ts";

export interface PoolView {
  readonly config: Config;
  /** Name of the pool, for lines that people read. */
  readonly name: string;
  readonly service: ServiceConfig;
  /** What is seen of each host of the pool. */
  readonly verdicts: ReadonlyMap<string, Verdict>;
  /** By what load wants the weights of hosts to be multiplied; 1 where nothing is said. */
  readonly factors: Readonly<Record<string, number>>;
  /** The conductor has heard of everybody: what it sees may move something. */
  readonly settled: boolean;
  readonly now: number;
}

export interface PoolOutcome {
  readonly decisions: PoolDecisions;
  readonly generations: readonly Generation[];
  /** Why the generations are not those of before; null: they are. */
  readonly why: string | null;
  readonly alarms: readonly string[];
}

/** Hosts that are to turn within this time do so together, ms. */
const COALESCE_MS = 500;

/**
 * Goes on from the decisions and generations of before; of a service that never had any, all hosts are up. The operator's state and
 * weights are followed at once, whatever else holds. What is not said by `before` of a host is read from the newest generation.
 */
export function decidePool(
  view: PoolView,
  before: PoolDecisions | undefined,
  generations: readonly Generation[] | undefined,
): PoolOutcome {
  const { config, name, service, now } = view;
  const patience = config.conductor;
  // As an agent has it that never saw a conductor: what begins here moves nothing.
  const list = generations ?? poolGenerations(config, service, [], now);
  const budget = before?.budget ?? fullBudget(now);
  const active = wantedMembers(config, service);
  const standings = observed(view, before, generations === undefined ? null : list, active);
  const members: PoolMember[] = active.map((host) => ({
    host,
    standing: standings.get(host)!,
    verdict: view.verdicts.get(host)!,
  }));

  const ripe = members.filter(({ standing }) => (ripeAt(standing, patience) ?? Number.POSITIVE_INFINITY) <= now);
  const leaving = ripe.filter(({ standing }) => standing.up);
  const frozen = freeze(before?.frozen ?? null, members, view.settled ? leaving.length : 0, now, patience);
  const free = view.settled && frozen === null;
  const left = budgetAt(budget, now, patience.changesPerMinute);
  const turning = free ? allowed(members, ripe, left, now, patience) : [];
  for (const { host, standing } of turning) standings.set(host, turn(standing, now, patience));

  const reweigh = free && left >= RESERVE + 1;
  const factors = reweigh ? factorsOf(service, view.factors) : (before?.factors ?? {});
  const isIn = (host: string): boolean => standings.get(host)!.up;
  const { taking, last } = takers(active, isIn, list);
  const effective = weighed(service, new Set(active), taking, factors);
  const changed =
    !sameHosts(takersOf(effective, active), list[0]!.hosts) || isDue(list, config, now) || generations === undefined;
  const next = changed ? poolGenerations(config, effective, list, now) : list;
  const isSame = generations !== undefined && JSON.stringify(next) === JSON.stringify(generations);
  const spent = turning.length > 0 || (reweigh && !sameFactors(factors, before?.factors ?? {}));

  return {
    decisions: {
      hosts: Object.fromEntries([...standings].filter(([, standing]) => !isPlain(standing))),
      frozen,
      budget: spent && !isSame ? spend(budget, now, patience.changesPerMinute) : budget,
      factors,
    },
    generations: isSame ? generations : next,
    why: isSame ? null : reasons(turning, spent, generations === undefined, next[0]?.id !== list[0]?.id),
    alarms: [
      ...(frozen === null ? [] : [`${name}: frozen: ${frozen.why}`]),
      ...(last || isLastSick(leaving, members) ? [`${name}: all hosts are unhealthy, the last ones stay in`] : []),
    ],
  };
}

/** Hosts of the pool that are to take new connections if they are well. */
function wantedMembers(config: Config, service: ServiceConfig): string[] {
  const active = new Set(config.hosts.filter(({ state }) => state === "active").map(({ name }) => name));
  return service.pool.filter(({ host, weight }) => weight > 0 && active.has(host)).map(({ host }) => host);
}

/** How all hosts of the pool stand, with what is seen of them now. */
function observed(
  { service, verdicts, now, config }: PoolView,
  before: PoolDecisions | undefined,
  generations: readonly Generation[] | null,
  active: readonly string[],
): Map<string, Standing> {
  const patience = config.conductor;
  const newest = generations?.[0]?.hosts.filter(({ weight }) => weight > 0).map(({ name }) => name);
  const isIn = newest === undefined ? () => true : (host: string): boolean => newest.includes(host);
  const anyoneSpeaks = [...verdicts.values()].some(({ healthy }) => healthy !== null);
  return new Map(
    service.pool.map(({ host }): [string, Standing] => {
      const verdict = verdicts.get(host)!;
      const known = before?.hosts[host] ?? (isIn(host) ? UP : arriving(verdict, anyoneSpeaks, now));
      const standing = observe(known, verdict, now, patience);
      return [host, active.includes(host) ? standing : outside(standing, verdict, now)];
    }),
  );
}

/** A host that comes new into the pool takes connections as soon as there is a sign that it can; without any signs, of nobody, at once. */
const arriving = ({ healthy }: Verdict, anyoneSpeaks: boolean, now: number): Standing =>
  healthy === true || !anyoneSpeaks ? UP : { up: false, since: now, turned: null, flaps: 0, reason: "not heard of yet" };

/** A host that the operator has taken out gives no trouble by going down, and what it gave before is forgotten. */
const outside = (standing: Standing, { healthy, reason }: Verdict, now: number): Standing =>
  (healthy ?? standing.up)
    ? UP
    : { up: false, since: standing.up ? now : standing.since, turned: null, flaps: 0, reason: reason || standing.reason };

/** Of the hosts that may turn, those that do now: together with others that are about to, within what the budget allows, and never the last. */
function allowed(
  members: readonly PoolMember[],
  ripe: readonly PoolMember[],
  left: number,
  now: number,
  patience: ConductorConfig,
): readonly PoolMember[] {
  const times = members.map(({ standing }) => ripeAt(standing, patience)).filter((at) => at !== null);
  const first = times.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const isMoreToCome = times.some((at) => at > now && at - first <= COALESCE_MS);
  if (ripe.length === 0 || isMoreToCome) return [];
  const up = members.filter(({ standing }) => standing.up).length;
  const leaving = ripe.filter(({ standing }) => standing.up);
  const coming = ripe.filter(({ standing }) => !standing.up);
  if (left < 1) return [];
  const urgent = leaving.length > 0 && leaving.length < up + coming.length ? leaving : [];
  return urgent.length > 0 || left >= RESERVE + 1 ? [...urgent, ...coming] : [];
}

/** Whether all that are up should leave. */
const isLastSick = (leaving: readonly PoolMember[], members: readonly PoolMember[]): boolean =>
  leaving.length > 0 && leaving.length === members.filter(({ standing }) => standing.up).length;

/** Hosts that take new connections: those that are up, else those that did before, else all. */
function takers(
  active: readonly string[],
  isIn: (host: string) => boolean,
  generations: readonly Generation[],
): { taking: ReadonlySet<string>; last: boolean } {
  const up = active.filter(isIn);
  if (up.length > 0 || active.length === 0) return { taking: new Set(up), last: false };
  const before = new Set(generations[0]!.hosts.filter(({ weight }) => weight > 0).map(({ name }) => name));
  const stay = active.filter((host) => before.has(host));
  return { taking: new Set(stay.length > 0 ? stay : active), last: true };
}

/** The service with the weights that its hosts have now; of hosts that the operator has taken out those that they had. */
function weighed(
  service: ServiceConfig,
  active: ReadonlySet<string>,
  taking: ReadonlySet<string>,
  factors: Readonly<Record<string, number>>,
): ServiceConfig {
  const weightOf = (host: string, weight: number): number => {
    if (active.has(host) && !taking.has(host)) return 0;
    const factor = factors[host] ?? 1;
    // Four digits: finer than a bucket, and short in the store.
    return factor === 1 ? weight : Number((weight * factor).toPrecision(4));
  };
  return { ...service, pool: service.pool.map(({ host, weight }) => ({ host, weight: weightOf(host, weight) })) };
}

const takersOf = ({ pool }: ServiceConfig, active: readonly string[]): { name: string; weight: number }[] =>
  pool.filter(({ host }) => active.includes(host)).map(({ host, weight }) => ({ name: host, weight }));

/** Whether a host in the generations has left the chains by now: its drain time is over, or it is down or unknown. */
function isDue(generations: readonly Generation[], config: Config, now: number): boolean {
  const left = whenLeft(generations);
  const known = new Set(config.hosts.filter(({ state }) => state !== "down").map(({ name }) => name));
  const drain = drainTimes(config);
  return generations.some(({ hosts }) =>
    hosts.some(({ name, gone }) => !gone && (!known.has(name) || left.get(name)! + drain(name) <= now)),
  );
}

/** Those of its own hosts. */
function factorsOf({ pool }: ServiceConfig, factors: Readonly<Record<string, number>>): Record<string, number> {
  const own = pool.map(({ host }): [string, number] => [host, factors[host] ?? 1]);
  return Object.fromEntries(own.filter(([, factor]) => factor !== 1));
}

function sameFactors(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): boolean {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((host) => (a[host] ?? 1) === (b[host] ?? 1));
}

function reasons(turning: readonly PoolMember[], spent: boolean, first: boolean, moved: boolean): string {
  if (first) return "the first";
  if (!moved) return "drain time is over";
  if (turning.length > 0) {
    const texts = turning.map(({ host, standing: { up, reason } }) => (up ? `${host} down: ${reason}` : `${host} up`));
    return texts.length > 3 ? `${texts.slice(0, 3).join("; ")}; ${texts.length - 3} more` : texts.join("; ");
  }
  return spent ? "load" : "wanted state";
}
