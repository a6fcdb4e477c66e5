import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, clientNames, hostNames, isLabName, namespaceOf, parseNamespace } from "../../src/lab/topology.ts";
import { parseAddress } from "../../src/wire/address.ts";

test("a namespace belongs to one lab only, also when one lab's name begins with another's", () => {
  assert.deepEqual(parseNamespace(namespaceOf("a", "s1")), { lab: "a", node: "s1" });
  assert.deepEqual(parseNamespace(namespaceOf("a-b", "s1")), { lab: "a-b", node: "s1" });
  assert.equal(parseNamespace("hl-a-"), null);
  assert.equal(parseNamespace("other-a-s1"), null);
});

test("lab names are what a namespace and a directory can be called", () => {
  for (const good of ["lab", "demo-12345", "0", "a".repeat(32)]) assert.ok(isLabName(good), good);
  for (const bad of ["", "-a", "A", "a/b", "..", "a b", "a".repeat(33)]) assert.ok(!isLabName(bad), bad);
});

test("nodes count from 1 and have an address of each family", () => {
  assert.deepEqual(hostNames({ hosts: 3 }), ["s1", "s2", "s3"]);
  assert.deepEqual(clientNames({ clients: 1 }), ["c1"]);
  assert.equal(addressOf("s1", 4), "10.0.1.11");
  assert.equal(addressOf("s16", 6), "fd00:1::26");
  for (const node of ["s1", "s64", "c64"]) {
    assert.equal(parseAddress(addressOf(node, 4))?.family, 4);
    assert.equal(parseAddress(addressOf(node, 6))?.family, 6);
  }
});
