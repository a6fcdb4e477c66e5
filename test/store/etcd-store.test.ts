import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { type TestContext, test } from "node:test";
import { EtcdStore } from "../../src/store/etcd-store.ts";
import { StoreAway, StoreRefused } from "../../src/store/store.ts";
import { silentEndpoint, startEtcd, type TestEtcd } from "../support/etcd.ts";
import { testStore, until } from "../support/store-contract.ts";

const PLAIN = { tls: { ca: null, cert: null, key: null }, user: null, passwordFile: null };

function connectTo(t: TestContext, ...endpoints: string[]): EtcdStore {
  const store = new EtcdStore({ ...PLAIN, endpoints });
  t.after(() => store.close());
  return store;
}

const STORE = new URL("../../src/store/etcd-store.js", import.meta.url).href;

/** A process that runs `program` with a `store`: what it has printed, and its exit code; null while it runs. */
function processWith(t: TestContext, endpoint: string, program: string): { said(): string; code(): number | null } {
  const options = JSON.stringify({ ...PLAIN, endpoints: [endpoint] });
  const text = `import { EtcdStore } from "${STORE}"; const store = new EtcdStore(${options});\n${program}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", text], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
  });
  return { said: () => said, code: () => child.exitCode };
}

testStore("etcd", async (t) => {
  const context = t as TestContext;
  const { endpoint } = await startEtcd(context);
  const another = (): EtcdStore => connectTo(context, endpoint);
  return { store: another(), another };
});

/** The time a promise takes to reject, ms. */
async function rejects(promise: Promise<unknown>, error: new () => Error): Promise<number> {
  const begun = performance.now();
  await assert.rejects(promise, error);
  return performance.now() - begun;
}

test("etcd away: calls end in bounded time, the watch is lost, and all is well when it is back", async (t) => {
  const etcd: TestEtcd = await startEtcd(t);
  const store = connectTo(t, etcd.endpoint);
  await store.commit([], [{ key: "/a/k", value: "1" }]);
  for (const [gone, back] of [
    [() => etcd.kill(), () => etcd.start()],
    [async () => etcd.pause(), async () => etcd.resume()],
  ] as const) {
    let lost: string | null = null;
    const { revision } = await store.read("/a/");
    store.watch("/a/", revision, {
      changed: () => {},
      lost: (reason) => {
        lost = reason;
      },
    });
    const lease = await store.lease(2);
    let leaseLost = false;
    void lease.lost.then(() => {
      leaseLost = true;
    });
    await gone();
    assert.ok((await rejects(store.read("/a/"), StoreAway as new () => Error)) < 15_000);
    await until("the watch is lost", () => lost !== null);
    await until("the lease is not held", () => leaseLost);
    await back();
    await until("the store is back", async () => {
      const entries = await store.read("/a/").then(
        (snapshot) => snapshot.entries,
        () => [],
      );
      return entries[0]?.value === "1";
    });
  }
});

test("a member that does not answer is left for one that does", async (t) => {
  const etcd = await startEtcd(t);
  const store = connectTo(t, "http://127.0.0.1:1", etcd.endpoint);
  assert.ok((await store.commit([{ key: "/a/k", revision: 0 }], [{ key: "/a/k", value: "1" }])).done);
  assert.equal((await store.read("/a/")).entries.length, 1);
});

test("what etcd refuses is refused at once", async (t) => {
  const etcd = await startEtcd(t);
  const store = connectTo(t, etcd.endpoint);
  const large = store.commit([], [{ key: "/a/k", value: "x".repeat(4 << 20) }]);
  assert.ok((await rejects(large, StoreRefused as new () => Error)) < 10_000);
  const noFile = new EtcdStore({ ...PLAIN, endpoints: [etcd.endpoint], tls: { ca: "/nowhere.pem", cert: null, key: null } });
  await rejects(noFile.read("/"), StoreRefused as new () => Error);
});

test("an etcd that is full refuses, and is not taken for one that is away: watches go on", async (t) => {
  const etcd = await startEtcd(t, ["--quota-backend-bytes", `${1 << 20}`]);
  const store = connectTo(t, etcd.endpoint);
  const lost: string[] = [];
  store.watch("/a/", 1, { changed: () => {}, lost: (reason) => void lost.push(reason) });
  await store.commit([], [{ key: "/a/k", value: "1" }]);
  const fill = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await store.commit([], [{ key: `/b/${i}`, value: "x".repeat(1 << 20) }]);
  };
  await assert.rejects(fill(), (error) => error instanceof StoreRefused && /space exceeded/.test(error.message));
  assert.equal((await store.read("/a/")).entries.length, 1);
  assert.deepEqual(lost, []);
});

test("a watch from a revision that is compacted is lost", async (t) => {
  const etcd = await startEtcd(t);
  const store = connectTo(t, etcd.endpoint);
  for (let i = 0; i < 5; i++) await store.commit([], [{ key: "/a/k", value: `${i}` }]);
  const compact = await fetch(`${etcd.endpoint}/v3/kv/compaction`, { method: "POST", body: '{"revision": "5"}' });
  assert.ok(compact.ok);
  let lost = "";
  store.watch("/a/", 1, {
    changed: () => assert.fail("changes"),
    lost: (reason) => {
      lost = reason;
    },
  });
  await until("the watch is lost", () => lost !== "");
  assert.match(lost, /compacted/);
});

test("a process that has closed its store ends, also when a lease was not kept because etcd hangs", async (t) => {
  const etcd = await startEtcd(t);
  const program = `
    const lease = await store.lease(2);
    store.watch("/a/", 1, { changed() {}, lost() {} });
    console.log("held");
    await lease.lost;
    await store.close();
    console.log("closed");`;
  const { said, code } = processWith(t, etcd.endpoint, program);
  await until("the lease", () => said().includes("held"));
  etcd.pause();
  await until("the store is closed", () => said().includes("closed"));
  await until("the process has ended", () => code() !== null);
  assert.equal(code(), 0);
});

test("a process that nobody answers ends when it has closed its store", async (t) => {
  const { said, code } = processWith(
    t,
    await silentEndpoint(t),
    `
    await store.read("/a/").catch((error) => console.log(error.message));
    await store.close();`,
  );
  await until("the call has ended", () => said() !== "");
  assert.match(said(), /no connection within 1500 ms/);
  await until("the process has ended", () => code() !== null);
});

test("a process that has closed its store ends, also when it has not given up a lease", async (t) => {
  const etcd = await startEtcd(t);
  const program = `
    const lease = await store.lease(60);
    await store.close();
    console.log(await lease.lost);`;
  const { said, code } = processWith(t, etcd.endpoint, program);
  await until("the process has ended", () => code() !== null, 20_000);
  assert.equal(said(), "the store is closed\n");
});

test("in a hurry: who answers is asked as before; after the first call that gets no answer no other one waits", async (t) => {
  const etcd = await startEtcd(t);
  const store = connectTo(t, etcd.endpoint);
  const lease = await store.lease(10);
  assert.ok((await store.commit([], [{ key: "/a", value: "1", lease }])).done);
  store.hurry();
  assert.equal((await store.read("/a")).entries[0]!.value, "1");
  etcd.pause();
  await rejects(Promise.all([store.read("/a"), store.read("/b")]), StoreAway);
  await until("the store is closed", () => lease.lost.then((why) => why === "the store is closed"));
  await assert.rejects(lease.revoke(), /^Error: the store is closed$/);
  await assert.rejects(store.read("/a"), /^Error: the store is closed$/);
});

test("in a hurry: a call that is under way waits no longer than one that comes then", async (t) => {
  const store = connectTo(t, await silentEndpoint(t), await silentEndpoint(t), await silentEndpoint(t), await silentEndpoint(t));
  const reading = assert.rejects(store.read("/a"), /: no answer within 2500 ms$/);
  store.hurry();
  await reading;
  await assert.rejects(store.read("/a"), /^Error: the store is closed$/);
});
