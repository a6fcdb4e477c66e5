import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type HostUse,
  type LoadSettings,
  type LoadState,
  loaded,
  resumed,
  spreadOf,
  stepLoad,
} from "../../src/conductor/load-control.ts";
import { seededRandom } from "../support/random.ts";

const SETTINGS: LoadSettings = { gain: 0.25, step: 0.1, deadBand: 0.03, idle: 0.2, floor: 0.1, ceiling: 4, settle: 2 };
const CAPACITIES = [1, 1, 2, 2, 4];
const name = (i: number): string => `s${i + 1}`;
const ALL = new Set(CAPACITIES.map((_, i) => name(i)));

interface World {
  readonly capacities: readonly number[];
  /** Steps after which a measurement is seen. */
  readonly delay: number;
  /** Time constant in steps by which load follows weights; 0: at once. */
  readonly lag: number;
  /** Standard deviation of what is measured, as a part of it. */
  readonly noise: number;
  readonly settings: LoadSettings;
  readonly seed: number;
}

interface Course {
  /** Largest use over the mean, true and without noise, by step. */
  readonly spreads: readonly number[];
  /** Factors after each step. */
  readonly factors: readonly (readonly number[])[];
  /** Steps in which a factor changed. */
  readonly changes: readonly number[];
}

/** Shares of traffic follow weights by a first-order lag; use is traffic over capacity, its mean about a half. */
function course({ capacities, delay, lag, noise, settings, seed }: World, steps: number): Course {
  const random = seededRandom(seed);
  const gauss = (): number => Array.from({ length: 12 }, () => random(1e6) / 1e6).reduce((a, b) => a + b, -6);
  const total = capacities.reduce((a, b) => a + b, 0);
  const known = new Set(capacities.map((_, i) => name(i)));
  let state: LoadState = {};
  let traffic = capacities.map(() => 1 / capacities.length);
  const seen: number[][] = [];
  const result = { spreads: [] as number[], factors: [] as number[][], changes: [] as number[] };
  for (let step = 0; step < steps; step++) {
    const weights = loaded(
      capacities.map((_, i) => ({ name: name(i), weight: 1 })),
      state,
    );
    const sum = weights.reduce((a, { weight }) => a + weight, 0);
    const pull = lag === 0 ? 1 : 1 - Math.exp(-1 / lag);
    traffic = traffic.map((t, i) => t + (weights[i]!.weight / sum - t) * pull);
    const use = traffic.map((t, i) => (0.5 * t * total) / capacities[i]!);
    result.spreads.push(spreadOf(use));
    seen.push(use);
    const late = seen[Math.max(0, seen.length - 1 - delay)]!;
    const hosts = late.map((u, i): HostUse => ({ name: name(i), weight: 1, use: Math.max(0, u * (1 + noise * gauss())) }));
    const after = stepLoad(state, hosts, settings, known);
    state = after.state;
    if (after.moved.length > 0) result.changes.push(step);
    result.factors.push(capacities.map((_, i) => state[name(i)]!.factor));
  }
  return result;
}

const WORLD: World = { capacities: CAPACITIES, delay: 0, lag: 1, noise: 0, settings: SETTINGS, seed: 1 };

test("use of hosts with capacities 1, 1, 2, 2, 4 and equal weights is even within 20 steps, and stays so", () => {
  for (const lag of [0, 1, 2]) {
    for (const delay of [0, 1, 2]) {
      const { spreads, changes } = course({ ...WORLD, lag, delay }, 300);
      assert.ok(spreads[0]! > 1.2, `begins uneven: ${spreads[0]}`);
      const late = Math.max(...spreads.slice(lag + delay <= 3 ? 20 : 30));
      assert.ok(late <= 1.05, `lag ${lag}, delay ${delay}: ${late}`);
      assert.ok(changes.at(-1)! < 40, `lag ${lag}, delay ${delay}: still moving at ${changes.at(-1)}`);
    }
  }
});

