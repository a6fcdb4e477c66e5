import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Publisher } from "../../src/control/publish.ts";
import { native } from "../../src/io/native.ts";
import {
  bankPath,
  controlPath,
  countersPath,
  flowsPath,
  historyPath,
  mapBank,
  mapControl,
  mapKept,
} from "../../src/io/runtime-files.ts";
import {
  bankBytes,
  bankOf,
  bankSerial,
  controlWords,
  currentGeneration,
  letRun,
  markSeen,
  mayRun,
} from "../../src/shm/control-block.ts";
import { COUNTERS_LAYOUT, countersBytes, countService, readCounters, workerBlock } from "../../src/shm/counters.ts";
import { flowTableBytes } from "../../src/shm/flow-table.ts";
import {
  bucketOf,
  createTables,
  findService,
  findVip4,
  hopOf,
  load,
  portlessService,
  readNames,
} from "../../src/shm/forwarding-table.ts";
import { NO_HOST } from "../../src/steering/maglev.ts";
import { configOf } from "../support/fixture.ts";

const FLOWS = 1000;
const MTU = 1500;

const config = (hosts: number, services = 1) =>
  configOf(`cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts:
${Array.from({ length: hosts }, (_, i) => `  - { name: s${i}, dip: 10.0.0.${i + 1} }`).join("\n")}
services:
${Array.from({ length: services }, (_, i) => `  - { name: w${i}, vips: [192.0.2.${i + 1}], ports: { tcp: any }, pool: { s0: ${i + 1}, s${hosts - 1}: 1 } }`).join("\n")}
table: { size: 1009 }
io: { workers: 2 }
`);

function runtimeDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "hafl-publish-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** The current tables, opened as a worker does. */
function current(dir: string) {
  const control = controlWords(mapControl(dir, false));
  const generation = currentGeneration(control);
  const bank = bankOf(generation);
  const buffer = mapBank(dir, bank, bankSerial(control, bank), bankBytes(control, bank), false);
  const tables = createTables();
  load(tables, buffer);
  return { control, generation, tables, names: readNames(buffer), bytes: buffer.byteLength };
}

test("what is published is what a worker reads, in one bank after the other", (t) => {
  const dir = runtimeDir(t);
  const publisher = Publisher.open(dir, 2, FLOWS);
  const first = publisher.publish(config(3), "s1", MTU);
  assert.equal(first.generation, 1);
  assert.equal(current(dir).tables.generation, 1);
  const second = publisher.publish(config(4), "s1", MTU);
  assert.equal(second.generation, 2);
  const { tables, names } = current(dir);
  assert.equal(tables.generation, 2);
  assert.deepEqual([...names.hosts.values()], ["s0", "s1", "s2", "s3"]);
  const first4 = Array.from({ length: 1009 }, (_, bucket) => hopOf(tables, 0, bucket, 0));
  assert.ok(first4.every((id) => id === 0 || id === 3));
  assert.ok(
    Array.from({ length: 1009 }, (_, bucket) => hopOf(tables, 0, bucket, 1)).some((id) => id !== NO_HOST),
    "older owners follow",
  );
  assert.ok([0, -1, 1 << 31, 0x7fffffff].every((hash) => bucketOf(tables, hash) < 1009));
  const share = second.pools[0]!.share;
  assert.ok(share > 0.4 && share < 0.75, `one of two hosts was exchanged: ${share}`);
});

test("a bank that grows becomes a new file, and readers of the old one are not disturbed", (t) => {
  const dir = runtimeDir(t);
  const publisher = Publisher.open(dir, 1, FLOWS);
  publisher.publish(config(3), "s1", MTU);
  publisher.publish(config(3), "s1", MTU);
  const before = current(dir);
  publisher.publish(config(3), "s1", MTU);
  publisher.publish(config(3, 40), "s1", MTU);
  const after = current(dir);
  assert.ok(after.bytes > before.bytes);
  assert.ok(!existsSync(bankPath(dir, 0, 1)), "the small one is gone");
  assert.equal(after.names.services.size, 40);
});

test("what is counted of a service stays its own when others before it go, come back, or change places", (t) => {
  const dir = runtimeDir(t);
  const vips: Record<string, number> = { a: 1, b: 2, c: 3, d: 4 };
  const those = (...names: string[]) =>
    configOf(`cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts: [{ name: s0, dip: 10.0.0.1 }]
services:
${names.map((name) => `  - { name: ${name}, vips: [192.0.2.${vips[name]}], ports: { tcp: [80, 90-99] } }`).join("\n")}
table: { size: 1009 }
`);
  /** Counts as a worker does, for each service so many packets; gives what a reader then sees. */
  const packets = (counts: Record<string, number>): Record<string, number> => {
    const { tables, names } = current(dir);
    const buffer = mapKept(countersPath(dir), countersBytes(2), COUNTERS_LAYOUT);
    for (const [name, count] of Object.entries(counts)) {
      const vip = findVip4(tables, (0xc0000200 + vips[name]!) | 0);
      const service = findService(tables, vip, false, 80);
      assert.equal(findService(tables, vip, false, 95), service);
      assert.equal(portlessService(tables, vip), service);
      assert.equal(hopOf(tables, service, 5, 0), 0, "its chains are there too");
      countService(workerBlock(buffer, 1), service, count, 100 * count);
    }
    const { perService } = readCounters(buffer, names.hosts, names.services);
    return Object.fromEntries(Object.entries(perService).map(([name, { packets }]) => [name, packets]));
  };
  let publisher = Publisher.open(dir, 2, FLOWS);
  publisher.publish(those("a", "b", "c"), "s0", MTU);
  assert.deepEqual(packets({ a: 1, b: 20, c: 300 }), { a: 1, b: 20, c: 300 });
  publisher.publish(those("c", "b"), "s0", MTU);
  assert.deepEqual(packets({ b: 1 }), { c: 300, b: 21 });
  publisher = Publisher.open(dir, 2, FLOWS);
  publisher.publish(those("d", "c", "a", "b"), "s0", MTU);
  assert.deepEqual(packets({ a: 1, d: 4000 }), { d: 4000, c: 300, a: 2, b: 21 });
});

