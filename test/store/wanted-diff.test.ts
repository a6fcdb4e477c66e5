import assert from "node:assert/strict";
import { test } from "node:test";
import { configChanges } from "../../src/store/wanted-diff.ts";
import { configOf } from "../support/fixture.ts";

const TEXT = `cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts:
  - { name: s1, dip: 10.0.1.11 }
  - { name: s2, dip: 10.0.1.12 }
services:
  - { name: web, vips: [192.0.2.1], ports: { tcp: [80] }, pool: { s1: 1, s2: 1 } }
table: { size: 101 }
`;
const changed = (...replacements: [string, string][]): { path: string; before: unknown; after: unknown }[] => {
  const text = replacements.reduce((all, [from, to]) => all.replace(from, to), TEXT);
  return configChanges(configOf(TEXT), configOf(text));
};

test("what is written otherwise but means the same is no difference; nor is a host's own part", () => {
  assert.deepEqual(changed(["{ size: 101 }", "\n  size: 101 # primes\n"], ["cluster: t", "cluster: other"]), []);
  assert.deepEqual(changed(["{ tcp: [80] }", '{ tcp: ["80-80"] }']), []);
});

test("fields are named by the entry that they are in", () => {
  assert.deepEqual(changed(["s1, dip: 10.0.1.11", "s1, dip: 10.0.1.11, state: draining, drainSeconds: 9"], ["s2: 1", "s2: 3"]), [
    { path: "hosts.s1.state", before: "active", after: "draining" },
    { path: "hosts.s1.drainSeconds", before: null, after: 9 },
    { path: "services.web.pool.s2", before: 1, after: 3 },
  ]);
});

test("what comes and goes is one change, whatever the order of the list", () => {
  const changes = changed(
    ["  - { name: s1, dip: 10.0.1.11 }\n", ""],
    ["services:", "  - { name: s3, dip: 10.0.1.13 }\nservices:"],
    ["{ s1: 1, s2: 1 }", "{ s2: 1 }"],
  );
  assert.deepEqual(
    changes.map(({ path, before, after }) => [path, before !== null, after !== null]),
    [
      ["hosts.s1", true, false],
      ["hosts.s3", false, true],
      ["services.web.pool.s1", true, false],
    ],
  );
});

test("with nothing before, every entry is new", () => {
  const paths = configChanges(null, configOf(TEXT)).map(({ path }) => path);
  assert.deepEqual(paths.slice(0, 3), ["hosts.s1", "hosts.s2", "services.web"]);
  assert.ok(paths.includes("table") && !paths.some((path) => /seed|cluster|^io/.test(path)));
});
