/** The benchmark in the lab, once and briefly: every part gives numbers, files are written, nothing is left behind. How fast is not judged. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { after, test } from "node:test";
import { labNames } from "../../src/lab/state.ts";
import { MAIN } from "../support/agent.ts";
import { hafl } from "../support/command.ts";
import { labObstacle } from "../support/lab.ts";
import { until } from "../support/netns.ts";

const out = mkdtempSync(join(tmpdir(), "hafl-bench-out-"));
after(() => rmSync(out, { recursive: true, force: true }));

/** Figures by what they need beyond a C compiler, and the paths that need nothing more. */
const OURS = [
  "small: haflinger",
  "small: floor",
  "small: floor-1",
  "late: haflinger",
  "lost: haflinger",
  "idle p50: direct",
  "idle p99.9: haflinger",
  "small of two: haflinger-1",
  "small of two: haflinger-2",
  "resident: haflinger",
  "tracked: haflinger",
  "hot-path: whole",
  "table: build",
  "table: delay",
  "flows: ratio",
  "offload: segment",
];
const BULK = [
  "upload: direct",
  "upload: haflinger",
  "download: haflinger",
  "upload of two: haflinger-1",
  "half load p99: haflinger",
];
const WEB = ["keepalive: direct", "keepalive: haflinger", "connections: direct", "connections: haflinger"];
const HAPROXY = ["idle p50: haproxy"];
const NGINX = ["idle p50: nginx"];
const BY_HAND = ["small: by-hand", "idle p50: by-hand"];

interface Output {
  readonly [name: string]: { readonly median: number; readonly unit: string; readonly rounds: number[] };
}

test("every part gives a number", { skip: labObstacle, timeout: 120_000 }, async (t) => {
  const begun = performance.now();
  const { code, stdout, stderr } = await hafl("bench", "lab", "--smoke", "--json", "--out", out);
  t.diagnostic(`${((performance.now() - begun) / 1000).toFixed(1)} s`);
  assert.equal(code, 0, stderr);
  const { acceptance, machine, leftOut, ...figures } = JSON.parse(stdout) as Output & {
    acceptance: { what: string; figure?: number; met?: boolean }[];
    machine: { kernel: string };
    leftOut: string[];
  };
  // What the machine does not have is left out, with a line that says how to get it.
  const has = (word: string): boolean => !leftOut.some((line) => line.includes(`${word} `) || line.startsWith(`${word}:`));
  const expected = [
    ...OURS,
    ...(has("iperf3") ? BULK : []),
    ...(has("wrk") && has("nginx is") ? WEB : []),
    ...(has("haproxy") ? HAPROXY : []),
    ...(has("nginx with its stream module") ? NGINX : []),
    ...(has("cap and raw-socket") ? BY_HAND : []),
    ...(has("iperf3") && has("haproxy") ? ["upload: haproxy", "upload: haproxy-splice"] : []),
  ];
  for (const name of expected) {
    const { median, unit, rounds } = figures[name] ?? assert.fail(`${name} was not measured; left out: ${leftOut.join("; ")}`);
    assert.ok(Number.isFinite(median) && rounds.length === 1 && unit.length > 0, name);
    if (!/^(late|lost|table: delay)/.test(name)) assert.ok(median > 0, `${name} is ${median}`);
  }
  assert.equal(acceptance.length, 20);
  assert.match(machine.kernel, /^\d+\.\d+/);
  for (const line of leftOut) t.diagnostic(`left out: ${line}`);

  const files = readdirSync(out).sort();
  assert.deepEqual(
    files.map((file) => extname(file)),
    [".json", ".md", ".svg"],
  );
  const [, report, image] = files.map((file) => readFileSync(join(out, file), "utf8")) as [string, string, string];
  assert.ok(report.includes(`](${files[2]})`) && report.includes("| upload over direct |"), report);
  assert.match(image, /^<svg /);
  assert.ok(!labNames().includes(`bench-${process.pid}`), "the test stand is left");
});

test("an interrupt takes everything down", { skip: labObstacle, timeout: 60_000 }, async () => {
  const child = spawn(process.execPath, [MAIN, "bench", "lab", "--only", "small", "--seconds", "20"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  await until("measuring", () => said.includes("small: "), 30_000);
  child.kill("SIGINT");
  assert.equal(await ended, 130, said);
  assert.ok(!labNames().includes(`bench-${child.pid}`), "the test stand is left");
});

test("wrong words are one clear line", async () => {
  const wrong = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await hafl("bench", "lab", ...args);
    assert.equal(code, 2);
    return stderr;
  };
  assert.match(await wrong("--only", "upload,uplaod"), /--only.*uplaod is none of upload, download.*\n$/);
  assert.match(await wrong("--peers", "envoy"), /envoy is none of direct, haproxy, nginx, by-hand, floor/);
  assert.match(await wrong("--seconds", "0"), /0\.1 to 60 seconds/);
});
