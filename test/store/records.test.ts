import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterKeys } from "../../src/store/keys.ts";
import { MAX_RECORD_BYTES, readRecord, writeRecord } from "../../src/store/records.ts";

const KEYS = clusterKeys("lab");
const WANTED = { change: 7, who: "root@s1", when: 1, why: "", config: "hosts: []" };

test("a record is read as it was written", () => {
  const value = writeRecord("wanted", WANTED);
  assert.deepEqual(readRecord("wanted", KEYS.wanted, value), { record: { format: 1, ...WANTED } });
});

test("keys sort as the changes they are of", () => {
  assert.equal(KEYS.history(42), "/hafl/lab/history/0000000042");
  assert.ok(KEYS.history(9) < KEYS.history(10));
  assert.ok(KEYS.history(9).startsWith(KEYS.allHistory) && KEYS.generations("web").startsWith(KEYS.allGenerations));
});

test("what is no such record is refused, with the key and what is wrong", () => {
  const good = writeRecord("conductor", { host: "s1", pid: 1, since: 2 });
  for (const [value, wrong] of [
    [good.slice(0, -4), /^\/k: not JSON: /],
    ["null", /^\/k: format missing/],
    [good.replace('"format":1', '"format":2'), /^\/k: format 2, this version of hafl reads format 1$/],
    [good.replace('"pid"', '"pidd"'), /^\/k: pid: /],
    [good.replace('"pid":1', '"pid":1,"more":1'), /^\/k: the record: .*more/],
    [good.replace("s1", "x".repeat(MAX_RECORD_BYTES)), /^\/k: \d+ bytes, more than/],
  ] as const) {
    const result = readRecord("conductor", "/k", value);
    assert.ok("error" in result && wrong.test(result.error), JSON.stringify(result).slice(0, 200));
  }
});
