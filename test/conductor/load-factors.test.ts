import assert from "node:assert/strict";
import { test } from "node:test";
import { type Factors, LoadFactors, type LoadView, useOf } from "../../src/conductor/load-factors.ts";
import { type Config, parseConfig } from "../../src/control/config.ts";

function config(more = "", host = ""): Config {
  const result = parseConfig(
    `
cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts:
${[1, 2, 3, 4].map((n) => `  - { name: s${n}, dip: 10.0.1.${n}${host === "" ? "" : `, site: ${n <= 2 ? "ams" : "fra"}`} }`).join("\n")}
services:
  - { name: web, vips: [192.0.2.10], ports: { tcp: 80 } }
  - { name: own, vips: [192.0.2.11], ports: { tcp: 80 }, load: { command: [busy] } }
${more}`,
    "f",
  );
  assert.ok("config" in result, JSON.stringify(result));
  return result.config;
}

const cpu = (uses: Readonly<Record<string, number>>, own: Readonly<Record<string, number>> = {}): LoadView["loadOf"] => {
  return (host) =>
    host in uses
      ? { cpu: uses[host]!, pressure: 0, services: host in own ? ({ own: own[host]! } as Record<string, number>) : {} }
      : null;
};
const everybody = (): boolean => true;
const steps = (
  factors: LoadFactors,
  view: LoadView,
  count: number,
  isFree: (service: string) => boolean = everybody,
): Factors => {
  let last: Factors = {};
  for (let i = 0; i < count; i++) last = factors.step(view, isFree);
  return last;
};

test("use is the service's own measure, else CPU and pressure together", () => {
  const [web, own] = config().services as [Config["services"][0], Config["services"][0]];
  const load = { cpu: 0.9, pressure: 0.3, services: { own: 0.1 } };
  assert.equal(useOf(web, load), 1.2);
  assert.equal(useOf(own, load), 0.1);
  assert.equal(useOf(own, { ...load, services: {} }), null);
  assert.equal(useOf(web, null), null);
});

test("each service follows its own measure", () => {
  const view: LoadView = {
    config: config(),
    loadOf: cpu({ s1: 0.9, s2: 0.5, s3: 0.5, s4: 0.5 }, { s1: 0.5, s2: 0.5, s3: 0.9, s4: 0.5 }),
    takes: everybody,
  };
  const { web, own } = steps(new LoadFactors({}), view, 6);
  assert.ok(web!.s1! < 1 && own!.s3! < 1, JSON.stringify({ web, own }));
  assert.ok((web!.s3 ?? 1) >= 1 && (own!.s1 ?? 1) >= 1);
});

test("a service that may not be moved keeps its factors, the very same; one that is off has none", () => {
  const view: LoadView = { config: config(), loadOf: cpu({ s1: 0.9, s2: 0.5, s3: 0.5, s4: 0.5 }), takes: everybody };
  const before = { web: { s1: 0.5 } };
  const after = steps(new LoadFactors(before), view, 5, () => false);
  assert.equal(after.web, before.web);
  assert.deepEqual(steps(new LoadFactors(before), { ...view, config: config("load: { control: off }") }, 5), {});
});

test("nothing to be moved: the same objects; factors of hosts that take no flows now are kept", () => {
  const before = { web: { s1: 0.5, s2: 1.5 }, own: {} };
  const view: LoadView = {
    config: config(),
    loadOf: cpu({ s2: 0.5, s3: 0.5, s4: 0.5 }),
    takes: (_, host) => host !== "s1",
  };
  const after = steps(new LoadFactors(before), view, 5);
  assert.equal(after.web, before.web);
});

test("hosts are compared with those of their own site", () => {
  const loads = cpu({ s1: 0.3, s2: 0.3, s3: 0.9, s4: 0.9 });
  const apart = steps(new LoadFactors({}), { config: config("", "site"), loadOf: loads, takes: everybody }, 10);
  assert.deepEqual(apart.web, {});
  const together = steps(new LoadFactors({}), { config: config(), loadOf: loads, takes: everybody }, 10);
  assert.ok(together.web!.s3! < together.web!.s1!);
});

test("a host that leaves the pool leaves the factors", () => {
  const four = config();
  const factors = new LoadFactors({ web: { s1: 0.5, s9: 0.4 } });
  const even = cpu({ s1: 0.5, s2: 0.5, s3: 0.5, s4: 0.5 });
  assert.deepEqual(factors.step({ config: four, loadOf: even, takes: everybody }, everybody).web, { s1: 0.5 });
});
