import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hafl } from "../support/command.ts";

const SMALL = ["--flows", "10000", "--buckets", "1009", "--steps", "25"];

interface Printed {
  readonly scenario: string;
  readonly hosts: number;
  readonly cut: { readonly chains: number; readonly without: number };
  readonly runs: readonly {
    readonly policy: string;
    readonly spread: { readonly first: number; readonly after20: number };
    readonly samples: readonly { readonly spread: number }[];
    readonly happenings: readonly { readonly moved: number; readonly broken: number }[];
  }[];
}

test("simulate prints tables; as JSON every step and every change of three policies; and plots", async () => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-simulate-"));
  try {
    const text = await hafl("simulate", "upgrade", "--capacities", "1,2", "--hosts", "4", ...SMALL, "--svg", join(dir, "plots"));
    assert.deepEqual([text.code, text.stderr], [0, ""]);
    assert.match(text.stdout, /^upgrade: 4 hosts, 10,000 flows/);
    for (const policy of ["Haflinger", "without chains", "equal weights"])
      assert.match(text.stdout, new RegExp(`^${policy}  `, "m"));
    assert.deepEqual(readdirSync(join(dir, "plots")).sort(), ["upgrade-cut.svg", "upgrade-spread.svg"]);
    for (const name of readdirSync(join(dir, "plots"))) {
      const svg = readFileSync(join(dir, "plots", name), "utf8");
      assert.equal(svg.match(/<polyline/g)?.length, 3);
      assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
    }
    const json = JSON.parse((await hafl("simulate", "upgrade", "--hosts", "4", ...SMALL, "--json")).stdout) as Printed;
    assert.deepEqual([json.scenario, json.hosts, json.runs.length], ["upgrade", 4, 3]);
    assert.ok(json.cut.without > 100 * json.cut.chains);
    assert.ok(json.runs[0]!.samples.length > 25 && json.runs[0]!.happenings.some(({ moved }) => moved > 0.1));
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("simulate takes hosts, weights and settings from a config", async () => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-simulate-"));
  const file = join(dir, "cluster.yaml");
  writeFileSync(
    file,
    `cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: a, dip: 10.0.1.1 }, { name: b, dip: 10.0.1.2, weight: 3 }, { name: c, dip: 10.0.1.3 }]
services: [{ name: web, vips: [192.0.2.1], ports: { tcp: 80 }, pool: [a, b] }, { name: all, vips: [192.0.2.2], ports: { tcp: 80 } }]
table: { size: 1009 }
load: { intervalSeconds: 10 }
`,
  );
  try {
    const args = ["simulate", "--config", file, "--capacities", "1,3", "--flows", "100000", "--steps", "5", "--json"];
    const two = JSON.parse((await hafl(...args)).stdout) as Printed & { interval: number; buckets: number };
    assert.deepEqual([two.hosts, two.interval, two.buckets], [2, 10, 1009]);
    assert.ok(two.runs[2]!.spread.first < 1.1, "weights fit the capacities");
    assert.equal((JSON.parse((await hafl(...args, "--service", "all")).stdout) as Printed).hosts, 3);
    const wrong: [string[], RegExp][] = [
      [["--service", "none"], /^hafl: --service: no service is named "none" in the config/],
      [["--hosts", "5"], /^hafl: --config says which hosts and buckets there are/],
    ];
    for (const [more, line] of wrong) {
      const { code, stderr } = await hafl(...args, ...more);
      assert.equal(code, 2);
      assert.match(stderr, line);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("simulate: what cannot be is one line and exit code 2", async () => {
  for (const args of [
    ["other"],
    ["--buckets", "1000"],
    ["--hosts", "1"],
    ["--capacities", "1,x"],
    ["--capacities", "1"],
    ["--skew", "-1"],
  ]) {
    const { code, stderr } = await hafl("simulate", ...args);
    assert.deepEqual([code, stderr.trim().split("\n").length], [2, 1], args.join(" "));
    assert.match(stderr, /^hafl: /);
  }
});
