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
        service: "dns",
        serial: 9,
        change: 1,
        by: "",
        why: "",
        generations: [{ id: 1, time: 0, hosts: [] }],
      }),
      /generations of dns/,
    ],
  ] as const) {
    await put(key, value);
    await until(`${key}: ${why}`, () => why.test(follower.applied.refused ?? ""));
    assert.deepEqual(take(follower), { hosts: ["s1"], weight: 20 }, `${why}`);
    await (key === KEYS.wanted ? want(4, WANTED.replace(", { name: s2, dip: 10.0.0.2 }", "")) : steer(6, 20));
    await until("all is well", () => follower.applied.refused === null);
  }
  assert.equal(changes, 2, "nothing of it was handed on");

  await want(5, "hosts: [{ name: s1, dip: 10.0.0.999 }]");
  await until("change 5", () => changes === 3);
  const bad = follower.load();
  assert.ok("errors" in bad && /^\/hafl\/lab\/wanted: hosts\[0\]\.dip: /.test(bad.errors[0]!), JSON.stringify(bad));
  follower.taken(bad.errors);
  assert.match(follower.applied.refused ?? "", /dip/);
  assert.equal(follower.applied.change, 4);
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
