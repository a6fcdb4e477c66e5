import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FileStore } from "../../src/store/file-store.ts";
import { clusterKeys } from "../../src/store/keys.ts";
import { readRecord, type WantedRecord, writeRecord } from "../../src/store/records.ts";
import { type Change, type Store, StoreAway, StoreRefused } from "../../src/store/store.ts";
import { testStore, until } from "../support/store-contract.ts";

const KEYS = clusterKeys("lab");
const LOCAL = "# ours\ncluster: lab\nseed: 0123456789abcdef0123456789abcdef\n";
const WANTED = "hosts:\n  # the first\n  - { name: s1, dip: 10.0.1.11 }\n";

interface Place {
  readonly file: string;
  open(): FileStore;
}

function place(t: TestContext, text: string | null = LOCAL + WANTED): Place {
  const dir = mkdtempSync(join(tmpdir(), "hafl-file-store-"));
  const file = join(dir, "lab.yaml");
  if (text !== null) writeFileSync(file, text, { mode: 0o640 });
  const stores: Store[] = [];
  t.after(async () => {
    await Promise.all(stores.map((store) => store.close()));
    rmSync(dir, { recursive: true });
  });
  const open = (): FileStore => {
    const store = new FileStore(file, KEYS.wanted);
    stores.push(store);
    return store;
  };
  return { file, open };
}

testStore("file", async (t) => {
  const { open } = place(t as TestContext, null);
  return { store: open(), another: open };
});

async function wantedIn(store: Store): Promise<WantedRecord & { revision: number }> {
  const { entries } = await store.read(KEYS.wanted);
  const result = readRecord("wanted", KEYS.wanted, entries[0]!.value);
  assert.ok("record" in result, JSON.stringify(result));
  return { ...result.record, revision: entries[0]!.revision };
}

test("what is wanted is the file, without the parts that are this host's own", async (t) => {
  const { file, open } = place(t);
  const store = open();
  const { change, who, config, revision } = await wantedIn(store);
  assert.deepEqual([change, who, config], [1, "file", WANTED]);
  const value = writeRecord("wanted", { change: 2, who: "me", when: 5, why: "more", config: `${WANTED}table: { size: 1009 }\n` });
  assert.ok((await store.commit([{ key: KEYS.wanted, revision }], [{ key: KEYS.wanted, value }])).done);
  const written = readFileSync(file, "utf8");
  for (const part of ["cluster: lab", "seed: 0123456789abcdef0123456789abcdef", "# the first", "table: { size: 1009 }"])
    assert.ok(written.includes(part), `${part} in\n${written}`);
  assert.equal(statSync(file).mode & 0o777, 0o640);
  const { revision: at, ...now } = await wantedIn(open());
  assert.deepEqual([now.change, now.who, now.why, at > revision], [2, "me", "more", true]);
});

test("the file written by hand is the next change, is told, and is in the way of a commit that does not know it", async (t) => {
  const { file, open } = place(t);
  const store = open();
  const { revision } = await wantedIn(store);
  const seen: Change[] = [];
  store.watch(KEYS.prefix, (await store.read(KEYS.prefix)).revision, {
    changed: (changes) => void seen.push(...changes),
    lost: assert.fail,
  });
  writeFileSync(`${file}.edited`, `${LOCAL}${WANTED.replace(".11", ".12")}`);
  renameSync(`${file}.edited`, file);
  const value = writeRecord("wanted", { change: 2, who: "me", when: 5, why: "", config: WANTED });
  assert.deepEqual(await store.commit([{ key: KEYS.wanted, revision }], [{ key: KEYS.wanted, value }]), { done: false });
  await until("the change is told", () => seen.some(({ key }) => key === KEYS.wanted));
  const { change, config } = await wantedIn(store);
  assert.deepEqual([change, config], [2, WANTED.replace(".11", ".12")]);
});

