/** Conductors as processes, with a real etcd: killed, stopped and woken up, and etcd gone. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { elect } from "../../src/conductor/election.ts";
import { EtcdStore } from "../../src/store/etcd-store.ts";
import { clusterKeys } from "../../src/store/keys.ts";
import {
  type ConductorRecord,
  type GenerationsRecord,
  type HostReport,
  type RecordName,
  type RecordOf,
  readRecord,
  writeRecord,
} from "../../src/store/records.ts";
import { hafl } from "../support/command.ts";
import { startEtcd } from "../support/etcd.ts";
import { until } from "../support/store-contract.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const KEYS = clusterKeys("lab");
const PLAIN = { tls: { ca: null, cert: null, key: null }, user: null, passwordFile: null };
const WAIT_MS = 60_000;
const WANTED = `hosts: [${["a", "b", "c"].map((name, i) => `{ name: ${name}, dip: 10.0.0.${i + 1} }`)}]
services: [{ name: web, vips: [192.0.2.1], ports: { tcp: 80 } }]
conductor: { leaseSeconds: 2, riseSeconds: 0 }
`;

const report = (host: string, healthy: boolean): HostReport => ({
  format: 1,
  host,
  when: 0,
  version: "0.1.0",
  change: 1,
  generation: 1,
  ageSeconds: 0,
  serials: {},
  refused: null,
  problems: {},
  services: { web: { healthy, reason: healthy ? "" : "refused" } },
  load: { cpu: 0, pressure: 0, services: {} },
  flows: 0,
  announced: [],
});

class Cluster {
  readonly store: EtcdStore;
  readonly #file: string;
  readonly #t: TestContext;
  readonly #sick = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(t: TestContext, endpoint: string) {
    this.#t = t;
    this.store = new EtcdStore({ ...PLAIN, endpoints: [endpoint] });
    const dir = mkdtempSync(join(tmpdir(), "hafl-conductor-"));
    this.#file = join(dir, "own.yaml");
    writeFileSync(
      this.#file,
      `cluster: lab\nseed: 000102030405060708090a0b0c0d0e0f\nstore: { kind: etcd, endpoints: ["${endpoint}"] }\n`,
    );
    // Hosts that report every second.
    this.#timer = setInterval(() => void this.#report().catch(() => {}), 1000);
    t.after(async () => {
      clearInterval(this.#timer);
      await this.store.close();
      rmSync(dir, { recursive: true, force: true });
    });
  }

  async want(): Promise<void> {
    const value = writeRecord("wanted", { change: 1, who: "root", when: 0, why: "", config: WANTED });
    await this.store.commit([], [{ key: KEYS.wanted, value }]);
    await this.#report();
  }

  async sick(host: string, sick: boolean): Promise<void> {
    if (sick) this.#sick.add(host);
    else this.#sick.delete(host);
    await this.#report();
  }

  async #report(): Promise<void> {
    const writes = ["a", "b", "c"].map((name) => ({
      key: KEYS.host(name),
      value: writeRecord("hostReport", report(name, !this.#sick.has(name))),
    }));
    await this.store.commit([], writes);
  }

  /** Starts `hafl conductor`. Its log is gathered. */
  conductor(name: string): { readonly process: ChildProcess; log(): string } {
    const child = spawn(process.execPath, [MAIN, "conductor", "--config", this.#file, "--name", name], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    child.stderr!.on("data", (data: Buffer) => {
      log += data.toString();
    });
    this.#t.after(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGCONT");
      child.kill("SIGKILL");
      await once(child, "exit");
    });
    return { process: child, log: () => log };
  }

  async #record<N extends RecordName>(name: N, key: string): Promise<RecordOf<N> | null> {
    const entry = (await this.store.read(key)).entries.find((one) => one.key === key);
    if (entry === undefined) return null;
    const read = readRecord(name, key, entry.value);
    assert.ok("record" in read, JSON.stringify(read));
    return read.record;
  }

  leader = async (): Promise<ConductorRecord | null> => this.#record("conductor", KEYS.conductor);
  web = async (): Promise<GenerationsRecord | null> => this.#record("generations", KEYS.generations("web"));
  taking = async (): Promise<string> => ((await this.web())?.generations[0]?.hosts ?? []).map(({ name }) => name).join("");

  async untilLeader(name: string): Promise<void> {
    await until(`${name} conducts`, async () => (await this.leader())?.host === name, WAIT_MS);
  }
}

