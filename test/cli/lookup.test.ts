import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readLiveTables } from "../../src/control/live-tables.ts";
import { Publisher } from "../../src/control/publish.ts";
import { hashFlow } from "../../src/dataplane/flow.ts";
import { createParsed } from "../../src/dataplane/parsed.ts";
import { native } from "../../src/io/native.ts";
import { flowsPath } from "../../src/io/runtime-files.ts";
import { lookupWith } from "../../src/replay/lookup.ts";
import { flowTableBytes, rememberFlow, viewFlows } from "../../src/shm/flow-table.ts";
import { parseFlow } from "../../src/steering/flow.ts";
import { hafl } from "../support/command.ts";
import { CONFIG, configOf, HOST } from "../support/fixture.ts";

const FLOW = "tcp 198.51.100.7:1234 > 192.0.2.10:80";
const NOW = 1_700_000_000;

test("a look-up in an agent's files says what its flow table knows", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-lookup-"));
  t.after(() => rmSync(dir, { recursive: true }));
  Publisher.open(dir, 1, 1000).publish(configOf(CONFIG), HOST, 1500);
  const { tables } = readLiveTables(dir);
  const p = Object.assign(createParsed(), {
    version: 4,
    kind: 0x406,
    source: 0xc6336407 | 0,
    destination: 0xc000020a | 0,
    ports: (1234 << 16) | 80,
  });
  hashFlow(tables, p);
  const flows = viewFlows(native().mapFile(flowsPath(dir), flowTableBytes(1000), false), 10);
  const flow = parseFlow(FLOW);
  assert.ok(typeof flow !== "string");
  const ask = () => {
    const live = readLiveTables(dir);
    const { chain, entry, host, verdict } = lookupWith(live.tables, live.names, { flows: live.flows, now: NOW + 5 })(flow);
    return { chain, entry, host, verdict };
  };
  assert.deepEqual(ask(), { chain: ["s2"], entry: null, host: "s2", verdict: "forwarded" });
  const ids = new Map([...readLiveTables(dir).names.hosts].map(([id, name]) => [name, id]));
  rememberFlow(flows, p.hash, p.hash2, ids.get("s3")!, false, NOW);
  assert.deepEqual(ask(), {
    chain: ["s3", "s2"],
    entry: { host: "s3", certain: false, idleSeconds: 5 },
    host: "s3",
    verdict: "forwarded",
  });
  rememberFlow(flows, p.hash, p.hash2, ids.get("s1")!, true, NOW);
  assert.deepEqual(ask().chain, ["s1"]);
});

test("a look-up is by a config or by an agent, not by both and not by neither", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-lookup-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const config = join(dir, "config.yaml");
  writeFileSync(config, CONFIG);
  for (const args of [[], ["--config", config, "--instance", "x"]]) {
    const { code, stderr } = await hafl("lookup", "--flow", FLOW, ...args);
    assert.equal(code, 2);
    assert.match(stderr, /either --config or a running agent/);
  }
  const missing = await hafl("lookup", "--flow", FLOW, "--runtime-dir", dir);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /no agent's tables can be read here/);
});