test("a file that is gone for a moment is no change; a broken one is a change, as it is", async (t) => {
  const { file, open } = place(t);
  const store = open();
  const before = await wantedIn(store);
  rmSync(file);
  assert.deepEqual(await wantedIn(store), before);
  writeFileSync(file, "hosts: [");
  const { change, config } = await wantedIn(store);
  assert.deepEqual([change, config], [2, "hosts: ["]);
  const write = (config: string) =>
    store.commit([], [{ key: KEYS.wanted, value: writeRecord("wanted", { change: 3, who: "", when: 0, why: "", config }) }]);
  await assert.rejects(write(WANTED), (error: Error) => error instanceof StoreRefused && /repair it first/.test(error.message));
  assert.equal(readFileSync(file, "utf8"), "hosts: [");
});

test("who holds a lease and is not heard of any more has lost it, and what was written with it", async (t) => {
  const { file, open } = place(t);
  const store = open();
  const lease = await store.lease(60);
  await store.commit([], [{ key: KEYS.conductor, value: "me", lease }]);
  const other = open();
  assert.equal((await other.read(KEYS.conductor)).entries.length, 1);
  // As if it had been stopped for longer than that.
  const past = new Date(Date.now() - 61_000);
  utimesSync(join(`${file}.store`, "leases", lease.id), past, past);
  assert.equal((await other.read(KEYS.conductor)).entries.length, 0);
  await assert.rejects(store.commit([], [{ key: KEYS.conductor, value: "me again", lease }]), StoreRefused);
  assert.deepEqual(readdirSync(join(`${file}.store`, "leases")), []);
});

test("a watch from before what is remembered is lost; values that were replaced are not kept", async (t) => {
  const { file, open } = place(t, null);
  const store = open();
  const writes = (value: string | null) => Array.from({ length: 1001 }, (_, i) => ({ key: `/a/${i}`, value }));
  await store.commit([], writes("x"));
  await store.commit([], writes(null));
  let lost = "";
  store.watch("/a/", 1, {
    changed: () => assert.fail("changes"),
    lost: (reason) => {
      lost = reason;
    },
  });
  await until("the watch is lost", () => lost !== "");
  assert.match(lost, /not known any more/);
  assert.deepEqual(readdirSync(join(`${file}.store`, "values")), []);
});

test("what cannot be understood is refused and named; a store that is closed gives no lease", async (t) => {
  const { file, open } = place(t);
  mkdirSync(`${file}.store`);
  writeFileSync(join(`${file}.store`, "index.json"), '{"format":2}');
  await assert.rejects(
    open().read("/"),
    (error: Error) => error instanceof StoreRefused && /index\.json: not as/.test(error.message),
  );
  rmSync(`${file}.store`, { recursive: true });
  writeFileSync(`${file}.store`, "a file where the folder should be");
  await assert.rejects(open().read("/"), StoreRefused);
  const closed = open();
  await closed.close();
  await assert.rejects(closed.lease(1), StoreAway);
});

test("what is too large for etcd is refused here as well", async (t) => {
  const store = place(t).open();
  await assert.rejects(store.commit([], [{ key: "/a/k", value: "x".repeat(2 << 20) }]), StoreRefused);
  assert.deepEqual((await store.read("/a/")).entries, []);
});

test("a folder that lacks a value, as half of a copy does, is refused and named; a watch of it is lost", async (t) => {
  const { file, open } = place(t);
  const store = open();
  const first = await store.commit([], [{ key: "/a/k", value: "1" }]);
  assert.ok(first.done);
  const values = join(`${file}.store`, "values");
  const value = readdirSync(values).find((name) => name.startsWith(encodeURIComponent("/a/k")))!;
  rmSync(join(values, value));
  await assert.rejects(store.read("/a/"), (error) => error instanceof StoreRefused && /\/a\/k: .*is missing/.test(error.message));
  let lost = "";
  store.watch("/a/", first.revision - 1, {
    changed: () => assert.fail("a change"),
    lost: (reason) => {
      lost = reason;
    },
  });
  await until("the watch is lost", () => lost !== "");
  assert.match(lost, /is missing/);
});
