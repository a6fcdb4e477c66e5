import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readLiveTables } from "../../src/control/live-tables.ts";
import { Publisher } from "../../src/control/publish.ts";
import { flowsPath, historyPath } from "../../src/io/runtime-files.ts";
import { keysOf } from "../../src/steering/flow-hash.ts";
import { CONFIG, configOf, HOST } from "../support/fixture.ts";

const config = configOf(`${CONFIG}table: { drainSeconds: 77 }\nflowTable: off\n`);

function published(t: TestContext, times: number): string {
  const dir = mkdtempSync(join(tmpdir(), "hafl-live-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const publisher = Publisher.open(dir, 1, 1000);
  for (let i = 0; i < times; i++) publisher.publish(config, HOST, 1500);
  return dir;
}

test("the tables come with what they were made from, which nobody else may read", (t) => {
  for (const times of [1, 2, 3]) {
    const dir = published(t, times);
    const { tables, origin, rules } = readLiveTables(dir);
    assert.deepEqual([tables.generation, rules], [times, []]);
    const { pools, ...made } = origin!;
    const key = keysOf(config.seed).table;
    assert.deepEqual(made, { generation: times, key, drainSeconds: 77, hostDrainSeconds: {}, directorFlows: false });
    assert.deepEqual(Object.keys(pools), ["web", "home", "nobody", "six"]);
    assert.equal(statSync(historyPath(dir)).mode & 0o777, 0o600);
  }
});

test("a history of other tables, or of none, explains nothing", (t) => {
  const dir = published(t, 2);
  const history = JSON.parse(readFileSync(historyPath(dir), "utf8"));
  const next = { ...history, tables: { ...history.tables, generation: 3 } };
  for (const text of [JSON.stringify(next), "{ half a fi", "null", "{}"]) {
    writeFileSync(historyPath(dir), text);
    const { tables, origin } = readLiveTables(dir);
    assert.deepEqual([tables.generation, origin], [2, null], text);
  }
});

test("files of another version are told in one line", (t) => {
  const dir = published(t, 1);
  truncateSync(flowsPath(dir), 4096);
  assert.throws(() => readLiveTables(dir), /the tables are being replaced, or are of another version of hafl \(try again\)/);
  writeFileSync(join(dir, "control"), new Uint8Array(1024));
  assert.throws(() => readLiveTables(dir), /written by another version of hafl \(restart the agent\)/);
});
