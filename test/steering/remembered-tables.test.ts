import assert from "node:assert/strict";
import { test } from "node:test";
import { chainTable, type Generation } from "../../src/steering/generations.ts";
import { RememberedTables } from "../../src/steering/remembered-tables.ts";

const KEY = [1, 2] as const;
const SIZE = 1009;
const hosts = (weight: number) => [
  { name: "a", weight: 1 },
  { name: "b", weight },
];
const FIRST: Generation[] = [{ id: 1, time: 1000, hosts: hosts(1) }];
const SECOND: Generation[] = [
  { id: 2, time: 2000, hosts: hosts(3) },
  { ...FIRST[0]!, superseded: 2000 },
];

test("chains are made once as long as they are used, and are those that chainTable makes", () => {
  const remembered = new RememberedTables();
  const first = remembered.chains(FIRST, SIZE, KEY);
  assert.deepEqual(first, chainTable(FIRST, SIZE, KEY));
  remembered.forgetUnused();
  const second = remembered.chains(SECOND, SIZE, KEY);
  assert.deepEqual(second, chainTable(SECOND, SIZE, KEY));
  assert.equal(remembered.chains(structuredClone(SECOND), SIZE, KEY), second);
  remembered.forgetUnused();
  assert.equal(remembered.chains(SECOND, SIZE, KEY), second);
  assert.notEqual(remembered.chains(SECOND, 2003, KEY), second);
  remembered.forgetUnused();
  assert.notEqual(remembered.chains(FIRST, SIZE, KEY), first, "it was not asked for since");
});

test("tables of generations whose chains were known are there when a generation is added", () => {
  const remembered = new RememberedTables();
  const table = remembered.build(hosts(1), SIZE, KEY);
  for (let i = 0; i < 2; i++) {
    remembered.chains(FIRST, SIZE, KEY);
    remembered.forgetUnused();
  }
  assert.equal(remembered.build(hosts(1), SIZE, KEY), table);
});
