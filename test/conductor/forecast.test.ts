/** What a change will move: as the tables say that are made of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { forecast } from "../../src/conductor/forecast.ts";
import { configChains } from "../../src/control/offline.ts";
import { movedBuckets } from "../../src/steering/generations.ts";
import { configOf } from "../support/fixture.ts";

const config = (hosts: string, size = 1009) =>
  configOf(`cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts:
${hosts
  .split(" ")
  .map((text, i) => {
    const [name, state = "active", weight = "1"] = text.split("-");
    return `  - { name: ${name}, dip: 10.0.0.${i + 1}, state: ${state}, weight: ${weight} }`;
  })
  .join("\n")}
services: [{ name: web, vips: [192.0.2.1], ports: { tcp: any } }]
table: { size: ${size} }
`);

test("a host that drains gives its buckets to the others, and no others move much", () => {
  const [before, after] = [config("a b c"), config("a b-draining c")];
  const [web] = forecast(before, after);
  const chains = (of: typeof before) => configChains(of).get("web")!;
  assert.equal(web!.moved, movedBuckets(chains(before), chains(after)));
  const from = web!.moves.filter((move) => move.from === "b").reduce((sum, { buckets }) => sum + buckets, 0);
  assert.ok(from > 300 && from <= web!.moved && web!.moved < from * 1.1, JSON.stringify(web));
  assert.ok(web!.moves.every(({ to }) => to === "a" || to === "c"));
});

test("what changes nothing for the tables moves nothing", () => {
  const [web] = forecast(config("a b c"), config("a b c"));
  assert.deepEqual(web, { pool: "web", buckets: 1009, moved: 0, moves: [] });
});

test("it begins with the generations that there are, and with what was decided of the hosts", () => {
  const given = new Map([
    [
      "web",
      [
        {
          id: 5,
          time: 0,
          hosts: [
            { name: "a", weight: 1 },
            { name: "c", weight: 1 },
          ],
        },
      ],
    ],
  ]);
  const down = { up: false, since: 0, turned: null, flaps: 1, reason: "sick" };
  const decisions = { web: { hosts: { b: down }, frozen: null, budget: { at: 0, left: 5 }, factors: {} } };
  // b is sick: that it is to drain moves nothing now.
  assert.equal(forecast(config("a b c"), config("a b-draining c"), given, decisions)[0]!.moved, 0);
  const [web] = forecast(config("a b c"), config("a-draining b c"), given, decisions);
  assert.deepEqual(
    web!.moves.map(({ from, to }) => [from, to]),
    [["a", "c"]],
  );
});

test("of a cluster that begins, and of a table of another size, every bucket comes from nobody", () => {
  for (const before of [null, config("a b", 503)]) {
    const [web] = forecast(before, config("a b"));
    assert.deepEqual([web!.moved, web!.moves.every(({ from }) => from === null)], [1009, true]);
  }
});
