/** Changing what is wanted: numbered, remembered, by one at a time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterKeys } from "../../src/store/keys.ts";
import { writeRecord } from "../../src/store/records.ts";
import { StoreRefused } from "../../src/store/store.ts";
import { changeWanted, KEPT_CHANGES, readCurrent, readHistory } from "../../src/store/wanted.ts";
import { MemoryStore } from "../support/memory-store.ts";

const KEYS = clusterKeys("lab");
const wish = (config: string) => ({ config, who: "me@here", why: "because" });

async function change(store: MemoryStore, config: string): Promise<number | undefined> {
  return (await changeWanted(store, KEYS, await readCurrent(store, KEYS), wish(config), 1000))?.change;
}

const report = (host: string, applied: number): string =>
  writeRecord("hostReport", {
    host,
    when: 0,
    version: "0",
    change: applied,
    generation: 1,
    ageSeconds: 0,
    serials: {},
    refused: null,
    problems: {},
    services: {},
    load: { cpu: 0, pressure: 0, services: {} },
    flows: 0,
    announced: [],
  });

test("changes are counted from 1, and all of them are remembered with who, when and why", async () => {
  const store = new MemoryStore();
  assert.deepEqual([await change(store, "a"), await change(store, "b")], [1, 2]);
  const { record, broken } = await readCurrent(store, KEYS);
  assert.equal(broken, null);
  assert.deepEqual(record, { format: 1, change: 2, when: 1000, config: "b", who: "me@here", why: "because" });
  assert.deepEqual(
    (await readHistory(store, KEYS)).map(({ change: n, config }) => [n, config]),
    [
      [1, "a"],
      [2, "b"],
    ],
  );
});

test("of two who change the same, one does and the other is told", async () => {
  const store = new MemoryStore();
  await change(store, "a");
  const [mine, others] = [await readCurrent(store, KEYS), await readCurrent(store, KEYS)];
  const done = await Promise.all([
    changeWanted(store, KEYS, mine, wish("mine")),
    changeWanted(store, KEYS, others, wish("other")),
  ]);
  assert.equal(done.filter((one) => one !== null).length, 1);
  assert.equal((await readHistory(store, KEYS)).length, 2);
});

test("a change is above all that hosts have applied: after the store was turned back too", async () => {
  const store = new MemoryStore();
  await change(store, "a");
  store.put(KEYS.host("s1"), report("s1", 7));
  store.put(KEYS.host("s2"), report("s2", 3));
  store.put(KEYS.host("s3"), "broken");
  assert.equal((await readCurrent(store, KEYS)).applied, 7);
  assert.equal(await change(store, "b"), 8);
});

test("what cannot be read any more is replaced by a change with the number after the last one remembered", async () => {
  const store = new MemoryStore();
  await change(store, "a");
  await change(store, "b");
  store.put(KEYS.wanted, "half a rec");
  const { record, broken } = await readCurrent(store, KEYS);
  assert.equal(record, null);
  assert.match(broken!, /wanted: not JSON/);
  assert.equal(await change(store, "c"), 3);
});

test("what others have written without remembering it is remembered before it is replaced", async () => {
  const store = new MemoryStore();
  store.put(KEYS.wanted, writeRecord("wanted", { change: 4, who: "file", when: 5, why: "", config: "by hand" }));
  assert.equal(await change(store, "b"), 5);
  assert.deepEqual(
    (await readHistory(store, KEYS)).map(({ change: n, config }) => [n, config]),
    [
      [4, "by hand"],
      [5, "b"],
    ],
  );
});

test("a number that one host or one record made up is not counted on", async () => {
  const store = new MemoryStore();
  for (const config of ["a", "b", "c"]) await change(store, config);
  for (const host of ["s1", "s2", "s3"]) store.put(KEYS.host(host), report(host, 3));
  store.put(KEYS.host("s4"), report("s4", 2 ** 40 - 1));
  assert.equal((await readCurrent(store, KEYS)).applied, 3);
  assert.equal(await change(store, "d"), 4);
  store.put(KEYS.wanted, writeRecord("wanted", { change: 2 ** 40 - 1, who: "x", when: 5, why: "", config: "evil" }));
  assert.match((await readCurrent(store, KEYS)).broken!, /change 1099511627775 was made up/);
  assert.equal(await change(store, "e"), 5);
  store.put(KEYS.wanted, writeRecord("wanted", { change: Number.MAX_SAFE_INTEGER, who: "x", when: 5, why: "", config: "evil" }));
  assert.match((await readCurrent(store, KEYS)).broken!, /wanted: change: /);
  assert.equal(await change(store, "f"), 6);
});

test("a change that no agent would read is not written", async () => {
  const store = new MemoryStore();
  store.put(KEYS.wanted, writeRecord("wanted", { change: 2 ** 40 - 1, who: "x", when: 5, why: "", config: "a" }));
  await assert.rejects(change(store, "b"), StoreRefused);
  assert.equal((await readCurrent(store, KEYS)).record?.config, "a");
});

test("old changes are forgotten", async () => {
  const store = new MemoryStore();
  for (let i = 1; i <= KEPT_CHANGES + 3; i++) await change(store, `${i}`);
  const history = await readHistory(store, KEYS);
  assert.deepEqual([history.length, history[0]!.change, history.at(-1)!.change], [KEPT_CHANGES, 4, KEPT_CHANGES + 3]);
});

test("what is too large for a transaction is refused before it is sent", async () => {
  const store = new MemoryStore();
  await assert.rejects(change(store, "x".repeat(800_000)), StoreRefused);
  assert.deepEqual(store.commits, []);
});
