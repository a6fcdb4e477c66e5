/**
 * Weights that follow load: a damped controller, which moves the weights of a pool's hosts until their use is even.
 *
 * A pure function of what is remembered and what is measured; nothing here knows time, the store or the network. It is
 * called every `intervalSeconds` for each service (load-factors.ts, which is what the conductor uses); generations are made
 * from `loaded` weights. Where `moved` is empty no weight has changed and no generation is due. While weights cannot be changed
 * it must not be called, for it counts on its factors being used.
 *
 * What damps it:
 * - A step goes only a part (`gain`) of the way, and changes a weight by no more than `step`.
 * - Load follows weights late, for connections stay where they are. So each host's load is taken for that of the weight
 *   it has `felt`, which follows the weight over `settle` steps, and what is judged is the use to be expected once it has
 *   followed: what was done already is not done again. A host that comes back from a drain, or whose wanted weight was
 *   changed, is left alone until it has got most of its load.
 * - A host is left alone unless its use was further than `deadBand` from the mean twice in a row, on the same side.
 * - A host that was moved one way and would now be moved the other takes half as much each time it turns, which ends any
 *   swinging when load is later than `settle` says. Going on in one direction makes it bold again.
 * - Changes add up in `aim`, and become weights when one of them amounts to the dead band, all together: noise makes few
 *   generations. Few they must be, for a chain has room for four owners, and a pool for 32 generations.
 */
import type { WeightedHost } from "../steering/maglev.ts";

/** How the controller acts; `loadSettings` in load-factors.ts makes it from the config's section `load`. */
export interface LoadSettings {
  /** Part of the way to even use that one step goes: 0 to 1. */
  readonly gain: number;
  /** The most a weight changes in one step, as a part of itself: 0.1 is ten percent. */
  readonly step: number;
  /** A host whose use differs from the mean by less than this part of the mean is not moved. */
  readonly deadBand: number;
  /** Nothing is moved while no host's use is above this: little traffic says little about hosts. */
  readonly idle: number;
  /** No weight becomes less than `floor` times, or more than `ceiling` times what is wanted. */
  readonly floor: number;
  readonly ceiling: number;
  /** In how many steps about two thirds (1 - 1/e) of a host's load follow its weight. */
  readonly settle: number;
}

/** A host that takes new flows, as wanted and as measured. */
export interface HostUse {
  readonly name: string;
  /** Wanted weight; a host with 0 takes no part. */
  readonly weight: number;
  /** 0: idle, 1: all it has is used; more where work waits. null: not known, or too old to go by. */
  readonly use: number | null;
}

/** What is remembered of a host. */
export interface HostLoadState {
  /** Multiplies the wanted weight. */
  readonly factor: number;
  /** What the factor would be if small changes counted. */
  readonly aim: number;
  /** The weight that its load reflects so far. */
  readonly felt: number;
  /** How boldly it is moved: its size is the part of `gain` that is used, at most 1; its sign is that of the last move; 0: none yet. */
  readonly pace: number;
  /** Which side of the dead band it was on at the last step: 1 above, -1 below, 0 within. */
  readonly out: number;
}

/** By host name; plain data that survives JSON. Empty before the first step. */
export type LoadState = Readonly<Record<string, HostLoadState>>;

export interface LoadStep {
  readonly state: LoadState;
  /** Hosts whose factor is another now. */
  readonly moved: readonly string[];
}

/** The least part of `gain` that swinging leaves, and by how much a host gets bolder with each step in the same direction. */
const LEAST_PACE = 1 / 16;
const BOLDER = 1.1;
/** With less than this share of the hosts measured nothing is moved: their mean would say little. */
const QUORUM = 0.5;
/** A host is judged when its load has followed this part of its weight, and not more than twice as much. */
const FOLLOWED = 0.5;
/** When a change is due those go along that amount to this part of the dead band. */
const ALONG = 0.25;
/** Factors are scaled back to a mean of 1 only when it has drifted further than this: scaling moves a few buckets too. */
const DRIFT = 1.25;

/**
 * One step. `hosts` are those that take new flows now; of others in `state` the factor is kept for when they come back, unless
 * they are not in `known` any more. Fails never; what is not a number counts as not measured.
 */
