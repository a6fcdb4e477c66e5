/** Every agent of a lab is taken over from, one of them again and again, under load: nothing breaks, hardly a packet is lost. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { readStatus } from "../../src/control/status.ts";
import { churnPlaces, startClients, startServers } from "../../src/lab/churn.ts";
import { ChurnRecord } from "../../src/lab/churn-record.ts";
import { CHURN_PORT } from "../../src/lab/churn-session.ts";
import type { FlowResult } from "../../src/lab/flows.ts";
import { recordProcess } from "../../src/lab/lab.ts";
import { labConfig } from "../../src/lab/lab-config.ts";
import { job, startLoad } from "../../src/lab/load.ts";
import { ended, spawnIn } from "../../src/lab/namespace.ts";
import { startAgent } from "../../src/lab/node-processes.ts";
import { isAlive, type LabState, logFile, runtimeDir } from "../../src/lab/state.ts";
import { FAMILIES, hostNames, type LabSpec, VIP } from "../../src/lab/topology.ts";
import { labObstacle, labSpec, withLab } from "../support/lab.ts";
import { until } from "../support/netns.ts";

const STREAM_PORT = 9001;
/** What a TUN's queue has room for is counted in packets, AF_PACKET's buffers are larger: a machine of two busy processors fills it sooner. */
const PER_SECOND = { "af-packet": 20_000, tun: 5_000 };
const SESSIONS = 20;
/** Takeovers of s1 in a row; of the other hosts there is one each. */
const AGAIN = 5;
const MOST_LOST = 0.001;
/** How long anything may take on a machine that is busy with other tests too: a new agent to load, a message to come through. */
const PATIENCE_MS = 20_000;
/** Between two takeovers, and until the last messages are there: V8 compiles the data plane of the new agent anew. */
const PAUSE_MS = 1_000;
const dir = mkdtempSync(join(tmpdir(), "hafl-takeover-"));
const NUMBERED = join(dir, "numbered");

