import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parseConfig } from "../../src/control/config.ts";
import { Publisher } from "../../src/control/publish.ts";
import { hafl } from "../support/command.ts";

const GOOD = `cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }, { name: s2, dip: 10.0.1.12 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: 80 } }]
`;

let dir = "";
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
before(() => {
  dir = mkdtempSync(join(tmpdir(), "hafl-cli-"));
});
after(() => rmSync(dir, { recursive: true }));

test("hafl alone and --help print help; every command is in it", async () => {
  for (const args of [[], ["--help"], ["help"]]) {
    const { code, stdout, stderr } = await hafl(...args);
    assert.deepEqual([code, stderr], [0, ""]);
    for (const name of ["check", "run", "stats", "down", "replay", "lookup"])
      assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  }
  assert.match((await hafl("run", "--help")).stdout, /--dry-run/);
});

test("wrong usage is one line and exit code 2", async () => {
  const wrong: [string[], string][] = [
    [["chekc"], "hafl: unknown command 'chekc' (Did you mean check?) (see hafl --help)\n"],
    [["run"], "hafl: required option '--config <file>' not specified (see hafl --help)\n"],
    [["check"], "hafl: missing required argument 'config' (see hafl --help)\n"],
    [["stats", "--colour"], "hafl: unknown option '--colour' (see hafl --help)\n"],
  ];
  for (const [args, line] of wrong) assert.deepEqual(await hafl(...args), { code: 2, stdout: "", stderr: line });
});

test("check: a good config, every default, all errors, JSON", async () => {
  const good = file("good.yaml", GOOD);
  assert.deepEqual(await hafl("check", good), {
    code: 0,
    stdout: `${good}: good: cluster c, hosts: 2, services: 1\n`,
    stderr: "",
  });
  const effective = await hafl("check", good, "--effective");
  assert.ok("config" in parseConfig(effective.stdout, "effective"));
  assert.deepEqual(JSON.parse((await hafl("check", good, "--json")).stdout), { ok: true, errors: [] });

  const bad = file("bad.yaml", GOOD.replace("vips:", "vpis:").replace("s2, dip: 10.0.1.12", "s2, dip: 10.0.1.11"));
  const lines = [
    `${bad}: services[0].vpis: unknown key (did you mean "vips"?)`,
    `${bad}: hosts[1].dip: 10.0.1.11 is the DIP of hosts[0] already (each host has its own)`,
  ];
  assert.deepEqual(await hafl("check", bad), { code: 2, stdout: "", stderr: `${lines.join("\n")}\n` });
  const json = await hafl("check", bad, "--json");
  assert.deepEqual([json.code, JSON.parse(json.stdout)], [2, { ok: false, errors: lines }]);
});

test("the example in the help of check is a good config", async () => {
  const { stdout } = await hafl("check", "--help");
  const example = stdout.slice(stdout.indexOf("  cluster:")).replaceAll(/^ {2}/gm, "");
  assert.ok("config" in parseConfig(example, "example"));
});

test("run: a bad config, a missing one and an unknown host are usage errors", async () => {
  const bad = file("bad2.yaml", "cluster: [\n");
  const { code, stderr } = await hafl("run", "--config", bad);
  assert.equal(code, 2);
  assert.match(stderr, /^\S+bad2\.yaml:\d+:\d+: not YAML: .*\n$/);
  assert.deepEqual(await hafl("run", "--config", "/nonexistent.yaml"), {
    code: 2,
    stdout: "",
    stderr: "/nonexistent.yaml: no such file (check the path)\n",
  });
  const good = file("good2.yaml", GOOD);
  assert.deepEqual(await hafl("run", "--config", good, "--host", "s3"), {
    code: 2,
    stdout: "",
    stderr: `--host: no host is named "s3" in ${good} (did you mean "s1"?)\n`,
  });
});

test("stats: counters of an instance, as text and as JSON", async () => {
  const runtime = join(dir, "s1");
  mkdirSync(runtime);
  const none = await hafl("stats", "--runtime-dir", runtime);
  assert.deepEqual([none.code, none.stdout], [1, ""]);
  assert.match(none.stderr, /^\S+s1: no agent is running here \(.*\)\n$/);

  const loaded = parseConfig(GOOD, "c.yaml");
  assert.ok("config" in loaded);
  const publisher = Publisher.open(runtime, 2, 1000);
  publisher.publish(loaded.config, "s1", 1500);
  const info = {
    instance: "s1",
    host: "s1",
    pid: process.pid,
    cluster: "c",
    config: "c.yaml",
    started: "2026-01-01T00:00:00.000Z",
  };
  writeFileSync(join(runtime, "instance.json"), JSON.stringify(info));
  const json = JSON.parse((await hafl("stats", "--runtime-dir", runtime, "--json")).stdout);
  assert.deepEqual([json.instance, json.host, json.generation, json.running, json.workers.length], ["s1", "s1", 1, true, 2]);
  assert.deepEqual(Object.keys(json.perHost), ["s1", "s2"]);
  assert.equal(json.verdicts.forwarded, 0);
  const { stdout } = await hafl("stats", "--runtime-dir", runtime);
  assert.match(stdout, /^instance s1, host s1, cluster c, generation 1, running, pid \d+\n/);
});

test("stats and down: a directory that is not there", async () => {
  for (const command of ["stats", "down"]) {
    const { code, stderr } = await hafl(command, "--runtime-dir", join(dir, "nowhere"));
    assert.equal(code, 1);
    assert.match(stderr, /^\S+nowhere: .* \(.*\)\n$/);
  }
});

test("down: nothing left to undo", async () => {
  const runtime = join(dir, "idle");
  mkdirSync(runtime);
  assert.deepEqual(await hafl("down", "--runtime-dir", runtime), {
    code: 0,
    stdout: `${runtime}: nothing was left to undo\n`,
    stderr: "",
  });
});