/** By how much a factor turned back in all, relative to how far it went: 0 when it only ever went one way. */
function turnedBack(factors: readonly (readonly number[])[], host: number): number {
  const way = [1, ...factors.map((f) => f[host]!)].map(Math.log);
  const length = way.slice(1).reduce((sum, x, i) => sum + Math.abs(x - way[i]!), 0);
  const gone = Math.abs(way.at(-1)! - way[0]!);
  return length - gone;
}

test("no oscillation: weights go where they are going and rest there", () => {
  for (const lag of [0, 1, 2]) {
    for (const delay of [0, 1]) {
      const { factors } = course({ ...WORLD, lag, delay }, 300);
      for (const host of CAPACITIES.keys()) {
        const back = turnedBack(factors, host);
        assert.ok(back <= 0.1, `lag ${lag}, delay ${delay}, host ${host}: turned back by ${back}`);
      }
    }
  }
});

test("much later load than the settings say: swings die away", () => {
  for (const [delay, lag] of [
    [3, 3],
    [0, 10],
    [3, 10],
    [6, 3],
  ] as const) {
    const { spreads, changes } = course({ ...WORLD, delay, lag }, 400);
    const late = Math.max(...spreads.slice(300));
    assert.ok(late <= 1.05, `delay ${delay}, lag ${lag}: ${late}`);
    assert.ok(changes.filter((step) => step >= 300).length === 0, `delay ${delay}, lag ${lag}: still moving`);
  }
});

test("random pools, noise and delay: even in the end, and seldom moved", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed);
    const capacities = Array.from({ length: 2 + random(12) }, () => 1 + random(4));
    const world: World = {
      ...WORLD,
      capacities,
      delay: random(3),
      lag: random(3),
      noise: [0, 0.01, 0.02, 0.03][random(4)]!,
      seed,
    };
    const { spreads, changes } = course(world, 300);
    const late = Math.max(...spreads.slice(100));
    const about = `seed ${seed}, ${JSON.stringify({ ...world, settings: undefined })}`;
    assert.ok(late <= 1.05 + world.noise, `${about}: ${late}`);
    const moves = changes.filter((step) => step >= 100).length;
    assert.ok(moves <= (world.noise < 0.02 ? 10 : 60), `${about}: ${moves} changes in the last 200 steps`);
  }
});

const at = (uses: readonly (number | null)[]): HostUse[] => uses.map((use, i) => ({ name: name(i), weight: 1, use }));
const step = (state: LoadState, uses: readonly (number | null)[], settings = SETTINGS) =>
  stepLoad(state, at(uses), settings, ALL);

test("within the dead band, when idle, with too few measured, or one host alone, nothing is moved", () => {
  const cases = [
    [0.5, 0.51, 0.5, 0.49, 0.5],
    [0.19, 0.02, 0.1, 0.05, 0.01],
    [0.9, 0.1, null, null, null],
    [0.9, Number.NaN, -1],
    [0.9],
    [],
  ];
  for (const uses of cases) {
    let state: LoadState = {};
    for (let i = 0; i < 5; i++) {
      const after = step(state, uses);
      assert.deepEqual(after.moved, [], JSON.stringify(uses));
      state = after.state;
    }
  }
  const once = step({}, [0.9, 0.1, 0.5, null, null]);
  assert.deepEqual(once.moved, [], "once may be chance");
  assert.deepEqual(step(once.state, [0.1, 0.9, 0.5, null, null]).moved, [], "so may be the other side");
  assert.deepEqual(step(once.state, [0.9, 0.1, 0.5, null, null]).moved, ["s1", "s2"]);
});

