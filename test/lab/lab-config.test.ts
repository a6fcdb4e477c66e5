import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../../src/control/config.ts";
import { fullPool, labConfig } from "../../src/lab/lab-config.ts";
import type { LabSpec } from "../../src/lab/topology.ts";
import { formatAddress } from "../../src/wire/address.ts";

const SPEC: LabSpec = { name: "t", hosts: 3, clients: 2, io: "af-packet", workers: 2, weights: [3, 1, 1], dips: "both" };

function parsed(text: string) {
  const result = parseConfig(text, "lab.yaml");
  assert.ok("config" in result, JSON.stringify(result));
  return result.config;
}

test("a lab's config is valid and carries the spec", () => {
  for (const io of ["af-packet", "tun"] as const) {
    const config = parsed(labConfig({ ...SPEC, io }));
    assert.equal(config.io.mode, io);
    assert.equal(config.io.workers, 2);
    assert.deepEqual(config.hosts[0]!.dips.map(formatAddress), ["10.0.1.11", "fd00:1::11"]);
    for (const service of config.services)
      assert.deepEqual(
        service.pool.map((p) => p.weight),
        [3, 1, 1],
      );
  }
});

test("the hosts' addresses may be of one family", () => {
  assert.deepEqual(
    parsed(labConfig({ ...SPEC, dips: "6" })).hosts.map((h) => h.dips.map(formatAddress)),
    [["fd00:1::11"], ["fd00:1::12"], ["fd00:1::13"]],
  );
});

test("a pool and members other than the lab's hosts can be given", () => {
  const { s3, ...pool } = fullPool(SPEC);
  assert.equal(s3, 1);
  assert.deepEqual(
    parsed(labConfig(SPEC, pool)).services[0]!.pool.map((p) => p.host),
    ["s1", "s2"],
  );
  assert.equal(parsed(labConfig(SPEC, pool)).hosts.length, 3);
  assert.equal(parsed(labConfig(SPEC, pool, ["s1", "s2"])).hosts.length, 2);
});
