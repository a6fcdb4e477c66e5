import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import { ReportReader } from "../../src/routes/reports.ts";
import { clusterKeys } from "../../src/store/keys.ts";
import { writeRecord } from "../../src/store/records.ts";
import { type Snapshot, type Store, StoreAway } from "../../src/store/store.ts";

const keys = clusterKeys("c");
const report = (host: string): string =>
  writeRecord("hostReport", {
    host,
    when: 0,
    version: "0",
    change: 0,
    generation: 1,
    ageSeconds: 0,
    serials: {},
    refused: null,
    problems: {},
    services: {},
    load: { cpu: 0.5, pressure: 0, services: {} },
    flows: 0,
    announced: [],
  });

const entry = (host: string, value: string) => ({ key: keys.host(host), value, revision: 1 });

test("reports are read when they are asked for, what is none is left out", async () => {
  const read = async (): Promise<Snapshot> => ({ revision: 1, entries: [entry("s1", report("s1")), entry("s2", "{}")] });
  const reader = new ReportReader({ read } as unknown as Store, keys);
  const events = new EventEmitter();
  const arrived = once(events, "arrived");
  assert.equal(
    reader.latest(2, () => events.emit("arrived")),
    null,
  );
  await arrived;
  const known = reader.latest(2, () => assert.fail("read again at once"));
  assert.deepEqual([...known!.keys()], ["s1"]);
});

test("a store that is away leaves nothing known", async () => {
  let asked = 0;
  const read = (): Promise<Snapshot> => {
    asked++;
    return Promise.reject(new StoreAway("gone"));
  };
  const reader = new ReportReader({ read } as unknown as Store, keys);
  assert.equal(reader.latest(2, assert.fail), null);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(reader.latest(2, assert.fail), null);
  assert.equal(asked, 1, "and is not asked again at once");
});
