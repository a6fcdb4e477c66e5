import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../../src/control/config.ts";
import { freshCluster } from "../../src/control/offline.ts";
import { atSite, forHost, sitesOf } from "../../src/control/site.ts";
import { configOf } from "../support/fixture.ts";

const text = (more = "", state = "active"): string => `
cluster: two
seed: 0123456789abcdef0123456789abcdef
hosts:
  - { name: e1, dip: 10.0.1.11, site: east }
  - { name: e2, dip: 10.0.1.12, site: east, state: ${state} }
  - { name: w1, dip: 10.0.2.11, site: west, state: ${state} }
services:
  - { name: web, vips: [192.0.2.1], ports: any, pool: { e1: 2, e2: 1, w1: 1 } }
  - { name: far, vips: [192.0.2.2], ports: any, sites: all }
  - { name: east, vips: [192.0.2.3], ports: any, pool: [e1] }
${more}`;

const members = (config: ReturnType<typeof configOf>): Record<string, string[]> =>
  Object.fromEntries(config.services.map(({ name, pool }) => [name, pool.map(({ host }) => host)]));

test("a pool is the site's own hosts, unless the service spans all sites or the site has none", () => {
  const config = configOf(text());
  assert.deepEqual(sitesOf(config), ["east", "west"]);
  assert.deepEqual(members(atSite(config, "east")), { web: ["e1", "e2"], far: ["e1", "e2", "w1"], east: ["e1"] });
  assert.deepEqual(members(forHost(config, "w1")), { web: ["w1"], far: ["e1", "e2", "w1"], east: ["e1"] });
  assert.deepEqual(atSite(config, "east").services[0]!.pool[0], { host: "e1", weight: 2 });
});

test("while no host of the site takes new flows, those of the others do", () => {
  for (const state of ["draining", "down"])
    assert.deepEqual(members(forHost(configOf(text("", state)), "w1")), {
      web: ["e1", "e2", "w1"],
      far: ["e1", "e2", "w1"],
      east: ["e1"],
    });
});

test("without sites, or with a single one, nothing is other than written", () => {
  const config = configOf(text().replaceAll(/, site: \w+/g, ""));
  assert.equal(forHost(config, "e1"), config);
  const single = configOf(text().replaceAll("west", "east"));
  assert.equal(forHost(single, "e1"), single);
});

test("tables of a host have the pools of its site", () => {
  const cluster = freshCluster(configOf(text()), 0);
  const owners = (host: string): number[] => [...new Set(cluster.tablesFor(host).pools[0]!.planes[0])].sort();
  assert.deepEqual([owners("e1"), owners("e2"), owners("w1")], [[0, 1], [0, 1], [2]]);
});

test("bgp: what is wrong is named", () => {
  const errors = (more: string): string[] => {
    const result = parseConfig(text(more), "c.yaml");
    return "errors" in result ? result.errors : [];
  };
  const low = text("bgp: bird").replace("site: west", "site: west, preference: 3");
  const result = parseConfig(low, "c.yaml");
  assert.deepEqual("errors" in result && result.errors, [
    "c.yaml: bgp.as: missing, and hosts[2] has a preference below 10 (write the AS number to be prepended, or weigh: med)",
  ]);
  for (const fine of ["bgp: bird", "bgp: off", "bgp: { weigh: med }", "bgp: { as: 65001, withdrawDelay: 0 }"])
    assert.deepEqual(errors(fine), [], fine);
  assert.match(errors("bgp: quagga")[0]!, /^c\.yaml: bgp: "quagga" is not a map \(write bird, off, or/);
  assert.match(errors("bgp: { socket: bird.ctl }")[0]!, /^c\.yaml: bgp\.socket: "bird\.ctl" is not an absolute path/);
  assert.match(errors("bgp: { protocol: our_own }")[0]!, /^c\.yaml: bgp\.protocol: /);
  assert.match(errors("bgp: { tables: { ipv4: 4 } }")[0]!, /^c\.yaml: bgp\.tables\.ipv4: /);
  assert.match(errors("bgp: { sokcet: /x }")[0]!, /^c\.yaml: bgp\.sokcet: .*did you mean "socket"/);
  assert.match(errors("bgp: { kind: frr }")[0]!, /^c\.yaml: bgp\.kind: /);
});
