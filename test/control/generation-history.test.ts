import assert from "node:assert/strict";
import { test } from "node:test";
import { advanceHistory, drainTimes, type History, newHistory, nextDrained } from "../../src/control/generation-history.ts";
import { MAX_SERVICES } from "../../src/shm/counters.ts";
import { configOf } from "../support/fixture.ts";

const T0 = 1_700_000_000_000;

/** A config with these hosts ("a", "b-draining", "c-down", "d-draining-5": with a drain time of its own) in one service's pool. */
const config = (...hosts: readonly string[]) =>
  configOf(`cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts:
${hosts
  .map((text, i) => {
    const [name, state = "active", drain = "null"] = text.split("-");
    return `  - { name: ${name}, dip: 10.0.0.${"abcdefgh".indexOf(name!) + 1 || i + 100}, state: ${state}, drainSeconds: ${drain} }`;
  })
  .join("\n")}
services:
  - { name: web, vips: [192.0.2.1], ports: { tcp: any } }
table: { size: 101, drainSeconds: 60 }
`);

/** Names of the hosts of each generation, those that are gone in capitals. */
const members = (h: History): string[] =>
  (h.pools.web ?? []).map((g) => g.hosts.map(({ name, gone }) => (gone ? name.toUpperCase() : name)).join(""));

test("a change of the pool makes a generation; the same again makes none", () => {
  let h = advanceHistory(newHistory(), config("a", "b"), T0);
  assert.deepEqual(members(h), ["ab"]);
  h = advanceHistory(h, config("a", "b"), T0 + 1000);
  assert.deepEqual(members(h), ["ab"]);
  h = advanceHistory(h, config("a", "b", "c"), T0 + 2000);
  assert.deepEqual(members(h), ["abc", "ab"]);
  assert.deepEqual(
    h.pools.web!.map((g) => [g.id, g.time]),
    [
      [2, T0 + 2000],
      [1, T0],
    ],
  );
});

test("a host that left counts until the drain time is over, also when others change meanwhile", () => {
  let h = advanceHistory(newHistory(), config("a", "b"), T0);
  h = advanceHistory(h, config("a", "b-draining"), T0 + 10_000);
  h = advanceHistory(h, config("a", "b-draining", "c"), T0 + 20_000);
  assert.deepEqual(members(advanceHistory(h, config("a", "b-draining", "c"), T0 + 69_999)), ["ac", "a", "ab"]);
  assert.deepEqual(members(advanceHistory(h, config("a", "b-draining", "c"), T0 + 70_000)), ["ac", "a", "aB"]);
});

test("a host may have a drain time of its own, shorter or longer than that of the others", () => {
  const start = advanceHistory(newHistory(), config("a", "b", "c", "d"), T0);
  const drained = config("a", "b-draining-5", "c-draining-100", "d-draining");
  let h = advanceHistory(start, drained, T0);
  const next = () => nextDrained(Object.values(h.pools), drainTimes(drained));
  const seen: [number, string][] = [];
  for (let at = next(); at !== null; at = next()) {
    h = advanceHistory(h, drained, at);
    seen.push([(at - T0) / 1000, members(h)[1] ?? ""]);
  }
  assert.deepEqual(seen, [
    [5, "aBcd"],
    [60, "aBcD"],
    [100, "aBCD"],
  ]);
});

test("a host being drained gets no new flows and keeps its old ones, also for an agent that starts now", () => {
  const drained = advanceHistory(advanceHistory(newHistory(), config("a", "b"), T0), config("a", "b-draining"), T0 + 1000);
  assert.deepEqual(members(drained), ["a", "ab"]);
  assert.deepEqual(members(advanceHistory(newHistory(), config("a", "b-draining"), T0)), ["a", "ab"]);
  assert.deepEqual(members(advanceHistory(newHistory(), config("a", "b-down"), T0)), ["a"]);
});

test("a host that has left the configuration is gone from all generations", () => {
  const h = advanceHistory(advanceHistory(newHistory(), config("a", "b"), T0), config("a"), T0 + 1000);
  assert.deepEqual(members(h), ["a", "aB"]);
});

test("hosts keep their ids, and a new host does not get the id of one that has left", () => {
  let h = advanceHistory(newHistory(), config("a", "b", "c"), T0);
  assert.deepEqual(h.hostIds, { a: 0, b: 1, c: 2 });
  h = advanceHistory(h, config("c", "a"), T0);
  assert.deepEqual(h.hostIds, { c: 2, a: 0 });
  h = advanceHistory(h, config("d", "c", "a"), T0);
  assert.deepEqual(h.hostIds, { c: 2, a: 0, d: 3 });
});

test("services keep their slots while there are some that nobody had; then a new one gets that of one that is gone", () => {
  const served = (...names: readonly string[]) => {
    const one = config("a");
    return { ...one, services: names.map((name) => ({ ...one.services[0]!, name })) };
  };
  let h = advanceHistory(newHistory(), served("x", "y"), T0);
  h = advanceHistory(h, served("z", "y"), T0);
  assert.deepEqual(h.serviceSlots, ["x", "y", "z"]);
  const many = Array.from({ length: MAX_SERVICES - 2 }, (_, i) => `n${i}`);
  h = advanceHistory(h, served("x", "y", ...many), T0);
  assert.equal(h.serviceSlots.length, MAX_SERVICES);
  assert.deepEqual(h.serviceSlots.slice(0, 4), ["x", "y", many.at(-1), "n0"]);
  assert.equal(new Set(h.serviceSlots).size, MAX_SERVICES);
});

test("a numbering of its own has an epoch, and keeps it", () => {
  const first = newHistory();
  assert.ok(first.epoch > 0);
  assert.equal(advanceHistory(first, config("a"), T0).epoch, first.epoch);
});
