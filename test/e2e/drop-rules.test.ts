/** A flood that a drop rule matches, in a lab: nobody notices it but the rule's counter. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readStatus, type Status } from "../../src/control/status.ts";
import { readCapture } from "../../src/io/pcap.ts";
import type { FlowResult } from "../../src/lab/flows.ts";
import { labConfig } from "../../src/lab/lab-config.ts";
import { job, startLoad } from "../../src/lab/load.ts";
import { configFile, type LabState, replaceFile, runtimeDir } from "../../src/lab/state.ts";
import { FAMILIES, hostNames, type LabSpec, VIP } from "../../src/lab/topology.ts";
import { MAIN } from "../support/agent.ts";
import { labObstacle, labSpec, runOn, withLab } from "../support/lab.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import { until } from "../support/netns.ts";

const PORT = 9999;
const FLOOD_SECONDS = 5;
/** How old counters of what the kernel dropped may be, ms. */
const COUNTED_MS = 500;
const dir = mkdtempSync(join(tmpdir(), "hafl-flood-"));
const FLOOD = join(dir, "flood");

const statuses = (spec: LabSpec): Status[] => hostNames(spec).map((host) => readStatus(runtimeDir(spec.name, host)));
const sum = (spec: LabSpec, of: (status: Status) => number): number => statuses(spec).reduce((total, s) => total + of(s), 0);
const frames = (spec: LabSpec): number => sum(spec, (s) => s.workers.reduce((total, w) => total + w.uplinkFrames, 0));
const verdict = (spec: LabSpec, name: string): number => sum(spec, (s) => s.verdicts[name] ?? 0);
const rule = (spec: LabSpec, name: string): number => sum(spec, (s) => s.rules[name]?.packets ?? 0);

/** Sends for so many seconds from a client; gives how many packets that were. */
const flood = async (spec: LabSpec, family: 4 | 6, seconds: number): Promise<number> =>
  Number(await runOn(spec.name, "c2", [FLOOD, VIP[family], String(PORT), String(seconds)]));

async function apply({ spec }: LabState, drop: string): Promise<void> {
  const before = statuses(spec).map(({ generation }) => generation);
  replaceFile(configFile(spec.name), `${labConfig(spec)}\n${drop}\n`);
  await until("a new generation on every host", () => statuses(spec).every((s, i) => s.generation > before[i]!), 5_000);
  // The filters follow the generation.
  await sleep(100);
}

/** 5 seconds of both families while HTTP goes on. */
async function floodDropped(t: TestContext, state: LabState): Promise<void> {
  const { spec } = state;
  await apply(state, `drop: [{ name: dns, match: "src port 53" }, { name: flood, match: "udp dst port ${PORT}" }]`);
  const results: FlowResult[] = [];
  const jobs = FAMILIES.map((f) => job("c1", "tcp", f, null, { concurrency: 2, timeoutMs: 5_000 }));
  const before = frames(spec);
  const load = startLoad(spec.name, "c1", jobs, (r) => results.push(r));
  await sleep(300);
  const begun = performance.now();
  const sent = (await flood(spec, 4, FLOOD_SECONDS / 2)) + (await flood(spec, 6, FLOOD_SECONDS / 2));
  const seconds = (performance.now() - begun) / 1000;
  load.stop();
  await load.done;
  await sleep(COUNTED_MS + 200);
  const failed = results.filter((r) => r.host === null);
  const counted = rule(spec, "flood");
  t.diagnostic(`${sent} packets in ${seconds.toFixed(1)} s (${Math.round(sent / seconds / 1000)} kpps), counted ${counted}`);
  t.diagnostic(
    `${results.length} HTTP requests meanwhile, ${failed.length} failed; ${frames(spec) - before} frames came to user space`,
  );
  assert.ok(sent > 20_000, "no flood");
  assert.equal(counted, sent, "the rule's counter accounts for all of it");
  assert.equal(rule(spec, "dns"), 0);
  // 22 bytes of payload behind IPv4 or IPv6 and UDP.
  const bytes = sum(spec, (s) => s.rules.flood?.inKernelBytes ?? 0);
  t.diagnostic(`about ${bytes} bytes, ${(bytes / sent).toFixed(1)} each`);
  assert.ok(bytes / sent > 45 && bytes / sent < 75, "between the lengths of both families");
  assert.equal(verdict(spec, "drop_rule") + verdict(spec, "no_service"), 0, "user space got none of it");
  assert.ok(results.length > 50, `only ${results.length} requests`);
  assert.deepEqual(
    failed.map((r) => r.error),
    [],
  );
}

/** Filters and counting are replaced while packets come: at no moment does one get past. */
async function reloaded(t: TestContext, state: LabState): Promise<void> {
  const { spec } = state;
  const flooded = `{ name: again, match: "udp dst port ${PORT}" }`;
  await apply(state, `drop: [${flooded}]`);
  const under = flood(spec, 4, 3);
  for (const port of [53, 54, 55]) await apply(state, `drop: [{ name: p${port}, match: "udp src port ${port}" }, ${flooded}]`);
  const sent = await under;
  await sleep(COUNTED_MS + 200);
  const counted = rule(spec, "again");
  t.diagnostic(`${sent} packets, counted ${counted}, while the rules were changed three times`);
  assert.equal(verdict(spec, "drop_rule") + verdict(spec, "no_service"), 0, "user space got none of it");
  assert.ok(Math.abs(counted - sent) < sent / 50, "what is counted twice or not at all while sockets are replaced is little");
}

