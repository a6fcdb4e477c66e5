import assert from "node:assert/strict";
import { test } from "node:test";
import { STALE_MS } from "../../src/conductor/evidence.ts";
import { World } from "../support/conductor-world.ts";
import { configOf } from "../support/fixture.ts";

function started(names: string, conductor = "{}"): World {
  const world = new World(names);
  world.conductor = conductor;
  world.decide();
  return world;
}

test("the first generations are those that every agent derives, also for a pool with a host that drains", () => {
  const world = new World("abc");
  world.host("c").state = "draining";
  const { changed } = world.decide();
  assert.deepEqual([...changed], [["web", "the first"]]);
  assert.deepEqual(
    world.pools.get("web")!.map((g) => g.hosts.map(({ name }) => name).join("")),
    ["ab", "abc"],
  );
});

test("a host whose service fails gets no new connections once the hold time is over, and keeps its old ones", () => {
  const world = started("abcde");
  world.host("c").serves = false;
  assert.ok(world.pass(1000).every(({ changed }) => changed.size === 0));
  const [outcome] = world.pass(250).filter(({ changed }) => changed.size > 0);
  assert.match(outcome!.changed.get("web")!, /^c down: connection refused$/);
  assert.equal(world.taking(), "abde");
  assert.ok(world.pools.get("web")![1]!.hosts.some(({ name, gone }) => name === "c" && gone === undefined));
});

test("a blip that is shorter than the hold time moves nothing", () => {
  const world = started("abc");
  for (let i = 0; i < 20; i++) {
    world.host("b").serves = false;
    world.pass(1000);
    world.host("b").serves = true;
    world.pass(250);
  }
  assert.equal(world.pools.get("web")![0]!.id, 1);
});

test("a host that comes back gets connections after the rise time", () => {
  const world = started("abc");
  world.host("b").serves = false;
  world.pass(2000);
  world.host("b").serves = true;
  world.pass(5000);
  assert.equal(world.taking(), "ac");
  world.pass(250);
  assert.equal(world.taking(), "abc");
});

test("a host that flaps is down longer each time, up to a limit, and it is forgotten when it behaves", () => {
  const world = started("abc", "{ riseSeconds: 4, riseMaxSeconds: 30, flapDecaySeconds: 100 }");
  const downFor: number[] = [];
  for (let i = 0; i < 6; i++) {
    world.host("b").serves = false;
    world.pass(1500);
    assert.equal(world.taking(), "ac");
    world.host("b").serves = true;
    let seconds = 0;
    for (; world.taking() !== "abc"; seconds++) world.pass(1000);
    downFor.push(seconds);
  }
  assert.deepEqual(downFor, [5, 8, 16, 30, 30, 30]);
  world.pass(650_000);
  world.host("b").serves = false;
  world.pass(1500);
  world.host("b").serves = true;
  world.pass(5000);
  assert.equal(world.taking(), "abc");
});

test("several hosts that fail at about the same time make one generation", () => {
  const world = started("abcdefgh");
  world.host("a").serves = false;
  world.pass(250);
  world.host("b").serves = false;
  world.pass(3000);
  assert.equal(world.taking(), "cdefgh");
  assert.equal(world.pools.get("web")![0]!.id, 2);
});

test("cut off from the store only, a host keeps its new connections; dead, it loses them", () => {
  const world = started("abcde");
  world.host("b").reports = false;
  world.pass(30_000);
  assert.equal(world.taking(), "abcde");
  world.host("b").serves = false;
  world.pass(1500);
  assert.equal(world.taking(), "acde");
});

test("cut off from its peers only, a host loses its new connections, and its own finding them dead takes nobody out", () => {
  const world = started("abc");
  world.host("b").reachable = false;
  world.pass(1500);
  assert.equal(world.taking(), "ac");
});

test("a host that says that itself is broken is believed, unless only what it directs suffers", () => {
  const world = started("abc");
  world.host("b").problems = { store: "no word from it for 90 s", overload: "pressure 0.9" };
  world.pass(3000);
  assert.equal(world.taking(), "abc");
  world.host("b").problems = { tun: "it is gone" };
  const reasons = world.pass(1500).flatMap(({ changed }) => [...changed.values()]);
  assert.deepEqual(reasons, ["b down: the host: tun: it is gone"]);
});

test("when nobody is heard of everything stays as it is", () => {
  const world = started("abc");
  world.host("b").serves = false;
  world.pass(1500);
  for (const host of world.hosts.values()) host.reports = false;
  world.pass(120_000);
  assert.equal(world.taking(), "ac");
});

test("more than a third within a minute freezes the pool: nobody goes out or comes in until it is better", () => {
  const world = started("abcdef");
  for (const name of "abc") world.host(name).serves = false;
  const outcomes = world.pass(60_000 * 5);
  assert.equal(world.taking(), "abcdef");
  assert.deepEqual(outcomes.at(-1)!.alarms, ["web: frozen: 3 of 6 hosts turned unhealthy within a minute: a, b, c"]);
  world.host("c").serves = true;
  world.pass(4500);
  assert.equal(world.taking(), "abcdef");
  const thawed = world.pass(3000);
  assert.equal(world.taking(), "cdef");
  assert.deepEqual(thawed.at(-1)!.alarms, []);
});

test("a third is not yet too much, nor is one host of two", () => {
  const world = started("abcdef");
  for (const name of "ab") world.host(name).serves = false;
  world.pass(3000);
  assert.equal(world.taking(), "cdef");
  const small = started("ab");
  small.host("a").serves = false;
  small.pass(3000);
  assert.equal(small.taking(), "b");
});

test("hosts that turn unhealthy one by one within a minute freeze the pool as well", () => {
  const world = started("abcde");
  for (const name of "abc") {
    world.host(name).serves = false;
    world.pass(15_000);
  }
  assert.equal(world.taking(), "bcde");
});

