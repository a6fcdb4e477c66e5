import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "prom-client";
import type { ConductorState } from "../../src/conductor/conductor.ts";
import { conductorFamilies, loadFamilies, storeFamilies } from "../../src/metrics/cluster.ts";
import { type Family, register } from "../../src/metrics/family.ts";
import { promtool, promtoolObstacle } from "../support/promtool.ts";

async function shown(families: readonly Family[]): Promise<string[]> {
  const registry = new Registry();
  for (const family of families) register(registry, family);
  const text = await registry.metrics();
  if (promtoolObstacle === false) assert.deepEqual(promtool(text), []);
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

test("a host that follows a store: what is applied, and how old that is", async () => {
  const applied = { change: 42, serials: { web: 7 }, revision: 1001, ageSeconds: 2.5, refused: "wanted: not JSON" };
  assert.deepEqual(await shown(storeFamilies(() => applied)), [
    "hafl_store_change 42",
    "hafl_store_revision 1001",
    "hafl_store_age_seconds 2.5",
    "hafl_store_refused 1",
    'hafl_pool_serial{pool="web"} 7',
  ]);
});

test("load: nothing as long as nothing is known", async () => {
  assert.deepEqual(await shown(loadFamilies(() => null)), []);
  const load = { cpu: 0.5, pressure: 0.25, services: { web: 1.5 } };
  assert.deepEqual(await shown(loadFamilies(() => load as never)), [
    'hafl_load_ratio{of="cpu"} 0.5',
    'hafl_load_ratio{of="pressure"} 0.25',
    'hafl_service_load_ratio{service="web"} 1.5',
  ]);
});

test("the conductor: who it is, and what it holds", async () => {
  const standing = { since: 0, turned: null, flaps: 0, reason: "" };
  const pools = {
    web: {
      hosts: { s1: { ...standing, up: false }, s2: { ...standing, up: true } },
      frozen: { since: 1, why: "half of it", calm: null },
      budget: { at: 0, left: 1 },
      factors: {},
    },
  };
  const conducts: ConductorState = {
    role: "conductor",
    storeAnswers: true,
    elections: 2,
    rejected: 1,
    written: 5,
    alarms: ["frozen"],
    decisions: pools,
  };
  const lines = await shown(conductorFamilies(() => conducts));
  for (const line of [
    "hafl_conductor 1",
    "hafl_conductor_candidate 1",
    "hafl_conductor_elections_total 2",
    "hafl_conductor_rejected_total 1",
    "hafl_conductor_written_total 5",
    "hafl_conductor_alarms 1",
    'hafl_conductor_frozen{pool="web"} 1',
    'hafl_conductor_hosts_down{pool="web"} 1',
  ])
    assert.ok(lines.includes(line), line);
  const off = await shown(conductorFamilies(() => ({ ...conducts, role: "off", alarms: [], decisions: {} })));
  assert.ok(off.includes("hafl_conductor 0") && off.includes("hafl_conductor_candidate 0"));
  assert.ok(!off.some((line) => line.includes("{")));
});
