import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { effectiveConfig, parseConfig } from "../../src/control/config.ts";
import { loadLocal, mergeConfig } from "../../src/control/config-split.ts";

const LOCAL =
  "cluster: lab\nseed: 000102030405060708090a0b0c0d0e0f\nstore: { kind: etcd, endpoints: ['http://10.0.0.1:2379'] }\n";
const WANTED = "hosts: [{ name: s1, dip: 10.0.0.1 }]\n";

const merge = (own: string, wanted: string) =>
  mergeConfig({ text: own, name: "own.yaml" }, { text: wanted, name: "/hafl/lab/wanted" });

test("both places together are a config as one file is, and it survives being written out", () => {
  const merged = merge(LOCAL, WANTED);
  assert.ok("config" in merged);
  const whole = parseConfig(LOCAL + WANTED, "whole.yaml");
  assert.ok("config" in whole);
  assert.equal(effectiveConfig(merged.config), effectiveConfig(whole.config));
  const again = parseConfig(effectiveConfig(whole.config), "again");
  assert.ok("config" in again);
  assert.deepEqual(again.config.store, whole.config.store);
});

test("what is wrong is reported where it stands", () => {
  for (const [own, wanted, line] of [
    [LOCAL.replace("lab", "lab lab"), WANTED, /^own\.yaml: cluster: /],
    [LOCAL, WANTED.replace("10.0.0.1", "10.0.0.256"), /^\/hafl\/lab\/wanted: hosts\[0\]\.dip: /],
    [LOCAL, `${WANTED}io: { workers: 2 }\n`, /^\/hafl\/lab\/wanted: io: belongs into the file of each host/],
    [`${LOCAL}gue: { port: 6081 }\n`, WANTED, /^own\.yaml: gue: is kept in the store/],
    [LOCAL, "hosts: [", /^\/hafl\/lab\/wanted:\d+:\d+: not YAML/],
    [LOCAL, `${WANTED}hostz: []\n`, /^\/hafl\/lab\/wanted: hostz: unknown key/],
  ] as const) {
    const result = merge(own, wanted);
    assert.ok("errors" in result && line.test(result.errors[0]!), JSON.stringify(result).slice(0, 200));
  }
});

test("a host's own file names its store, and has nothing in it that belongs there", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-split-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "c.yaml");
  const load = (text: string) => {
    writeFileSync(file, text);
    return loadLocal(file);
  };
  const good = load(LOCAL);
  assert.ok("local" in good && good.local.store.kind === "etcd");
  const whole = load(LOCAL.replace(/store.*\n/, "") + WANTED);
  assert.ok("local" in whole && whole.local.store.kind === "file");
  const bad = load(LOCAL + WANTED);
  assert.ok("errors" in bad && bad.errors[0]!.includes("hosts: is kept in the store"));
  const store = (text: string) => load(LOCAL.replace(/store:.*/, `store: ${text}`));
  for (const [text, line] of [
    ["{ kind: etcd }", /store: endpoints is missing/],
    ["{ kind: etcd, endpoints: [10.0.0.1] }", /store\.endpoints: .*is not an endpoint/],
    ["{ kind: etcd, endpoints: ['http://a:1', 'https://b:1'] }", /has both http and https/],
    ["{ endpoints: ['http://a:1'] }", /are for kind: etcd/],
    ["{ kind: etcd, endpoints: ['https://a:1'], tls: { cert: /c.pem } }", /belong together/],
    ["{ kind: consul }", /store\.kind: /],
  ] as const) {
    const result = store(text);
    assert.ok("errors" in result && line.test(result.errors[0]!), `${text}: ${JSON.stringify(result)}`);
  }
});