export function stepLoad(
  state: LoadState,
  hosts: readonly HostUse[],
  settings: LoadSettings,
  known: ReadonlySet<string>,
): LoadStep {
  const taking = hosts.filter(({ weight }) => weight > 0);
  const next = followed(state, taking, settings, known);
  const expected = taking.flatMap(({ name, weight, use }) => {
    const { factor, felt } = next[name]!;
    const ratio = (weight * factor) / felt;
    return use !== null && use >= 0 && ratio <= 1 / FOLLOWED && ratio >= FOLLOWED ? [{ name, use: use * ratio }] : [];
  });
  const busy = taking.some(({ use }) => use !== null && use > settings.idle);
  if (!busy || expected.length < 2 || expected.length < taking.length * QUORUM) return { state: next, moved: [] };

  const mean = expected.reduce((sum, { use }) => sum + use, 0) / expected.length;
  for (const { name, use } of expected) next[name] = aimed(next[name]!, use / mean, settings);
  const pending = ({ name }: { readonly name: string }): number => Math.abs(next[name]!.aim / next[name]!.factor - 1);
  const due = expected.some((host) => pending(host) > settings.deadBand);
  const moved = due ? expected.filter((host) => pending(host) > settings.deadBand * ALONG).map(({ name }) => name) : [];
  for (const name of moved) next[name] = { ...next[name]!, factor: next[name]!.aim };
  return { state: moved.length > 0 ? recentred(next, taking, settings) : next, moved };
}

/** The state with what load has felt since the last step. At the very first all hosts have the load of their weights. */
function followed(
  state: LoadState,
  taking: readonly HostUse[],
  { settle }: LoadSettings,
  known: ReadonlySet<string>,
): Record<string, HostLoadState> {
  const isFirst = Object.keys(state).length === 0;
  const pull = settle > 0 ? 1 - Math.exp(-1 / settle) : 1;
  const weights = new Map(taking.map(({ name, weight }) => [name, weight]));
  const names = new Set([...Object.keys(state).filter((name) => known.has(name)), ...weights.keys()]);
  return Object.fromEntries(
    [...names].map((name) => {
      const before = state[name] ?? { factor: 1, aim: 1, felt: isFirst ? weights.get(name)! : 0, pace: 0, out: 0 };
      const weight = (weights.get(name) ?? 0) * before.factor;
      return [name, { ...before, felt: short(before.felt + (weight - before.felt) * pull) }];
    }),
  );
}

/** A host whose use is `ratio` times the mean, one step on. */
function aimed(before: HostLoadState, ratio: number, { gain, step, deadBand, floor, ceiling }: LoadSettings): HostLoadState {
  const out = Math.abs(ratio - 1) > deadBand ? (ratio > 1 ? 1 : -1) : 0;
  if (out === 0 || out !== before.out) return { ...before, out };
  const way = -out;
  const turned = before.pace * way < 0;
  const bold = Math.abs(before.pace);
  const size = bold === 0 ? 1 : turned ? Math.max(LEAST_PACE, bold / 2) : Math.min(1, bold * BOLDER);
  const wish = Math.abs(Math.log(Math.max(ratio, Number.MIN_VALUE))) * gain * size;
  const change = Math.min(wish, Math.log1p(step));
  const aim = Math.min(ceiling, Math.max(floor, before.aim * Math.exp(way * change)));
  return { ...before, aim: short(aim), pace: short(way * size), out };
}

/** The same weights in proportion, factors with a mean of 1 again over the pool, where they have drifted away from that. */
function recentred(state: LoadState, taking: readonly HostUse[], { floor, ceiling }: LoadSettings): LoadState {
  const wanted = taking.reduce((sum, { weight }) => sum + weight, 0);
  const mean = taking.reduce((sum, { name, weight }) => sum + weight * state[name]!.factor, 0) / wanted;
  if (mean < DRIFT && mean > 1 / DRIFT) return state;
  const within = (factor: number): number => short(Math.min(ceiling, Math.max(floor, factor / mean)));
  return Object.fromEntries(
    Object.entries(state).map(([name, { factor, aim, felt, pace, out }]) => [
      name,
      { factor: within(factor), aim: within(aim), felt: short(felt / mean), pace, out },
    ]),
  );
}

/** Four digits: finer than a bucket, and short in the store. */
const short = (x: number): number => Number(x.toPrecision(4));

/** Wanted weights times factors, as a generation takes them. A host that has a weight keeps one above 0. */
export function loaded(hosts: readonly WeightedHost[], state: LoadState): WeightedHost[] {
  return hosts.map(({ name, weight }) => ({ name, weight: short(weight * (state[name]?.factor ?? 1)) }));
}

/** A state to go on from when only factors are known, and load has followed them: those of a conductor before this one. */
export function resumed(factors: Readonly<Record<string, number>>, hosts: readonly WeightedHost[]): LoadState {
  return Object.fromEntries(
    hosts.map(({ name, weight }) => {
      const factor = factors[name] ?? 1;
      return [name, { factor, aim: factor, felt: weight * factor, pace: 0, out: 0 }];
    }),
  );
}

/** How uneven use is: the largest over the mean; 1 when all are alike, or nothing is used. */
export function spreadOf(uses: readonly number[]): number {
  const sum = uses.reduce((a, b) => a + b, 0);
  return sum > 0 ? (uses.reduce((a, b) => Math.max(a, b), 0) * uses.length) / sum : 1;
}
