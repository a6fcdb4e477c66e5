/** What is done to the cluster in its lab, one thing after the other. Each gives its figures, or throws what was not as it should be. */

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { labDir } from "../state.ts";
import { expect } from "../verdicts.ts";
import { wantedConfig } from "./cluster-config.ts";
import type { ClusterLab } from "./cluster-lab.ts";
import type { ClusterLoad } from "./cluster-load.ts";

/** A thing that happens. */
export interface ClusterEvent {
  readonly what: string;
  /** Hosts whose sessions may break. */
  readonly harms: readonly string[];
  /** Requests that begin so long after its begin must not fail any more, ms. */
  readonly avoidedMs: number | null;
  readonly act: (lab: ClusterLab, load: ClusterLoad) => Promise<string>;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const same = (a: readonly string[], b: readonly string[]): boolean => [...a].sort().join() === [...b].sort().join();

/** Waits until exactly these hosts are in the newest generation. */
const serves = (lab: ClusterLab, hosts: readonly string[]): Promise<number> =>
  lab.until(`new connections only for ${hosts.join(", ")}`, async () => same(await lab.serving(), hosts));

const without = (lab: ClusterLab, ...hosts: string[]): string[] => lab.hosts.filter((host) => !hosts.includes(host));

/** Tables of all hosts, and serials and contents of all generations in the store. */
async function steering(lab: ClusterLab): Promise<string> {
  const generations = await lab.records("generations", lab.keys.allGenerations);
  return JSON.stringify(
    [...generations].map(([pool, { generations: list }]) => [pool, list.map(({ id, hosts }) => [id, hosts])]),
  );
}

async function serviceStops(lab: ClusterLab): Promise<string> {
  await Promise.all([lab.end("s2", "server"), lab.end("s2", "churn")]);
  let gone: number;
  try {
    gone = await serves(lab, without(lab, "s2"));
    await sleep(3_000);
  } finally {
    await lab.startServers("s2");
  }
  const back = await serves(lab, lab.hosts);
  return `out of the table after ${seconds(gone)}, in it again ${seconds(back)} after its start`;
}

async function agentKilled(lab: ClusterLab): Promise<string> {
  await lab.end("s3", "agent");
  let gone: number;
  try {
    gone = await serves(lab, without(lab, "s3"));
    await sleep(2_000);
  } finally {
    await lab.startAgent("s3");
  }
  const back = await serves(lab, lab.hosts);
  return `out of the table after ${seconds(gone)}, in it again ${seconds(back)} after its start`;
}

async function cutFromStore(lab: ClusterLab): Promise<string> {
  const before = await steering(lab);
  await lab.cut("s4", "store");
  try {
    await lab.until("its agent notices", () => lab.says("s4", "agent", "the store is away"));
    // Longer than its report is leased.
    await sleep(20_000);
    expect((await steering(lab)) === before, "generations have changed");
  } finally {
    await lab.heal("s4", "store");
  }
  const back = await lab.until("its agent finds the store again", () => lab.says("s4", "agent", "the store is back"));
  return `20 s without a report of it, no table has moved; the store back after ${seconds(back)}`;
}

async function cutFromPeers(lab: ClusterLab): Promise<string> {
  await lab.cut("s5", "peers");
  let gone: number;
  try {
    gone = await serves(lab, without(lab, "s5"));
    await sleep(5_000);
  } finally {
    await lab.heal("s5", "peers");
  }
  const back = await serves(lab, lab.hosts);
  return `out of the table after ${seconds(gone)}, in it again after ${seconds(back)}`;
}

async function cutFromAll(lab: ClusterLab): Promise<string> {
  await lab.cut("s1", "all");
  let gone: number;
  try {
    gone = await serves(lab, without(lab, "s1"));
    await sleep(15_000);
  } finally {
    await lab.heal("s1", "all");
  }
  const back = await serves(lab, lab.hosts);
  return `out of the table after ${seconds(gone)}, in it again after ${seconds(back)}`;
}

/** The conductor of now ends by `end`; gives who follows, and after how long. */
async function successor(
  lab: ClusterLab,
  end: (node: string) => Promise<void>,
): Promise<{ old: string; next: string; ms: number }> {
  await lab.until("somebody conducts", async () => (await lab.conductor()) !== null);
  const old = (await lab.conductor())!;
  await end(old);
  let next = old;
  const ms = await lab.until("another one conducts", async () => {
    next = (await lab.conductor()) ?? old;
    return next !== old;
  });
  return { old, next, ms };
}

async function conductorKilled(lab: ClusterLab): Promise<string> {
  const before = await steering(lab);
  const { old, next, ms } = await successor(lab, (node) => lab.end(node, "conductor"));
  expect(ms <= 10_000, `a new conductor only after ${seconds(ms)}`);
  await sleep(3_000);
  expect((await steering(lab)) === before, "generations have changed");
  await lab.startConductor(old);
  return `${old} was killed, ${next} conducts after ${seconds(ms)}; no table has moved`;
}

async function storeStops(lab: ClusterLab): Promise<string> {
  const before = await steering(lab);
  const tables = lab.hosts.map((host) => lab.tables(host));
  await lab.etcd.kill();
  let restarted: number;
  const begun = performance.now();
  try {
    await sleep(15_000);
    await lab.end("s2", "agent");
    await lab.startAgent("s2");
    restarted = (performance.now() - begun) / 1000;
    expect(lab.says("s2", "agent", "which counted here last"), "the agent of s2 does not say what it started with");
    await sleep(Math.max(0, 60_000 - (performance.now() - begun)));
    const moved = without(lab, "s2").filter((host) => lab.tables(host) !== tables[lab.hosts.indexOf(host)]);
    expect(moved.length === 0, `tables of ${moved.join(", ")} have changed`);
  } finally {
    await lab.etcd.start();
  }
  const back = await lab.until("all report again", async () => {
    const reports = [...(await lab.records("hostReport", lab.keys.allHosts)).values()];
    return reports.length === lab.hosts.length && reports.every(({ ageSeconds }) => ageSeconds < 10);
  });
  await lab.until("somebody conducts", async () => (await lab.conductor()) !== null);
  await sleep(3_000);
  expect((await steering(lab)) === before, "generations have changed");
  return `60 s without it; the agent of s2 restarted after ${restarted.toFixed(0)} s, from its disk; all reports back after ${seconds(back)}, no table has moved`;
}

async function storeRestored(lab: ClusterLab): Promise<string> {
  const snapshot = join(labDir(lab.spec.name), "store.snapshot");
  await lab.etcd.snapshot(snapshot);
  await lab.hafl("weight", "s1", "20", "-m", "after the snapshot");
  await lab.hafl("weight", "s2", "20", "-m", "after the snapshot too");
  const applied = async (): Promise<number[]> =>
    [...(await lab.records("hostReport", lab.keys.allHosts)).values()].map(({ change }) => change);
  const wanted = async () => (await lab.records("wanted", lab.keys.wanted)).get("wanted")!;
  const { change } = await wanted();
  await lab.until("both changes are applied", async () => (await applied()).every((one) => one === change));
  await lab.until("tables follow them", async () => {
    const generations = await lab.records("generations", lab.keys.allGenerations);
    return [...generations.values()].every((one) => one.change === change);
  });
  await sleep(2_000);
  const tables = lab.hosts.map((host) => lab.tables(host));
  await lab.etcd.kill();
  await lab.etcd.restore(snapshot);
  await lab.etcd.start();
  expect((await wanted()).change < change, "the snapshot is not older");
  const refused = await lab.until("all hosts refuse it, and the conductor raises an alarm", async () => {
    const reports = [...(await lab.records("hostReport", lab.keys.allHosts)).values()];
    const decisions = (await lab.records("decisions", lab.keys.decisions)).get("decisions");
    const all = reports.length === lab.hosts.length && reports.every((report) => /turned back/.test(report.refused ?? ""));
    return all && (decisions?.alarms.length ?? 0) > 0;
  });
  await sleep(5_000);
  const moved = lab.hosts.filter((host, i) => lab.tables(host) !== tables[i]);
  expect(moved.length === 0, `tables of ${moved.join(", ")} have changed`);
  await lab.apply(wantedConfig(lab.spec), "after the restore", ["--force"]);
  const again = await lab.until("all hosts have the new change", async () => {
    const reports = [...(await lab.records("hostReport", lab.keys.allHosts)).values()];
    return reports.length === lab.hosts.length && reports.every((report) => report.change > change && report.refused === null);
  });
  return `refused by all hosts after ${seconds(refused)}, alarm raised, no table has moved; hafl apply --force: followed by all after ${seconds(again)}`;
}

async function deposedWakes(lab: ClusterLab): Promise<string> {
  let stopped = "";
  const { old, next, ms } = await successor(lab, async (node) => {
    stopped = node;
    process.kill(lab.process(node, "conductor").pid, "SIGSTOP");
  });
  try {
    await lab.hafl("weight", "s3", "12", "-m", "while the old conductor sleeps");
    const { change } = (await lab.records("wanted", lab.keys.wanted)).get("wanted")!;
    await lab.until("the new conductor acts on it", async () => {
      const generations = [...(await lab.records("generations", lab.keys.allGenerations)).values()];
      return generations.every((one) => one.change === change && one.by !== old);
    });
  } finally {
    process.kill(lab.process(stopped, "conductor").pid, "SIGCONT");
  }
  const yields = await lab.until("the old one knows that it conducts no longer", () =>
    lab.says(old, "conductor", "conducts no longer"),
  );
  await sleep(3_000);
  const generations = [...(await lab.records("generations", lab.keys.allGenerations)).values()];
  expect(
    generations.every(({ by }) => by !== old),
    `${old} has written`,
  );
  return `${old} slept, ${next} conducted after ${seconds(ms)}; awake, ${old} gave way after ${seconds(yields)} and wrote nothing`;
}

async function drained(lab: ClusterLab, load: ClusterLoad): Promise<string> {
  const before = load.open("s4");
  const begun = performance.now();
  try {
    await lab.hafl("drain", "s4", "--for", "90s", "-m", "maintenance");
  } catch (error) {
    const sockets = (await lab.exec("s4", ["ss", "-Htn", "state", "established"]))
      .trim()
      .replaceAll(/\s*\n\s*/g, "; ")
      .replaceAll(/ +/g, " ");
    throw new Error(`${(error as Error).message.split("\n").at(1)}; its kernel has ${sockets || "no connection"}`);
  }
  const took = performance.now() - begun;
  const left = load.open("s4");
  await lab.hafl("undrain", "s4");
  await serves(lab, lab.hosts);
  expect(left === 0, `${left} sessions are left`);
  return `${before} sessions, none left after ${seconds(took)}`;
}

async function upgraded(lab: ClusterLab): Promise<string> {
  const begun = performance.now();
  for (const host of lab.hosts) {
    await lab.startAgent(host, ["--takeover"]);
    await sleep(1_000);
  }
  return `${lab.hosts.length} agents replaced in ${seconds(performance.now() - begun)}`;
}

async function clockJumps(lab: ClusterLab): Promise<string> {
  await lab.until("somebody conducts", async () => (await lab.conductor()) !== null);
  const conductor = (await lab.conductor())!;
  const before = await steering(lab);
  const files = [conductor, "s1"].map((node) => lab.clockFile(node));
  for (const offset of [3_600_000, -7_200_000]) {
    for (const file of files) writeFileSync(file, String(offset));
    await sleep(6_000);
    expect((await steering(lab)) === before, `generations have changed with a clock off by ${offset / 1000} s`);
  }
  for (const file of files) if (existsSync(file)) rmSync(file);
  await sleep(3_000);
  expect((await steering(lab)) === before, "generations have changed with the clock right again");
  return `clocks of the conductor (${conductor}) and of s1 an hour ahead, an hour behind, and right again: no table has moved`;
}

/** In the order in which they happen. */
export const CLUSTER_EVENTS: readonly ClusterEvent[] = [
  { what: "the services of s2 stop", harms: ["s2"], avoidedMs: 3_000, act: serviceStops },
  { what: "the agent of s3 is killed", harms: ["s3"], avoidedMs: null, act: agentKilled },
  { what: "s4 is cut off from the store", harms: [], avoidedMs: 0, act: cutFromStore },
  { what: "s5 is cut off from the other hosts", harms: ["s5"], avoidedMs: null, act: cutFromPeers },
  { what: "s1 is cut off from everything", harms: ["s1"], avoidedMs: null, act: cutFromAll },
  { what: "the conductor is killed", harms: [], avoidedMs: 0, act: conductorKilled },
  { what: "the whole store stops for a minute", harms: [], avoidedMs: null, act: storeStops },
  { what: "the store is restored from an older snapshot", harms: [], avoidedMs: 0, act: storeRestored },
  { what: "a deposed conductor wakes up", harms: [], avoidedMs: 0, act: deposedWakes },
  { what: "s4 is drained", harms: [], avoidedMs: 0, act: drained },
  { what: "all agents are upgraded, one after the other", harms: [], avoidedMs: 0, act: upgraded },
  { what: "clocks jump", harms: [], avoidedMs: 0, act: clockJumps },
];
