import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readHistory } from "../../src/control/history-file.ts";
import { OwnedFlows } from "../../src/control/owned-flows.ts";
import { Publisher } from "../../src/control/publish.ts";
import { native } from "../../src/io/native.ts";
import { flowsPath } from "../../src/io/runtime-files.ts";
import { flowTableBytes, rememberFlow, viewFlows } from "../../src/shm/flow-table.ts";
import { hostClock } from "../../src/shm/host-clock.ts";
import { configOf } from "../support/fixture.ts";
import { seededRandom } from "../support/random.ts";

const CONFIG = configOf(`cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts: [{ name: s1, dip: 10.0.0.1 }, { name: s2, dip: 10.0.0.2 }]
services: [{ name: web, vips: [192.0.2.1], ports: { tcp: any } }]
table: { size: 1009 }
`);
/** More than are looked through in one go. */
const FLOWS = 600_000;

test("flows count that are known to be this host's and had a packet lately", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-owned-"));
  t.after(() => rmSync(dir, { recursive: true }));
  assert.equal(await new OwnedFlows(dir, "s2").count(), 0, "there is no agent yet");
  Publisher.open(dir, 1, FLOWS).publish(CONFIG, "s2", new Map());
  const owned = new OwnedFlows(dir, "s2");
  assert.equal(await owned.count(), 0);

  const { hostIds } = readHistory(dir);
  const table = viewFlows(native().mapFile(flowsPath(dir), flowTableBytes(FLOWS), false), 1e9);
  const random = seededRandom(1);
  const add = (count: number, host: string, certain: boolean, seen: number): void => {
    for (let i = 0; i < count; i++) rememberFlow(table, random(2 ** 32) | 0, random(2 ** 32) | 0, hostIds[host]!, certain, seen);
  };
  const now = Math.trunc(hostClock() / 1000);
  add(3000, "s2", true, now);
  add(500, "s2", false, now);
  add(700, "s2", true, now - 600);
  add(900, "s1", true, now);
  assert.equal(await new OwnedFlows(dir, "s2").count(), 3000);
  assert.equal(await new OwnedFlows(dir, "s1").count(), 900);
  assert.equal(await owned.count(), 0, "counted a moment ago");
  rememberFlow(table, 5, 6, hostIds.s2!, true, now, true);
  assert.equal(await new OwnedFlows(dir, "s2").count(), 3001);
  assert.equal(await new OwnedFlows(dir, "s2").countUdp(), 1);
  rememberFlow(table, 7, 8, hostIds.s2!, true, now - 40, true);
  assert.equal(await new OwnedFlows(dir, "s2").count(), 3002);
  assert.equal(await new OwnedFlows(dir, "s2").countUdp(), 1, "nobody waits for a flow of UDP that has been silent for 40 s");
});