test("a conductor that was stopped, and wakes up when another conducts, writes nothing any more", async (t) => {
  const cluster = new Cluster(t, (await startEtcd(t)).endpoint);
  await cluster.want();
  const first = cluster.conductor("one");
  await cluster.untilLeader("one");
  await until("generations", async () => (await cluster.taking()) === "abc", WAIT_MS);
  const second = cluster.conductor("two");
  first.process.kill("SIGSTOP");
  await cluster.untilLeader("two");
  const before = (await cluster.web())!;
  assert.deepEqual([before.serial, before.by], [1, "one"], "becoming conductor changes no table");

  await cluster.sick("b", true);
  await until("b is out", async () => (await cluster.taking()) === "ac", WAIT_MS);
  first.process.kill("SIGCONT");
  await until("the first knows", () => /conducts no longer/.test(first.log()), WAIT_MS);
  await cluster.sick("b", false);
  await until("b is back", async () => (await cluster.taking()) === "abc", WAIT_MS);
  assert.deepEqual([(await cluster.web())?.by, (await cluster.web())?.serial], ["two", 3]);
  assert.equal((await cluster.leader())?.host, "two");

  second.process.kill("SIGKILL");
  await cluster.untilLeader("one");
  assert.equal((await cluster.web())?.serial, 3, "becoming conductor changes no table");
});

test("etcd takes a write from who conducts only, also when the same one is elected once more", async (t) => {
  const { store } = new Cluster(t, (await startEtcd(t)).endpoint);
  const go = new AbortController().signal;
  const stand = (value: string) => elect(store, KEYS.conductor, value, 5, go);
  const sleeper = (await stand("one"))!;
  await store.commit([], [{ key: KEYS.conductor, value: null }]);
  const next = (await stand("two"))!;
  assert.deepEqual(await sleeper.commit([{ key: "/x", value: "late" }]), { done: false });
  assert.ok((await next.commit([{ key: "/x", value: "good" }])).done);
  await next.resign();
  const again = (await stand("one"))!;
  assert.deepEqual(await sleeper.commit([{ key: "/x", value: "late" }]), { done: false });
  assert.ok((await again.commit([])).done);
  assert.equal((await store.read("/x")).entries[0]!.value, "good");
});

test("etcd is gone for longer than a lease lasts: nothing has moved when it is back, and then it is followed", async (t) => {
  const etcd = await startEtcd(t);
  const cluster = new Cluster(t, etcd.endpoint);
  await cluster.want();
  const first = cluster.conductor("one");
  await cluster.untilLeader("one");
  await until("generations", async () => (await cluster.taking()) === "abc", WAIT_MS);
  await etcd.kill();
  await until("the conductor sees it", () => /conducts no longer|is away/.test(first.log()), WAIT_MS);
  await until("the lease is over", () => /conducts no longer/.test(first.log()), WAIT_MS);
  await etcd.start();
  await until("it conducts again", () => (first.log().match(/elected/g) ?? []).length === 2, WAIT_MS);
  assert.equal((await cluster.web())?.serial, 1);
  await cluster.sick("c", true);
  await until("c is out", async () => (await cluster.taking()) === "ab", WAIT_MS);
});

test("a conductor that is told to end resigns at once", async (t) => {
  const cluster = new Cluster(t, (await startEtcd(t)).endpoint);
  await cluster.want();
  const first = cluster.conductor("one");
  await cluster.untilLeader("one");
  first.process.kill("SIGTERM");
  const [code] = await once(first.process, "exit");
  assert.deepEqual([code, await cluster.leader()], [0, null]);
});

test("without a store there is nothing to conduct", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-conductor-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, "c.yaml");
  writeFileSync(file, `cluster: lab\nseed: 000102030405060708090a0b0c0d0e0f\nhosts: [{ name: a, dip: 10.0.0.1 }]\n`);
  const { code, stderr } = await hafl("conductor", "--config", file);
  assert.equal(code, 2);
  assert.match(stderr, /^\S+c\.yaml: store: without one there is nothing to conduct, .* \(write store: /);
});
