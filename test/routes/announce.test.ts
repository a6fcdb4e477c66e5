import assert from "node:assert/strict";
import { test } from "node:test";
import type { Config } from "../../src/control/config.ts";
import { FitnessBoard } from "../../src/control/fitness.ts";
import { announcements, othersHaveRoom, type Reports } from "../../src/routes/announce.ts";
import type { HostReport } from "../../src/store/records.ts";
import { formatPrefix } from "../../src/wire/address.ts";
import { configOf } from "../support/fixture.ts";

const CONFIG = configOf(`
cluster: two
seed: 0123456789abcdef0123456789abcdef
hosts:
  - { name: e1, dip: 10.0.1.11, site: east }
  - { name: e2, dip: 10.0.1.12, site: east }
  - { name: e3, dip: 10.0.1.13, site: east }
  - { name: w1, dip: 10.0.2.11, site: west }
  - { name: w2, dip: 10.0.2.12, site: west, state: down }
services:
  - { name: web, vips: [192.0.2.1], ports: { tcp: [80] }, pool: [e1, w1] }
  - { name: tls, vips: [192.0.2.1], ports: { tcp: [443] }, pool: [e1] }
  - { name: far, vips: [192.0.2.2], ports: any, pool: [w1], sites: all }
  - { name: net, vips: [192.0.2.64/26], ports: any, pool: [e1, w1] }
egress:
  - { ip: 198.51.100.1, owners: { e1: [1] } }
`);
const ALL = ["192.0.2.1", "192.0.2.2", "192.0.2.64/26", "198.51.100.1"];

const hostOf = (config: Config, name: string) => config.hosts.find((host) => host.name === name)!;
const announced = (name: string, board = new FitnessBoard(), reports: Reports = null): string[] =>
  announcements(CONFIG, hostOf(CONFIG, name), board, reports).announced.map(formatPrefix);

const report = (host: string, changes: Partial<HostReport> = {}): HostReport => ({
  format: 1,
  host,
  when: 0,
  version: "0",
  change: 0,
  generation: 1,
  ageSeconds: 0,
  serials: {},
  refused: null,
  problems: {},
  services: {},
  load: { cpu: 0.1, pressure: 0, services: {} },
  flows: 0,
  announced: ["192.0.2.1"],
  ...changes,
});
const reports = (...list: HostReport[]): Map<string, HostReport> => new Map(list.map((one) => [one.host, one]));
const sick = { web: { healthy: false, reason: "refused" } };

test("a fit host announces VIPs, prefixes and egress IPs, each once; a host of no pool does too", () => {
  assert.deepEqual(announced("e1"), ALL);
  assert.deepEqual(announced("e2"), ALL);
});

test("a host that is not fit, or down by the config, announces nothing, and why is told", () => {
  const board = new FitnessBoard();
  board.problem("tun", "gone");
  const now = announcements(CONFIG, hostOf(CONFIG, "e1"), board, null);
  assert.deepEqual([now.announced, now.unfit, now.withheld.length], [[], "tun: gone", 4]);
  assert.match(announcements(CONFIG, hostOf(CONFIG, "w2"), new FitnessBoard(), null).unfit!, /down by the config/);
});

test("a service that is sick here is no reason: other hosts of the site serve it", () => {
  const board = new FitnessBoard();
  board.service("web", { healthy: false, reason: "refused" });
  assert.deepEqual(announced("e2", board), ALL);
});

test("a VIP that nobody of the site can serve, and another site can, is left to that one", () => {
  const board = new FitnessBoard();
  board.service("net", { healthy: false, reason: "refused" });
  // e1 is the only one of the site in the pool of net; web's VIP has another service, and far's spans the sites.
  assert.deepEqual(announced("e1", board), ["192.0.2.1", "192.0.2.2", "198.51.100.1"]);
  const { withheld } = announcements(CONFIG, hostOf(CONFIG, "e1"), board, null);
  assert.deepEqual(
    withheld.map(({ why }) => why),
    ["no host of site east serves it, hosts of site west do"],
  );
  board.service("web", { healthy: false, reason: "refused" });
  assert.deepEqual(announced("e1", board), ["192.0.2.1", "192.0.2.2", "198.51.100.1"], "tls is served here");
});

test("of the others it is known by their reports: who has none is gone, unless there are no reports at all", () => {
  assert.deepEqual(announced("e2", undefined, reports(report("e2"), report("e1"), report("w1"))), ALL);
  assert.deepEqual(announced("e2", undefined, reports(report("e2"), report("w1"))), ["192.0.2.2", "198.51.100.1"]);
  assert.deepEqual(
    announced("e2", undefined, reports(report("e2"), report("e1", { services: { net: sick.web } }), report("w1"))),
    ["192.0.2.1", "192.0.2.2", "198.51.100.1"],
  );
});

test("what nobody serves anywhere stays where it is: to withdraw it would help nobody", () => {
  assert.deepEqual(announced("e2", undefined, reports(report("e2"))), ALL);
});

test("overload: only the busiest lets go, only when others have room, and never more than half of a site", () => {
  const over = (host: string, cpu: number): HostReport =>
    report(host, { problems: { overload: "cpu" }, load: { cpu, pressure: 0, services: {} } });
  const idle = (host: string, cpu = 0.2): HostReport => report(host, { load: { cpu, pressure: 0, services: {} } });
  const e1 = hostOf(CONFIG, "e1");
  const room = (...list: HostReport[]): boolean => othersHaveRoom(CONFIG, e1, reports(...list));
  assert.equal(room(over("e1", 0.95), idle("e2"), idle("e3")), true);
  assert.equal(room(over("e1", 0.95), over("e2", 0.97), idle("e3")), false, "e2 is busier");
  const equals = reports(over("e1", 0.7), over("e2", 0.7), idle("e3", 0.1));
  assert.equal(othersHaveRoom(CONFIG, e1, equals), true, "the first of equals");
  assert.equal(othersHaveRoom(CONFIG, hostOf(CONFIG, "e2"), equals), false, "the second of equals");
  assert.equal(room(over("e1", 0.95), idle("e2", 0.5), idle("e3", 0.6)), false, "they would have too much");
  assert.equal(room(over("e1", 0.95), idle("e2", 0.1)), false, "one of three is not half of the site");
  assert.equal(
    room(over("e1", 0.95), idle("e2", 0.1), { ...idle("e3", 0.1), announced: [] }),
    false,
    "nor is one that announces",
  );
  assert.equal(othersHaveRoom(CONFIG, e1, null), false, "nothing is known of others");
  const board = new FitnessBoard();
  board.problem("overload", "cpu 0.95");
  assert.deepEqual(announced("e1", board), ALL);
  const now = announcements(CONFIG, e1, board, reports(over("e1", 0.95), idle("e2"), idle("e3"), idle("w1")));
  assert.equal(now.unfit, "overload: cpu 0.95, and others have room");
});
