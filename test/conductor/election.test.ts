import assert from "node:assert/strict";
import { test } from "node:test";
import { elect, type Term } from "../../src/conductor/election.ts";
import { MemoryStore } from "../support/memory-store.ts";

const KEY = "/hafl/lab/conductor";
const go = new AbortController().signal;
const stand = (store: MemoryStore, name: string, signal = go): Promise<Term | null> => elect(store, KEY, name, 5, signal);

test("one conducts; when it resigns the next one does", async () => {
  const store = new MemoryStore();
  const first = await stand(store, "a");
  const second = stand(store, "b");
  assert.deepEqual(await first!.commit([{ key: "x", value: "1" }]), { done: true, revision: 3 });
  await first!.resign();
  assert.ok((await second) !== null);
  assert.equal(store.value(KEY), "b");
});

test("of many that stand at once one is elected", async () => {
  const store = new MemoryStore();
  const terms = await Promise.all([..."abcdef"].map((name) => stand(store, name)));
  assert.equal(terms.filter((term) => term !== null).length, 1);
});

/** Lets others have what time they need without a clock. */
async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("many that wait do not stand all at the same moment", async (t) => {
  const store = new MemoryStore();
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const first = await stand(store, "a");
  const told = new AbortController();
  const elected = Array.from({ length: 100 }, (_, i) => stand(store, `b${i}`, told.signal));
  await turns();
  await first!.resign();
  for (let ms = 0; ms < 1000; ms += 10) {
    t.mock.timers.tick(10);
    await turns();
  }
  assert.notEqual(store.value(KEY), undefined);
  assert.ok(store.leases.length <= 50, `${store.leases.length} leases`);
  told.abort();
  await Promise.allSettled(elected);
});

test("who was stopped while another was elected writes nothing when it wakes up", async () => {
  const store = new MemoryStore();
  const sleeper = (await stand(store, "a"))!;
  store.leases[0]!.expire(false);
  const next = (await stand(store, "b"))!;
  assert.deepEqual(await sleeper.commit([{ key: "x", value: "old" }]), { done: false });
  assert.equal((await next.commit([{ key: "x", value: "new" }])).done, true);
  assert.equal(store.value("x"), "new");
  // Nor does it when it is elected once more, by what it held before.
  await next.resign();
  const again = (await stand(store, "a"))!;
  assert.deepEqual(await sleeper.commit([{ key: "x", value: "old" }]), { done: false });
  assert.equal((await again.commit([])).done, true);
});

test("a term is over when the lease is, or when the key is taken away", async () => {
  const store = new MemoryStore();
  const first = (await stand(store, "a"))!;
  store.leases[0]!.expire(true);
  assert.equal(await first.over, "its time is over");
  const second = (await stand(store, "a"))!;
  store.put(KEY, null);
  assert.equal(await second.over, "the key of the conductor was taken away");
});

test("an election whose answer is lost leaves nobody in the way", async () => {
  const store = new MemoryStore();
  store.losesNextAnswer = true;
  await assert.rejects(stand(store, "a"), /answer was lost/);
  assert.equal(store.value(KEY), undefined);
  assert.ok((await stand(store, "b")) !== null);
});

test("who waits can be told to stop, or finds that the store is away", async () => {
  const store = new MemoryStore();
  await stand(store, "a");
  const told = new AbortController();
  const waiting = stand(store, "b", told.signal);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  told.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  // Also while it still looks who conducts.
  const early = new AbortController();
  const looking = stand(store, "c", early.signal);
  early.abort(new Error("too much"));
  await assert.rejects(looking, /too much/);
  store.away = true;
  await assert.rejects(stand(store, "b"), /no answer/);
});

test("who waits finds out that nobody conducts although its watch hangs", async (t) => {
  const store = new MemoryStore();
  await stand(store, "a");
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const waiting = stand(store, "b");
  await turns();
  store.stopWatches("/");
  store.leases[0]!.expire(false);
  t.mock.timers.tick(10_000);
  const next = (await waiting)!;
  assert.equal(store.value(KEY), "b");
  await next.resign();
});