/** What is dropped in the kernel can be looked at: one in so many comes up, is counted once, and stands in the ring. */
async function sampled(t: TestContext, state: LabState): Promise<void> {
  const { spec } = state;
  await apply(state, `drop: [{ name: seen, match: "udp dst port ${PORT}", sample: 500 }]`);
  const sent = await flood(spec, 4, 1);
  await sleep(COUNTED_MS + 200);
  assert.equal(rule(spec, "seen"), sent, "samples are not counted twice");
  const came = verdict(spec, "drop_rule");
  t.diagnostic(`${came} of ${sent} packets were samples`);
  assert.ok(came > sent / 1000 && came < sent / 250, `${came} of ${sent} at 1 in 500`);

  const samplesOf = (name: string): number => readStatus(runtimeDir(spec.name, name)).verdicts.drop_rule ?? 0;
  const host = hostNames(spec).reduce((most, name) => (samplesOf(name) > samplesOf(most) ? name : most));
  // A busy machine floods with less.
  const many = Math.min(20, samplesOf(host));
  assert.ok(many > 0);
  const out = join(dir, "samples.pcapng");
  const from = ["--runtime-dir", runtimeDir(spec.name, host)];
  execFileSync(process.execPath, [MAIN, "capture", ...from, "--count", `${many}`, "--out", out], { timeout: 10_000 });
  const file = readFileSync(out);
  const packets = [...readCapture(file)];
  assert.equal(packets.length, many);
  for (const { bytes, originalLength } of packets) {
    assert.equal(originalLength, 50);
    assert.equal(Buffer.from(bytes.buffer, bytes.byteOffset).readUInt16BE(22), PORT);
  }
  assert.equal(file.toString("latin1").split("drop_rule (rule seen)").length - 1, many);
}

/** A limit is user space's: what is above it is dropped, what is below passes. */
async function limited(t: TestContext, state: LabState): Promise<void> {
  const { spec } = state;
  await apply(state, `drop: [{ name: some, match: "udp dst port ${PORT}", limit: { pps: 1000, per: /24 } }]`);
  const before = verdict(spec, "no_service");
  const sent = await flood(spec, 4, 1);
  await sleep(COUNTED_MS);
  const passed = verdict(spec, "no_service") - before;
  const dropped = rule(spec, "some");
  const lost = sum(spec, (s) => s.workers.reduce((total, w) => total + w.kernelDrops, 0));
  t.diagnostic(`${sent} sent: ${passed} passed, ${dropped} above the limit, ${lost} never read`);
  assert.equal(verdict(spec, "rate_limited"), dropped);
  // A bucket holds a second's worth, and more comes while it is being emptied, on a slow machine for long; each host has its own.
  assert.ok(passed >= 1000 && passed <= 4 * 1000 * spec.hosts, `${passed} passed`);
}

/** In TUN mode nothing is dropped before it is read. */
async function inUserSpace(t: TestContext, state: LabState): Promise<void> {
  const { spec } = state;
  await apply(state, `drop: [{ name: tun, match: "udp dst port ${PORT}", sample: 100 }]`);
  const sent = await flood(spec, 4, 1);
  await until("the queue is read", () => verdict(spec, "no_service") + rule(spec, "tun") >= sent / 2, 2_000);
  await sleep(300);
  const counted = rule(spec, "tun");
  t.diagnostic(`${sent} packets, ${counted} reached user space and were dropped there`);
  assert.equal(verdict(spec, "drop_rule"), counted);
  assert.equal(
    sum(spec, (s) => s.rules.tun!.inKernel),
    0,
  );
  assert.equal(verdict(spec, "no_service"), 0);
  assert.ok(counted <= sent && counted > sent / 4);
}

test("drop rules in a lab", { skip: labObstacle || libpcapObstacle, timeout: 120_000 }, async (t) => {
  const source = fileURLToPath(new URL("../../../test/support/flood.c", import.meta.url));
  try {
    execFileSync("cc", ["-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", FLOOD, source]);
    await withLab(labSpec({ name: `e2e-drop-${process.pid}`, hosts: 3 }), async (state) => {
      await t.test("a flood of 5 s costs nobody anything", (s) => floodDropped(s, state));
      await t.test("rules change under a flood", (s) => reloaded(s, state));
      await t.test("samples of what the kernel drops", (s) => sampled(s, state));
      await t.test("a limit by source prefix", (s) => limited(s, state));
    });
    await withLab(labSpec({ name: `e2e-drop-tun-${process.pid}`, hosts: 1, io: "tun" }), async (state) => {
      await t.test("TUN mode: the same rules in user space", (s) => inUserSpace(s, state));
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
