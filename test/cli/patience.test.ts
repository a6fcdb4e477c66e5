/** Commands that look at a store again and again bear that it is away for a while. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Patience } from "../../src/cli/patience.ts";
import { EtcdStore } from "../../src/store/etcd-store.ts";
import { clusterKeys } from "../../src/store/keys.ts";
import { writeRecord } from "../../src/store/records.ts";
import { StoreAway, StoreRefused } from "../../src/store/store.ts";
import { hafl } from "../support/command.ts";
import { startEtcd } from "../support/etcd.ts";
import { until } from "../support/store-contract.ts";

test("a store that is away is borne for 15 s, which is said once; what else is wrong is not", async () => {
  let [now, said] = [0, ""];
  const stderr = new Writable({
    write: (chunk, _encoding, done) => {
      said += chunk;
      done();
    },
  });
  const patience = new Patience("etcd", { stdout: stderr, stderr }, () => now);
  const away = async (): Promise<object> => {
    now += 5_000;
    throw new StoreAway("refused");
  };
  const there = {};
  for (let turn = 0; turn < 2; turn++) {
    assert.equal(await patience.bear(away), null);
    assert.equal(await patience.bear(away), null);
    assert.match(said, /^hafl: store etcd: cannot be reached: refused: trying for 15 s\n$/);
    assert.equal(await patience.bear(async () => there), there);
    assert.match(said, /15 s\nhafl: store etcd answers again\n$/);
    [now, said] = [now + 60_000, ""];
  }
  assert.equal(await patience.bear(away), null);
  assert.equal(await patience.bear(away), null);
  await assert.rejects(patience.bear(away), /^Error: refused, for 15 s$/);
  const refused = async (): Promise<object> => {
    throw new StoreRefused("no");
  };
  await assert.rejects(new Patience("etcd", { stdout: stderr, stderr }).bear(refused), StoreRefused);
});

const MAIN = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown[]>;
  stdout: string;
  stderr: string;
}

/** A command that goes on until it is told to stop, or the test is over. */
function start(t: TestContext, ...args: string[]): Running {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const running: Running = { child, ended: once(child, "exit"), stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => {
    running.stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    running.stderr += chunk;
  });
  t.after(() => child.kill("SIGKILL"));
  return running;
}

test("hafl hosts --watch and hafl drain go on when etcd was away for a moment", async (t) => {
  const etcd = await startEtcd(t);
  const dir = mkdtempSync(join(tmpdir(), "hafl-patience-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const [config, wish] = [join(dir, "c.yaml"), join(dir, "wish.yaml")];
  writeFileSync(
    config,
    `cluster: lab\nseed: 0123456789abcdef0123456789abcdef\nstore: { kind: etcd, endpoints: ["${etcd.endpoint}"] }\n`,
  );
  writeFileSync(
    wish,
    "hosts: [{ name: s1, dip: 10.0.1.11 }]\nservices: [{ name: web, vips: [192.0.2.10], ports: { tcp: [80] } }]\n",
  );
  const first = await hafl("apply", wish, "-m", "first", "--config", config);
  assert.deepEqual([first.code, first.stderr], [0, ""]);
  const [hosts, drain] = [
    start(t, "hosts", "--watch", "--json", "--config", config),
    start(t, "drain", "s1", "--for", "10m", "--json", "--config", config),
  ];
  const both = [hosts, drain];
  await until("both have looked", () => both.every(({ stdout }) => stdout.includes("\n")), 60_000);
  await etcd.kill();
  await until("both say so", () => both.every(({ stderr }) => /cannot be reached: .*: trying for 15 s\n$/.test(stderr)), 60_000);
  await etcd.start();
  await until("both go on", () => both.every(({ stderr }) => /answers again\n$/.test(stderr)), 60_000);
  const seen = hosts.stdout.length;
  const store = new EtcdStore({
    endpoints: [etcd.endpoint],
    tls: { ca: null, cert: null, key: null },
    user: null,
    passwordFile: null,
  });
  t.after(() => store.close());
  const report = writeRecord("hostReport", {
    host: "s1",
    when: Date.now(),
    version: "1",
    change: 99,
    generation: 1,
    ageSeconds: 0,
    serials: {},
    refused: null,
    problems: {},
    services: {},
    load: null,
    flows: 0,
    announced: [],
  });
  const key = clusterKeys("lab").host("s1");
  // A count is believed when it was written after it was seen that the host goes by the change.
  const again = setInterval(() => void store.commit([], [{ key, value: report }]).catch(() => {}), 200);
  t.after(() => clearInterval(again));
  assert.deepEqual(await drain.ended, [0, null], drain.stderr);
  await until("the hosts are printed again", () => hosts.stdout.length > seen);
  hosts.child.kill("SIGINT");
  assert.deepEqual(await hosts.ended, [130, null], hosts.stderr);
});