test("nothing is written over tables that a worker still reads", (t) => {
  const dir = runtimeDir(t);
  const publisher = Publisher.open(dir, 2, FLOWS);
  publisher.publish(config(3), "s1", MTU);
  const { control } = current(dir);
  markSeen(control, 0, 1);
  publisher.publish(config(4), "s1", MTU);
  assert.throws(() => publisher.publish(config(3), "s1", MTU), /worker has not taken up generation 2/);
  assert.equal(currentGeneration(control), 2, "nothing has changed");
  markSeen(control, 0, 2);
  assert.equal(publisher.publish(config(3), "s1", MTU).generation, 3);
});

test("a restarted agent goes on: generations, host ids and flows stay", (t) => {
  const dir = runtimeDir(t);
  Publisher.open(dir, 2, FLOWS).publish(config(3), "s1", MTU);
  const flows = native().mapFile(flowsPath(dir), flowTableBytes(FLOWS), false);
  new Int32Array(flows)[100] = 4711;
  const again = Publisher.open(dir, 2, FLOWS);
  assert.equal(again.publish(config(4), "s1", MTU).generation, 2);
  assert.equal(new Int32Array(native().mapFile(flowsPath(dir), flowTableBytes(FLOWS), false))[100], 4711);
});

test("flows are forgotten when the numbering of hosts is lost", (t) => {
  const dir = runtimeDir(t);
  Publisher.open(dir, 2, FLOWS).publish(config(3), "s1", MTU);
  new Int32Array(native().mapFile(flowsPath(dir), flowTableBytes(FLOWS), false))[100] = 4711;
  assert.ok(readFileSync(historyPath(dir), "utf8").includes("hostIds"));
  writeFileSync(historyPath(dir), "{ half a fi");
  Publisher.open(dir, 2, FLOWS).publish(config(3), "s1", MTU);
  assert.equal(new Int32Array(native().mapFile(flowsPath(dir), flowTableBytes(FLOWS), false))[100], 0);
});

/** All bytes of a runtime directory. */
const contents = (dir: string): Map<string, Buffer> =>
  new Map(
    readdirSync(dir)
      .sort()
      .map((name) => [name, readFileSync(join(dir, name))]),
  );

test("who takes over changes nothing, and then publishes what comes after", (t) => {
  const dir = runtimeDir(t);
  Publisher.open(dir, 2, FLOWS).publish(config(3), "s1", MTU);
  const { control } = current(dir);
  letRun(control, 4711);
  markSeen(control, 0, 1);
  new Int32Array(native().mapFile(flowsPath(dir), flowTableBytes(FLOWS), false))[100] = 4711;
  const before = contents(dir);
  const publisher = Publisher.adopt(dir, config(3), FLOWS);
  assert.equal(publisher.generation, 1);
  assert.deepEqual(contents(dir), before);
  const { generation, pools } = publisher.publish(config(4), "s1", MTU);
  assert.equal(generation, 2);
  assert.ok(pools[0]!.share > 0.4 && pools[0]!.share < 0.75, "against the tables of the agent before");
  assert.ok(mayRun(control, 4711));
  assert.throws(() => publisher.publish(config(3), "s1", MTU), /worker has not taken up generation 2/, "its workers count");
});

test("what is not as this version makes it is not taken over, and stays as it is", (t) => {
  const wrong: [what: string, spoil: (dir: string) => void, flows: number, message: RegExp][] = [
    ["another number of flows", () => {}, 2 * FLOWS, /\/flows: \d+ bytes long, \d+ wanted/],
    ["fewer flows", () => {}, FLOWS / 2, /\/flows: of another layout than this version's/],
    ["no counters", (dir) => rmSync(join(dir, "counters")), FLOWS, /counters: ENOENT/],
    ["a short file", (dir) => truncateSync(join(dir, "syns"), 4096), FLOWS, /\/syns: 4096 bytes long/],
    [
      "another version's control block",
      (dir) => {
        new Int32Array(mapControl(dir, false))[1] = 1;
      },
      FLOWS,
      /\/control: of another layout/,
    ],
    [
      "another numbering of hosts",
      (dir) => writeFileSync(historyPath(dir), "{}"),
      FLOWS,
      /generations\.json: not that of the flow table/,
    ],
    ["no tables", (dir) => rmSync(bankPath(dir, 1, 1)), FLOWS, /tables-1\.1: ENOENT/],
  ];
  for (const [what, spoil, flows, message] of wrong) {
    const dir = runtimeDir(t);
    Publisher.open(dir, 2, FLOWS).publish(config(3), "s1", MTU);
    assert.ok(existsSync(controlPath(dir)));
    spoil(dir);
    const before = contents(dir);
    assert.throws(() => Publisher.adopt(dir, config(3), flows), message, what);
    assert.deepEqual(contents(dir), before, what);
  }
});