test("the operator's state and weights are followed while a pool is frozen, and set the rest of it free", () => {
  const world = started("abcdef");
  for (const name of "abc") world.host(name).serves = false;
  world.pass(5000);
  world.host("f").weight = 3;
  world.host("e").state = "draining";
  assert.ok(world.decide().changed.has("web"));
  assert.equal(world.taking(), "abcdf3");
  for (const name of "ab") world.host(name).state = "down";
  world.decide();
  assert.equal(world.taking(), "cdf3");
  world.pass(8000);
  assert.equal(world.taking(), "df3");
});

test("the last hosts stay in, however sick they are; who recovers takes their place", () => {
  const world = started("abc");
  for (const name of "abc") {
    world.host(name).serves = false;
    world.pass(61_000);
  }
  assert.equal(world.taking(), "c");
  assert.deepEqual(world.decide().alarms, ["web: all hosts are unhealthy, the last ones stay in"]);
  world.host("a").serves = true;
  world.pass(7000);
  assert.equal(world.taking(), "a");
});

test("when the operator drains all but the sick hosts these get the connections", () => {
  const world = started("abc");
  world.host("a").serves = false;
  world.pass(2000);
  world.host("b").state = "draining";
  world.host("c").state = "draining";
  world.decide();
  assert.equal(world.taking(), "a");
});

test("a host that is new in the pool gets connections when it is heard of and well, at once", () => {
  const world = started("abc");
  world.pass(1000);
  world.hosts.set("d", { ...world.host("a"), reports: false, serves: false });
  world.pass(20_000);
  assert.equal(world.taking(), "abc");
  world.hosts.set("d", { ...world.host("a") });
  world.pass(250);
  assert.equal(world.taking(), "abcd");
});

test("a host that the operator took out and upgraded has no flaps, and comes back when it is well", () => {
  const world = started("abc");
  world.host("b").state = "down";
  world.pass(1000);
  Object.assign(world.host("b"), { reports: false, serves: false });
  world.pass(10_000);
  world.host("b").state = "active";
  world.pass(3000);
  assert.equal(world.taking(), "ac");
  Object.assign(world.host("b"), { reports: true, serves: true });
  world.pass(250);
  assert.equal(world.taking(), "abc");
  assert.deepEqual(world.decisions.web!.hosts, {});
});

test("drained hosts leave the chains after the drain time, by generations that are written", () => {
  const world = started("abc");
  world.host("b").state = "draining";
  world.pass(60_000);
  const hosts = () => world.pools.get("web")!.map((g) => g.hosts.map((h) => (h.gone ? h.name.toUpperCase() : h.name)).join(""));
  assert.deepEqual(hosts(), ["ac", "abc"]);
  const [last] = world.pass(250);
  assert.deepEqual([...last!.changed], [["web", "drain time is over"]]);
  assert.deepEqual(hosts(), ["ac", "aBc"]);
});

test("weights follow load when there is room for it, not while a pool is frozen; a dead host does not wait for it", () => {
  const world = started("abcdef", "{ changesPerMinute: 1 }");
  const ids = () => world.pools.get("web")![0]!.id;
  for (let i = 1; i <= 20; i++) {
    world.factors = { a: 1 - i / 100 };
    world.pass(250);
  }
  assert.deepEqual([ids(), world.taking()], [4, "a0.97bcdef"]);
  world.host("b").serves = false;
  world.pass(1500);
  assert.deepEqual([ids(), world.taking()], [5, "a0.97cdef"]);
  for (const name of "cde") world.host(name).serves = false;
  world.pass(600_000);
  assert.equal(world.taking(), "a0.97cdef");
});

test("records that are not written any more say nothing, whatever time is in them", () => {
  const world = started("abc");
  world.host("b").serves = false;
  const view = { config: world.config(), sightings: world.sightings(), now: world.now, settled: true };
  for (const when of [0, 1e15]) {
    for (const { record } of view.sightings.reports.values()) Object.assign(record, { when });
    for (const { record } of view.sightings.probes.values()) Object.assign(record, { when });
  }
  world.sightings = () => view.sightings;
  world.now += STALE_MS - 250;
  world.decide();
  assert.ok(world.decisions.web!.hosts.b !== undefined, "still recent");
  world.pass(30_000);
  assert.equal(world.taking(), "abc");
});

test("what hosts say that are not in the cluster does not count", () => {
  const world = started("abc");
  for (const name of "xyz") world.hosts.set(name, { ...world.host("a"), reachable: false });
  const sightings = world.sightings();
  for (const name of "xyz") world.hosts.delete(name);
  world.sightings = () => sightings;
  world.pass(5000);
  assert.equal(world.taking(), "abc");
});

test("each site has a pool of its own where a service keeps to its site", () => {
  const world = new World("abcd");
  const text = (sites: string) => `cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts:
${[..."abcd"].map((name, i) => `  - { name: ${name}, dip: 10.0.0.${i + 1}, site: ${i < 2 ? "ams" : "fra"} }`).join("\n")}
services: [{ name: web, vips: [192.0.2.1], ports: { tcp: any }, sites: ${sites} }]
`;
  world.config = () => configOf(text("own"));
  world.decide();
  world.host("b").serves = false;
  world.pass(2000);
  const taking = () => [...world.pools].map(([pool, [newest]]) => [pool, newest!.hosts.map(({ name }) => name).join("")]);
  assert.deepEqual(taking(), [
    ["web@ams", "a"],
    ["web@fra", "cd"],
  ]);
  world.config = () => configOf(text("all"));
  assert.deepEqual(world.decide().removed, ["web@ams", "web@fra"]);
  assert.deepEqual(taking(), [["web", "abcd"]]);
});
