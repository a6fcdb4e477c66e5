import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import pino from "pino";
import { Failure } from "../../src/control/failure.ts";
import { EtcdStore } from "../../src/store/etcd-store.ts";
import { Follower, type FollowerOptions } from "../../src/store/follower.ts";
import { clusterKeys } from "../../src/store/keys.ts";
import { writeRecord } from "../../src/store/records.ts";
import { startEtcd, type TestEtcd } from "../support/etcd.ts";
import { MemoryStore } from "../support/memory-store.ts";
import { until } from "../support/store-contract.ts";

const KEYS = clusterKeys("lab");
const LOG = pino({ level: "silent" });
const LOCAL = "cluster: lab\nseed: 000102030405060708090a0b0c0d0e0f\n";
const WANTED = `
hosts: [{ name: s1, dip: 10.0.0.1 }, { name: s2, dip: 10.0.0.2 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: [80] } }]
`;

interface Stand {
  readonly etcd: TestEtcd;
  readonly store: EtcdStore;
  readonly options: FollowerOptions;
  put(key: string, value: string | null): Promise<void>;
  want(change: number, config?: string): Promise<void>;
  steer(serial: number, weight: number): Promise<void>;
}

async function stand(t: TestContext): Promise<Stand> {
  const etcd = await startEtcd(t);
  const plain = { endpoints: [etcd.endpoint], tls: { ca: null, cert: null, key: null }, user: null, passwordFile: null };
  const store = new EtcdStore(plain);
  const dir = mkdtempSync(join(tmpdir(), "hafl-follower-"));
  t.after(async () => {
    await store.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const file = join(dir, "config.yaml");
  writeFileSync(file, `${LOCAL}store: { kind: etcd, endpoints: ["${etcd.endpoint}"] }\n`);
  const put = async (key: string, value: string | null): Promise<void> => {
    assert.ok((await store.commit([], [{ key, value }])).done);
  };
  return {
    etcd,
    store,
    options: { store, keys: KEYS, cluster: "lab", file, lastGood: join(dir, "state", "last-good.json") },
    put,
    want: (change, config = WANTED) =>
      put(KEYS.wanted, writeRecord("wanted", { change, who: "t", when: change, why: "", config })),
    steer: (serial, weight) =>
      put(
        KEYS.generations("web"),
        writeRecord("generations", {
          service: "web",
          serial,
          change: 1,
          by: "s1",
          why: "test",
          generations: [{ id: serial, time: 0, hosts: [{ name: "s1", weight }] }],
        }),
      ),
  };
}

async function open(t: TestContext, options: FollowerOptions): Promise<Follower> {
  const follower = await Follower.open(options, LOG);
  t.after(() => follower.close());
  return follower;
}

/** What an agent does with it. */
function take(follower: Follower): { hosts: string[]; weight: number | undefined } {
  const wanted = follower.load();
  assert.ok(!("errors" in wanted), JSON.stringify(wanted));
  follower.taken([]);
  return { hosts: wanted.config.hosts.map(({ name }) => name), weight: wanted.pools?.web?.[0]?.hosts[0]?.weight };
}

test("what is wanted and decided is followed; what cannot be used is refused and named, and nothing moves", async (t) => {
  const { options, put, want, steer } = await stand(t);
  await want(3);
  await steer(5, 10);
  const follower = await open(t, options);
  let changes = 0;
  follower.follow(() => changes++);
  assert.deepEqual(take(follower), { hosts: ["s1", "s2"], weight: 10 });
  assert.deepEqual(
    { ...follower.applied, revision: 0, ageSeconds: 0 },
    { change: 3, serials: { web: 5 }, revision: 0, ageSeconds: 0, refused: null },
  );

  await want(4, WANTED.replace(", { name: s2, dip: 10.0.0.2 }", ""));
  await until("change 4", () => changes === 1);
  assert.deepEqual(take(follower).hosts, ["s1"]);
  await steer(6, 20);
  await until("serial 6", () => changes === 2);
  assert.equal(take(follower).weight, 20);

  const generations = KEYS.generations("web");
  for (const [key, value, why] of [
    [KEYS.wanted, "{half", /wanted: not JSON/],
    [
      KEYS.wanted,
      writeRecord("wanted", { change: 3, who: "t", when: 3, why: "", config: WANTED }),
      /change 3, but here 4 counts already/,
    ],
    [KEYS.wanted, writeRecord("wanted", { change: 4, who: "t", when: 4, why: "", config: WANTED }), /another change 4/],
    [KEYS.wanted, `{"format":2}`, /format 2/],
    [KEYS.wanted, null, /is not there any more/],
    [generations, "[]", /format missing/],
    [
      generations,
      writeRecord("generations", {
        service: "web",
        serial: 4,
        change: 1,
        by: "",
        why: "",
        generations: [{ id: 1, time: 0, hosts: [] }],
      }),
      /serial 4, but here 6 counts already/,
    ],
    [
      generations,
      writeRecord("generations", {
        service: "web",
        serial: 9,
        change: 0,
        by: "",
        why: "by a conductor that follows a store which was turned back",
        generations: [{ id: 9, time: 0, hosts: [{ name: "s1", weight: 99 }] }],
      }),
      /change 0, but here 1 counts already/,
    ],
    [
      generations,
      writeRecord("generations", {
        service: "dns",
        serial: 9,
        change: 1,
        by: "",
        why: "",
        generations: [{ id: 1, time: 0, hosts: [] }],
      }),
      /generations of dns/,
    ],
    [
      generations,
      writeRecord("generations", {
        service: "web",
        serial: 9,
        change: 4,
        by: "",
        why: "",
        generations: [{ id: 9, time: 0, hosts: [{ name: "s9", weight: 1 }] }],
      }),
      /there is no host "s9" in change 4/,
    ],
  ] as const) {
    await put(key, value);
    await until(`${key}: ${why}`, () => why.test(follower.applied.refused ?? ""));
    assert.deepEqual(take(follower), { hosts: ["s1"], weight: 20 }, `${why}`);
    await (key === KEYS.wanted ? want(4, WANTED.replace(", { name: s2, dip: 10.0.0.2 }", "")) : steer(6, 20));
    await until("all is well", () => follower.applied.refused === null);
  }
  assert.equal(changes, 2, "nothing of it was handed on");

  for (const [config, why] of [
    ["hosts: [{ name: s1, dip: 10.0.0.999 }]", /^\/hafl\/lab\/wanted: hosts\[0\]\.dip: /],
    ["hosts: [", /^\/hafl\/lab\/wanted:\d+:\d+: not YAML: /],
    [WANTED.replace("ports:", "pool: [s7], ports:"), /^\/hafl\/lab\/wanted: services\[0\]\.pool.*s7/],
    [`seed: 000102030405060708090a0b0c0d0e0f\n${WANTED}`, /^\/hafl\/lab\/wanted: seed: belongs into the file of each host/],
    [`${WANTED}drop: [{ name: d, match: "udp and frobnicate" }]`, /^\/hafl\/lab\/wanted: drop\[0\]/],
  ] as const) {
    await want(5, config);
    await until(`${why}`, () => why.test(follower.applied.refused ?? ""));
    assert.deepEqual(take(follower), { hosts: ["s1"], weight: 20 });
    assert.equal(follower.applied.change, 4);
  }
  assert.equal(changes, 2, "nothing of it was handed on");
  await steer(7, 30);
  await until("serial 7", () => changes === 3);
  assert.equal(take(follower).weight, 30, "generations are followed while what is wanted is refused");
  const restarted = await open(t, options);
  assert.deepEqual(take(restarted), { hosts: ["s1"], weight: 30 }, "a restart goes on with the last good state");
  assert.match(restarted.applied.refused ?? "", /drop\[0\]/);
  await want(5);
  await until("another change 5, as none was applied", () => changes === 4);
  assert.deepEqual(take(follower).hosts, ["s1", "s2"]);
});

test("generations that would take a service down, numbers that are made up, and reserved names are refused", async (t) => {
  const { options, put, want, steer } = await stand(t);
  await want(3);
  await steer(5, 10);
  const follower = await open(t, options);
  take(follower);
  const record = (serial: number, hosts: { name: string; weight: number }[], service = "web"): string =>
    writeRecord("generations", {
      service,
      serial,
      change: 3,
      by: "",
      why: "",
      generations: [{ id: 9, time: 0, hosts }],
    });
  const web = KEYS.generations("web");
  const s2 = { name: "s2", weight: 7 };
  for (const [key, value, why] of [
    [web, record(6, []), /no active host of the pool is in generation 9/],
    [web, record(6, [{ name: "s2", weight: 0 }]), /no active host/],
    [web, record(2_000_005, [s2]), /serial 2000005 is far above the 5 that counts here/],
    [web, record(5, [s2]).replace('"serial":5', '"serial":9007199254740990'), /web: serial: /],
    [KEYS.generations("constructor"), "x", /"constructor" is no name of a pool/],
    [KEYS.generations("__proto__"), record(1, [s2], "__proto__"), /"__proto__" is no name of a pool/],
  ] as const) {
    await put(key, value);
    await until(`${why}`, () => why.test(follower.applied.refused ?? ""));
    assert.deepEqual(take(follower), { hosts: ["s1", "s2"], weight: 10 });
    if (key === web) await steer(5, 10);
    else await put(key, null);
    await until("all is well", () => follower.applied.refused === null);
  }
  await want(2_000_000);
  await until("a change that is made up", () => /change 2000000 is far above/.test(follower.applied.refused ?? ""));
  await want(4);
  await put(web, record(6, [s2]));
  await until("the next serial", () => take(follower).weight === 7);
  assert.deepEqual([follower.applied.change, follower.applied.refused], [4, null]);
});

test("a wanted state that the agent refuses does not hold back generations; it is offered again when asked for", async (t) => {
  const { options, want, steer } = await stand(t);
  await want(1);
  await steer(1, 10);
  const follower = await open(t, options);
  take(follower);
  const weights: (number | undefined)[] = [];
  /** As an agent that cannot take change 2. */
  const load = (): string[] => {
    const wanted = follower.load();
    assert.ok(!("errors" in wanted));
    const refused = wanted.config.hosts.some(({ name }) => name === "s9");
    if (!refused) weights.push(wanted.pools?.web?.[0]?.hosts[0]?.weight);
    follower.taken(refused ? ["not while the agent runs"] : []);
    return wanted.config.hosts.map(({ name }) => name);
  };
  follower.follow(() => void load());
  await want(2, WANTED.replace("s2", "s9"));
  await until("it is refused", () => follower.applied.refused === "not while the agent runs");
  await steer(2, 20);
  await until("serial 2", () => weights.at(-1) === 20);
  assert.deepEqual([follower.applied.change, follower.applied.serials], [1, { web: 2 }]);
  assert.equal(follower.applied.refused, "not while the agent runs");
  assert.deepEqual(load(), ["s1", "s9"]);
  await steer(3, 30);
  await until("serial 3", () => weights.at(-1) === 30);
  await want(3);
  await until("change 3", () => follower.applied.change === 3);
  assert.equal(follower.applied.refused, null);
});

test("generations that leave none of the hosts of this agent's config wait", async (t) => {
  const { options, put, want, steer } = await stand(t);
  await want(1);
  await steer(1, 10);
  const follower = await open(t, options);
  const weights: (number | undefined)[] = [];
  /** As the agent of s1, which is not to be taken out while it runs. */
  const load = (): void => {
    const wanted = follower.load();
    assert.ok(!("errors" in wanted));
    const refused = !wanted.config.hosts.some(({ name }) => name === "s1");
    if (!refused) weights.push(wanted.pools?.web?.[0]?.hosts[0]?.weight);
    follower.taken(refused ? ["s1 is missing"] : []);
  };
  load();
  follower.follow(load);
  await want(2, WANTED.replace("s1", "s8").replace("s2", "s9"));
  await until("it is refused", () => follower.applied.refused === "s1 is missing");
  const record = {
    service: "web",
    serial: 2,
    change: 2,
    by: "",
    why: "",
    generations: [{ id: 2, time: 0, hosts: [{ name: "s9", weight: 20 }] }],
  };
  await put(KEYS.generations("web"), writeRecord("generations", record));
  await until("it was looked at", () => weights.length === 2);
  assert.deepEqual([weights, follower.applied.change, follower.applied.serials], [[10, 10], 1, { web: 1 }]);
});

test("generations for a wanted state that is on its way wait for it", async (t) => {
  const { options, put, want, steer } = await stand(t);
  await want(1);
  await steer(1, 10);
  const follower = await open(t, options);
  take(follower);
  const seen: string[] = [];
  follower.follow(() => {
    const { hosts, weight } = take(follower);
    seen.push(`${hosts.length} hosts, weight ${weight}`);
  });
  const early = {
    service: "web",
    serial: 2,
    change: 2,
    by: "",
    why: "",
    generations: [{ id: 2, time: 0, hosts: [{ name: "s3", weight: 20 }] }],
  };
  await put(KEYS.generations("web"), writeRecord("generations", early));
  await want(2, WANTED.replace("}]\n", "}, { name: s3, dip: 10.0.0.3 }]\n"));
  await until("both", () => seen.at(-1) === "3 hosts, weight 20");
  // The two are watched each for itself: the wanted state may come first, the generations never.
  assert.ok(!seen.includes("2 hosts, weight 20"), seen.join("; "));
  assert.equal(follower.applied.refused, null);
});

test("the store away: its age grows, a restart goes on with what counted last, and what came meanwhile is taken up", async (t) => {
  const { etcd, options, want, steer } = await stand(t);
  await want(3);
  await steer(5, 10);
  const follower = await open(t, options);
  take(follower);
  let changes = 0;
  follower.follow(() => changes++);
  await etcd.kill();
  await until("it is noticed", () => follower.away);
  const { ageSeconds } = follower.applied;
  await until("its age grows", () => follower.applied.ageSeconds > ageSeconds + 0.5);
  assert.deepEqual(take(follower), { hosts: ["s1", "s2"], weight: 10 });

  const restarted = await open(t, options);
  assert.ok(restarted.away);
  assert.deepEqual(take(restarted), { hosts: ["s1", "s2"], weight: 10 });
  await etcd.start();
  await steer(6, 30);
  await until(
    "both follow again",
    () => !follower.away && !restarted.away && take(follower).weight === 30 && take(restarted).weight === 30,
    20_000,
  );
  assert.equal(changes, 1);
});

test("a store that was turned back moves nothing, not even over a restart; a newer change does", async (t) => {
  const { options, want } = await stand(t);
  await want(7);
  take(await open(t, options));
  await want(2, WANTED.replace("s2", "s9"));
  const follower = await open(t, options);
  assert.deepEqual(take(follower).hosts, ["s1", "s2"]);
  assert.match(follower.applied.refused ?? "", /change 2, but here 7 counts already: the store has been turned back/);
  await want(8, WANTED.replace("s2", "s9"));
  await until("change 8", () => take(follower).hosts.includes("s9"));
  assert.equal(follower.applied.refused, null);
});

test("without anything to start with it says so", async (t) => {
  const { etcd, options } = await stand(t);
  await assert.rejects(
    Follower.open(options, LOG),
    (error) => error instanceof Failure && /there is nothing \(put it there/.test(error.message),
  );
  await etcd.kill();
  await assert.rejects(
    Follower.open(options, LOG),
    (error) => error instanceof Failure && /cannot be read: .*last-good.json has nothing to start with/.test(error.message),
  );
});

/** A follower of a store, and what it has logged as errors. */
async function following(t: TestContext, store: MemoryStore) {
  const dir = mkdtempSync(join(tmpdir(), "hafl-follower-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "config.yaml");
  writeFileSync(file, `${LOCAL}store: { kind: etcd, endpoints: ["http://127.0.0.1:1"] }\n`);
  const want = (change: number): void =>
    store.put(KEYS.wanted, writeRecord("wanted", { change, who: "t", when: change, why: "", config: WANTED }));
  want(1);
  const refused: string[] = [];
  const log = pino({ level: "error" }, { write: (line: string) => void refused.push(line) });
  const follower = await Follower.open({ store, keys: KEYS, cluster: "lab", file, lastGood: null }, log);
  t.after(() => follower.close());
  follower.follow(() => void take(follower));
  take(follower);
  return { follower, refused, want };
}

/** Reads of the store that begin while `hold` is set answer when `release` is called, with what was there before. */
function heldReads(store: MemoryStore): { hold: boolean; held: number; release(): void } {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const reads = { hold: false, held: 0, release };
  const read = store.read.bind(store);
  store.read = async (prefix) => {
    const snapshot = await read(prefix);
    if (reads.hold) {
      reads.held++;
      await released;
    }
    return snapshot;
  };
  return reads;
}

test("a reading that is older than what the watch told meanwhile turns nothing back", async (t) => {
  const store = new MemoryStore();
  const reads = heldReads(store);
  const { follower, refused, want } = await following(t, store);
  reads.hold = true;
  await until("it reads all anew", () => reads.held === 2);
  want(2);
  await until("change 2", () => follower.applied.change === 2);
  reads.hold = false;
  reads.release();
  want(3);
  await until("change 3", () => follower.applied.change === 3);
  assert.deepEqual([follower.applied.refused, refused], [null, []]);
});

test("a reading that was overtaken by another turns nothing back", async (t) => {
  const store = new MemoryStore();
  const reads = heldReads(store);
  const { follower, refused, want } = await following(t, store);
  reads.hold = true;
  await until("it reads all anew", () => reads.held === 2);
  reads.hold = false;
  store.loseWatches();
  want(2);
  await until("change 2", () => follower.applied.change === 2);
  reads.release();
  want(3);
  await until("change 3", () => follower.applied.change === 3);
  assert.deepEqual([follower.applied.refused, refused], [null, []]);
});

test("what a watch tells late, of before all was read anew, turns nothing back", async (t) => {
  const store = new MemoryStore();
  const late: (() => void)[] = [];
  const watch = store.watch.bind(store);
  store.watch = (prefix, revision, handlers) =>
    watch(prefix, revision, { ...handlers, changed: (...told) => void late.push(() => handlers.changed(...told)) });
  const { follower, refused, want } = await following(t, store);
  want(2);
  want(3);
  await until("change 3 is read", () => follower.applied.change === 3);
  assert.equal(late.length, 2);
  for (const tell of late.splice(0)) tell();
  want(4);
  await until("change 4 is told", () => late.length === 1);
  late[0]!();
  await until("change 4", () => follower.applied.change === 4);
  assert.deepEqual([follower.applied.refused, refused], [null, []]);
});

test("many that have begun together do not go on reading all at the same moment", async (t) => {
  const store = new MemoryStore();
  store.put(KEYS.wanted, writeRecord("wanted", { change: 1, who: "t", when: 1, why: "", config: WANTED }));
  const dir = mkdtempSync(join(tmpdir(), "hafl-follower-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "config.yaml");
  writeFileSync(file, `${LOCAL}store: { kind: etcd, endpoints: ["http://127.0.0.1:1"] }\n`);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const options = { store, keys: KEYS, cluster: "lab", file, lastGood: null };
  const followers = await Promise.all(Array.from({ length: 20 }, () => Follower.open(options, LOG)));
  let reads = 0;
  const read = store.read.bind(store);
  store.read = (prefix) => {
    reads++;
    return read(prefix);
  };
  let most = 0;
  for (let ms = 0; ms < 10_000; ms += 100) {
    const before = reads;
    t.mock.timers.tick(100);
    most = Math.max(most, reads - before);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  }
  for (const follower of followers) follower.close();
  assert.ok(reads >= 2 * followers.length, `${reads} reads`);
  assert.ok(most < 2 * followers.length, `${most} of ${reads} reads at once`);
});