test("a step is never larger than allowed, and stays between floor and ceiling", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed);
    let state: LoadState = {};
    for (let i = 0; i < 100; i++) {
      const uses = Array.from({ length: 5 }, () => (random(10) === 0 ? null : (random(1000) / 1000) ** 4 * 2));
      const { state: next, moved } = step(state, uses);
      const scale = CAPACITIES.map((_, host) => next[name(host)]!.felt);
      for (const host of CAPACITIES.keys()) {
        const [before, after] = [state[name(host)]?.factor ?? 1, next[name(host)]!.factor];
        assert.ok(after >= SETTINGS.floor && after <= SETTINGS.ceiling, `factor ${after}`);
        if (before !== after) assert.ok(moved.length > 0);
      }
      // Of two hosts neither of which was scaled back: what a step changes is bounded, with what had added up before.
      const sum = (s: LoadState): number => CAPACITIES.reduce((a, _, host) => a + (s[name(host)]?.factor ?? 1), 0);
      if (Math.abs(sum(next) / sum(state) - 1) < 0.12) {
        for (const host of moved) {
          const ratio = next[host]!.factor / (state[host]?.factor ?? 1);
          assert.ok(ratio < 1.1 * 1.031 && ratio > 1 / (1.1 * 1.031), `changed by ${ratio}`);
        }
      }
      assert.ok(scale.every(Number.isFinite));
      state = JSON.parse(JSON.stringify(next)) as LoadState;
    }
  }
});

test("a host with work of its own falls to the floor, not to nothing; one that seems idle rises to the ceiling at most", () => {
  let state: LoadState = {};
  for (let i = 0; i < 100; i++) state = step(state, [2, 0, 0.5, 0.5, 0.5]).state;
  assert.equal(state.s1!.factor, SETTINGS.floor);
  assert.ok(state.s2!.factor > 3 && state.s2!.factor <= SETTINGS.ceiling, `${state.s2!.factor}`);
  assert.deepEqual(loaded([{ name: "s1", weight: 3 }], state), [{ name: "s1", weight: 0.3 }]);
});

test("a host that comes back keeps its factor and is judged only once it has load again", () => {
  let state: LoadState = {};
  for (let i = 0; i < 5; i++) state = step(state, [0.8, 0.5, 0.5, 0.5, 0.5]).state;
  const before = state.s1!.factor;
  assert.ok(before < 0.9);
  for (let i = 0; i < 10; i++) state = stepLoad(state, at([null, 0.6, 0.6, 0.6, 0.6]).slice(1), SETTINGS, ALL).state;
  assert.equal(state.s1!.factor, before);
  const back = step(state, [0, 0.6, 0.6, 0.6, 0.6]);
  assert.deepEqual(back.moved, []);
  assert.equal(back.state.s1!.factor, before);
  // The same for a wanted weight that was raised: its load is still that of the old one.
  const raised = stepLoad(
    state,
    at([0.6, 0.6, 0.6, 0.6, 0.6]).map((h) => (h.name === "s2" ? { ...h, weight: 9 } : h)),
    SETTINGS,
    ALL,
  );
  assert.ok(!raised.moved.includes("s2"));
});

test("hosts that are not known any more are forgotten", () => {
  const { state } = step({}, [0.9, 0.1, 0.5, 0.5, 0.5]);
  assert.ok("s1" in state);
  assert.ok(!("s1" in stepLoad(state, at([null, 0.5, 0.5]).slice(1), SETTINGS, new Set(["s2", "s3"])).state));
});

test("weights of 0 take no part; wanted weights count", () => {
  const hosts: HostUse[] = [
    { name: "s1", weight: 0, use: 5 },
    { name: "s2", weight: 3, use: 0.5 },
    { name: "s3", weight: 1, use: 0.5 },
  ];
  assert.deepEqual(stepLoad({}, hosts, SETTINGS, ALL).moved, []);
});

test("spread is the largest use over the mean", () => {
  assert.equal(spreadOf([1, 1, 2, 4]), 2);
  assert.equal(spreadOf([]), 1);
  assert.equal(spreadOf([0, 0]), 1);
});

test("a conductor that knows only the factors goes on from them and moves nothing that is even", () => {
  const hosts = ["s1", "s2", "s3"].map((name) => ({ name, weight: 2 }));
  const state = resumed({ s1: 0.5, s2: 1.5 }, hosts);
  assert.deepEqual(loaded(hosts, state), [
    { name: "s1", weight: 1 },
    { name: "s2", weight: 3 },
    { name: "s3", weight: 2 },
  ]);
  const even = hosts.map((host): HostUse => ({ ...host, use: 0.5 }));
  const after = stepLoad(state, even, SETTINGS, ALL);
  assert.deepEqual(after, { state, moved: [] });
});
