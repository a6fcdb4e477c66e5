/** An agent is killed under load and started again: no connection breaks, neither its host's nor those it passed on. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readStatus } from "../../src/control/status.ts";
import { churnPlaces, startClients, startServers } from "../../src/lab/churn.ts";
import { churnConfig, fullCluster } from "../../src/lab/churn-plan.ts";
import { ChurnRecord } from "../../src/lab/churn-record.ts";
import { recordProcess } from "../../src/lab/lab.ts";
import { startAgent, stopProcess } from "../../src/lab/node-processes.ts";
import { configFile, type LabState, logFile, replaceFile, runtimeDir } from "../../src/lab/state.ts";
import { hostNames, type LabSpec } from "../../src/lab/topology.ts";
import { labObstacle, labSpec, withLab } from "../support/lab.ts";
import { until } from "../support/netns.ts";

const SESSIONS = 40;
/** Long enough that packets are lost, short enough that TCP sends them again within its patience. */
const DEAD_MS = 500;
/** On a busy machine an agent takes seconds to start, and TCP waits as long again until it sends the next time. */
const PATIENCE_MS = 15_000;
const RECOVERY_MS = 4_000;

async function killAndStart(state: LabState, host: string): Promise<LabState> {
  const agent = state.processes.find((p) => p.role === "agent" && p.node === host)!;
  await stopProcess(state.spec.name, agent, "SIGKILL");
  await sleep(DEAD_MS);
  const log = logFile(state.spec.name, host, "agent");
  const starts = (): number => readFileSync(log, "utf8").split('"ready":true').length;
  const before = starts();
  const next = await startAgent(state.spec, host);
  await until(`${host} ready again`, () => starts() > before, 10_000);
  return recordProcess(state, next);
}

async function underLoad(state: LabState): Promise<void> {
  const { spec } = state;
  await startServers(spec);
  const record = new ChurnRecord(60);
  const clients = startClients(spec.name, churnPlaces(spec, SESSIONS), (event) => record.take(event), PATIENCE_MS);
  try {
    await until("all sessions", () => record.opened >= 2 * SESSIONS, 10_000);
    // Buckets move first: what lives on past its first hop needs what the killed agent knew.
    const cluster = fullCluster(spec);
    replaceFile(configFile(spec.name), churnConfig(spec, { ...cluster, s3: { state: "active", weight: 3 } }, 60, true));
    await until(
      "the new weights",
      () => hostNames(spec).every((host) => readStatus(runtimeDir(spec.name, host)).generation > 1),
      5_000,
    );
    await sleep(500);
    let now = state;
    for (const host of ["s1", "s2"]) {
      assert.ok(record.openOn(host).length > 0, `no session on ${host}`);
      now = await killAndStart(now, host);
      await sleep(RECOVERY_MS);
    }
  } finally {
    clients.stop();
    await clients.done;
  }
  assert.deepEqual([record.breaks, record.failed], [[], []]);
}

for (const io of ["af-packet", "tun"] as const) {
  test(`${io}: kill -9 and start again under load`, { skip: labObstacle, timeout: 90_000 }, async () => {
    const spec: LabSpec = labSpec({ name: `e2e-killed-${io === "tun" ? "t" : "p"}-${process.pid}`, hosts: 3, io });
    await withLab(spec, underLoad, churnConfig(spec, fullCluster(spec), 60, true));
  });
}
