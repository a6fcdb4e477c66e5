/** What every store must do, run against each implementation. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Change, Store } from "../../src/store/store.ts";
import { StoreAway, StoreRefused } from "../../src/store/store.ts";

/** How a test gets a store that is empty, and another connection to the same one. */
export interface StoreUnderTest {
  readonly store: Store;
  another(): Store;
}

const WAIT_MS = 10_000;

/** Waits until `done` holds. Throws with `what` when it does not. */
export async function until(what: string, done: () => boolean | Promise<boolean>, ms = WAIT_MS): Promise<void> {
  for (const end = Date.now() + ms; !(await done()); ) {
    if (Date.now() > end) assert.fail(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Declares the tests of the contract. `open` is called for each of them. */
export function testStore(
  name: string,
  open: (t: Parameters<NonNullable<Parameters<typeof test>[0]>>[0]) => Promise<StoreUnderTest>,
): void {
  test(`${name}: what is committed is read, as of one revision; a prefix is no more than itself`, async (t) => {
    const { store, another } = await open(t);
    assert.deepEqual((await store.read("/a/")).entries, []);
    const first = await store.commit(
      [],
      [
        { key: "/a/1", value: "one" },
        { key: "/a/2", value: "zwei ✓" },
        { key: "/b", value: "other" },
      ],
    );
    assert.ok(first.done);
    const { entries, revision } = await another().read("/a/");
    const sorted = [...entries].sort((x, y) => (x.key < y.key ? -1 : 1));
    assert.deepEqual(sorted, [
      { key: "/a/1", value: "one", revision: first.revision },
      { key: "/a/2", value: "zwei ✓", revision: first.revision },
    ]);
    assert.ok(revision >= first.revision);
  });

  test(`${name}: a commit whose conditions do not hold writes nothing; of many at a time one is done`, async (t) => {
    const { store, another } = await open(t);
    const key = "/a/k";
    const made = await store.commit([{ key, revision: 0 }], [{ key, value: "0" }]);
    assert.ok(made.done);
    assert.deepEqual(
      await store.commit(
        [{ key, revision: 0 }],
        [
          { key, value: "x" },
          { key: "/a/more", value: "y" },
        ],
      ),
      { done: false },
    );
    const stores = Array.from({ length: 5 }, another);
    const race = await Promise.all(
      stores.map((one, i) => one.commit([{ key, revision: made.revision }], [{ key, value: `${i}` }])),
    );
    assert.equal(race.filter(({ done }) => done).length, 1);
    const { entries } = await store.read("/a/");
    assert.deepEqual(
      entries.map(({ value }) => value),
      [`${race.findIndex(({ done }) => done)}`],
    );
    const now = entries[0]!.revision;
    assert.ok((await store.commit([{ key, revision: now }], [{ key, value: null }])).done);
    assert.deepEqual((await store.read("/a/")).entries, []);
    assert.ok((await store.commit([{ key, revision: 0 }], [{ key, value: "new" }])).done, "gone is as if it had never been");
  });

  test(`${name}: a watch tells every change after its revision, in order, and nothing of other keys`, async (t) => {
    const { store, another } = await open(t);
    const writer = another();
    await writer.commit([], [{ key: "/a/old", value: "before" }]);
    const { revision } = await store.read("/a/");
    await writer.commit([], [{ key: "/a/k", value: "between reading and watching" }]);
    const seen: Change[] = [];
    const watch = store.watch("/a/", revision, { changed: (changes) => void seen.push(...changes), lost: assert.fail });
    for (let i = 0; i < 20; i++) {
      await writer.commit([], [{ key: "/a/k", value: `${i}` }]);
      await writer.commit([], [{ key: "/other", value: `${i}` }]);
    }
    await writer.commit([], [{ key: "/a/k", value: null }]);
    await until("the last change", () => seen.at(-1)?.value === null);
    watch.close();
    // A store may skip what was overwritten at once; what it tells is in order, and the last is the last.
    const order = seen.map(({ revision: at }) => at);
    assert.deepEqual(
      order,
      [...order].sort((x, y) => x - y),
    );
    assert.ok(seen.every(({ key }) => key === "/a/k"));
    const after = seen.length;
    await writer.commit([], [{ key: "/a/k", value: "closed" }]);
    await store.read("/a/");
    assert.equal(seen.length, after);
  });

  test(`${name}: entries of a lease last while it is held, and are gone when it is given up`, async (t) => {
    const { store, another } = await open(t);
    const lease = await store.lease(2);
    let lost: string | null = null;
    void lease.lost.then((reason) => {
      lost = reason;
    });
    assert.ok((await store.commit([], [{ key: "/a/l", value: "leased", lease }])).done);
    const seen: Change[] = [];
    const other = another();
    const { revision } = await other.read("/a/");
    other.watch("/a/", revision, { changed: (changes) => void seen.push(...changes), lost: () => {} });
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    assert.equal((await other.read("/a/")).entries.length, 1, "longer than its seconds");
    assert.equal(lost, null);
    await lease.revoke();
    assert.deepEqual((await other.read("/a/")).entries, []);
    await until("its end", () => lost !== null && seen.some(({ key, value }) => key === "/a/l" && value === null));
    await assert.rejects(store.commit([], [{ key: "/a/l", value: "too late", lease }]), StoreRefused);
    await lease.revoke();
  });

  test(`${name}: entries of a lease are gone when its holder is`, async (t) => {
    const { store, another } = await open(t);
    const holder = another();
    const lease = await holder.lease(2);
    assert.ok((await holder.commit([], [{ key: "/a/l", value: "leased", lease }])).done);
    await holder.close();
    await until("their end", async () => (await store.read("/a/")).entries.length === 0);
  });

  test(`${name}: after its end a store says that it is away`, async (t) => {
    const { another } = await open(t);
    const store = another();
    await store.close();
    await assert.rejects(store.read("/a/"), StoreAway);
    await assert.rejects(store.commit([], []), StoreAway);
  });
}