/** The lab's own services, one for sessions and one for the numbered stream. */
function configOf(spec: LabSpec): string {
  const config = parse(labConfig(spec)) as { services: object[] };
  const vips = Object.values(VIP);
  config.services.push({ name: "churn", vips, ports: { tcp: [CHURN_PORT], udp: [CHURN_PORT] } });
  config.services.push({ name: "stream", vips, ports: { udp: [STREAM_PORT] } });
  return stringify(config, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** A program that prints a line when it is asked to end; the numbers on it. */
interface Numbered {
  readonly ready: Promise<void>;
  stop(): Promise<number[]>;
}

function numbered(spec: LabSpec, node: string, args: readonly string[]): Numbered {
  const child = spawnIn(spec.name, node, [NUMBERED, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout! });
  reader.on("line", (line) => lines.push(line));
  const ready = new Promise<void>((resolve) => reader.once("line", () => resolve()));
  const end = ended(child);
  return {
    ready,
    stop: async () => {
      child.stdin!.end();
      assert.equal(await end, 0, `numbered ${args.join(" ")} on ${node}`);
      return lines.at(-1)!.split(" ").map(Number);
    },
  };
}

/** Packets that the kernel of this machine had no room for on their way from device to device, whoever's they were. */
const backlogDrops = (): number =>
  readFileSync("/proc/net/softnet_stat", "utf8")
    .trim()
    .split("\n")
    .reduce((sum, line) => sum + Number.parseInt(line.split(" ")[1]!, 16), 0);

interface Took {
  readonly pid: number;
  readonly takeover: { readonly from: number; readonly gapMs: number; readonly dropped: number };
}

/** Starts an agent that takes over on a host, and waits for the one before to end. */
async function takeOver(t: TestContext, state: LabState, host: string): Promise<LabState> {
  const before = state.processes.find((p) => p.role === "agent" && p.node === host)!;
  const log = logFile(state.spec.name, host, "agent");
  const next = await startAgent(state.spec, host, ["--takeover"]);
  const lines = (): string[] => readFileSync(log, "utf8").split("\n");
  const said = (): string | undefined => lines().find((line) => line.includes(`"msg":"took over from pid ${before.pid},`));
  await until(`${host}: an agent in place of pid ${before.pid}`, () => said() !== undefined, PATIENCE_MS);
  await until(`${host}: the end of pid ${before.pid}`, () => !isAlive(state.spec.name, before), 5_000);
  const { pid, takeover } = JSON.parse(said()!) as Took;
  assert.deepEqual([pid, takeover.from], [next.pid, before.pid]);
  assert.ok(lines().some((line) => line.includes(`"msg":"handed over to pid ${pid}"`)));
  t.diagnostic(`${host}: gap ${takeover.gapMs} ms, ${takeover.dropped} packets dropped by the kernel meanwhile`);
  return recordProcess(state, next);
}

async function underLoad(t: TestContext, state: LabState): Promise<void> {
  const { spec } = state;
  await startServers(spec);
  const hosts = hostNames(spec);
  const servers = hosts.map((host) => numbered(spec, host, ["receive", VIP[4], `${STREAM_PORT}`]));
  await Promise.all(servers.map(({ ready }) => ready));
  const record = new ChurnRecord(60);
  const clients = startClients(spec.name, churnPlaces(spec, SESSIONS), (event) => record.take(event), PATIENCE_MS);
  const requests: FlowResult[] = [];
  const jobs = FAMILIES.map((family) => job("c1", "tcp", family, null, { concurrency: 1, timeoutMs: PATIENCE_MS }));
  const load = startLoad(spec.name, "c1", jobs, (result) => requests.push(result));
  const dropped = backlogDrops();
  const rate = PER_SECOND[spec.io];
  const stream = numbered(spec, "c2", ["send", VIP[4], `${STREAM_PORT}`, `${rate}`]);
  let now = state;
  let sent: number[];
  try {
    await until("all sessions", () => record.opened >= 2 * SESSIONS, PATIENCE_MS);
    await sleep(500);
    const counters = hosts.map((host) => readStatus(runtimeDir(spec.name, host)));
    const first = hosts[0]!;
    for (const host of [...Array<string>(AGAIN).fill(first), ...hosts.slice(1)]) {
      now = await takeOver(t, now, host);
      await sleep(PAUSE_MS);
    }
    hosts.forEach((host, i) => {
      const [was, is] = [counters[i]!, readStatus(runtimeDir(spec.name, host))];
      assert.ok(is.running, host);
      assert.equal(is.generation, was.generation, "nothing was published");
      for (const name of ["delivered", "forwarded"])
        assert.ok(is.verdicts[name]! > was.verdicts[name]!, `${host}: ${name} goes on`);
    });
  } finally {
    sent = await stream.stop();
    await sleep(PAUSE_MS);
    load.stop();
    clients.stop();
    await Promise.all([load.done, clients.done]);
  }
  const [packets, seconds] = sent as [number, number];
  const came = await Promise.all(servers.map((server) => server.stop()));
  const sum = (i: number): number => came.reduce((total, numbers) => total + numbers[i]!, 0);
  const [arrived, again, full] = [sum(0), sum(1), sum(2)];
  // What had no room in the server's socket had come through us.
  const lost = packets - arrived - full;
  t.diagnostic(
    `${packets} packets sent in ${seconds.toFixed(1)} s (${Math.round(packets / seconds)}/s), ${lost} lost, ${((100 * lost) / packets).toFixed(4)} %; besides ${again} came twice, ${full} found the server's socket full, ${backlogDrops() - dropped} dropped between devices on this machine`,
  );
  const failed = requests.filter(({ host }) => host === null).map(({ error }) => error);
  t.diagnostic(
    `${record.opened} sessions, ${record.answered} messages answered, ${record.lost} datagrams of them lost; ${requests.length} HTTP requests, ${failed.length} failed`,
  );
  assert.ok(packets / seconds > rate / 2, "too slow a stream to tell anything");
  assert.ok(lost <= packets * MOST_LOST, `${lost} of ${packets} packets lost`);
  assert.deepEqual([record.breaks, record.failed, failed], [[], [], []]);
  assert.ok(requests.length > 50 && record.answered > 1_000);
}

test("every agent is taken over from under load", { skip: labObstacle, timeout: 240_000 }, async (t) => {
  const source = fileURLToPath(new URL("../../../test/support/numbered.c", import.meta.url));
  try {
    execFileSync("cc", ["-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", NUMBERED, source]);
    for (const io of ["af-packet", "tun"] as const) {
      await t.test(io, async (s) => {
        const spec = labSpec({ name: `e2e-take-${io === "tun" ? "t" : "p"}-${process.pid}`, hosts: 2, io });
        await withLab(spec, (state) => underLoad(s, state), configOf(spec));
      });
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
