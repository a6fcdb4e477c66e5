import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { serviceUnit } from "../../src/cli/service-unit.ts";
import { hafl } from "../support/command.ts";

const dir = mkdtempSync(join(tmpdir(), "hafl-service-"));
after(() => rmSync(dir, { recursive: true }));
const skip = spawnSync("systemd-analyze", ["--version"]).status === 0 ? false : "systemd-analyze is not installed";
const LIMIT = 25;

function analyze(...args: string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync("systemd-analyze", args, { encoding: "utf8" });
  return { status, text: `${stdout}${stderr}` };
}

async function printed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await hafl("install-service", "--print", ...args);
  assert.deepEqual([code, stderr], [0, ""]);
  const unit = join(dir, "hafl.service");
  writeFileSync(unit, stdout);
  return unit;
}

test("the unit is valid, and has no more rights than it needs", { skip }, async () => {
  const unit = await printed("--config", "/etc/hafl/config.yaml", "--", "--host", "s1");
  assert.match(
    readFileSync(unit, "utf8"),
    /^ExecStart=\S+node\S* \S+ \S+main\.js run --config \/etc\/hafl\/config\.yaml --host s1$/m,
  );
  assert.deepEqual(analyze("verify", "--man=no", unit), { status: 0, text: "" });
  // On systemd's scale of 0 to 100, where 100 is a service of which nothing is said.
  const security = analyze("security", "--offline=true", `--threshold=${LIMIT}`, "--no-pager", unit);
  assert.equal(security.status, 0, security.text);
});

test("a mistake in it would be found", { skip }, async () => {
  const unit = await printed();
  writeFileSync(unit, readFileSync(unit, "utf8").replace("DevicePolicy=closed", "DevicePolicy=shut"));
  assert.match(analyze("verify", "--man=no", unit).text, /Failed to parse device policy/);
  writeFileSync(
    unit,
    readFileSync(unit, "utf8")
      .replace("NoNewPrivileges=yes", "")
      .replace(/^User=.*$/m, ""),
  );
  assert.notEqual(analyze("security", "--offline=true", `--threshold=${LIMIT}`, "--no-pager", unit).status, 0);
});

test("where routes are announced the agent is in BIRD's group, and else not", async () => {
  const file = join(dir, "bgp.yaml");
  const text = `cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: [80] } }]
`;
  writeFileSync(file, `${text}bgp: bird\n`);
  assert.match(readFileSync(await printed("--config", file), "utf8"), /^Group=hafl\nSupplementaryGroups=bird\nAmbient/m);
  writeFileSync(file, text);
  assert.match(readFileSync(await printed("--config", file), "utf8"), /^Group=hafl\nAmbient/m);
});

test("words that systemd would read otherwise are quoted", () => {
  const unit = serviceUnit({ command: ["/usr/bin/node", "/a b/main.js", "--config", '/etc/50%/"x"/$1.yaml'], user: "lb" });
  assert.ok(unit.includes('ExecStart=/usr/bin/node "/a b/main.js" --config "/etc/50%%/\\"x\\"/$$1.yaml"\n'), unit);
  assert.match(unit, /^User=lb$/m);
  assert.match(unit, /^ProtectHome=yes$/m);
  assert.match(serviceUnit({ command: ["/home/me/node", "run"], user: "lb" }), /^ProtectHome=read-only$/m);
});

test("installed below a directory: the unit and its user, nothing run", async () => {
  const { code, stdout, stderr } = await hafl(
    "install-service",
    "--root",
    dir,
    "--user",
    "balance",
    "--config",
    "/nowhere/c.yaml",
  );
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^next: write \/nowhere\/c\.yaml, readable by the user balance /m);
  assert.equal(readFileSync(join(dir, "etc/sysusers.d/hafl.conf"), "utf8"), 'u balance - "Haflinger load balancer"\n');
  assert.match(readFileSync(join(dir, "etc/systemd/system/hafl.service"), "utf8"), /^User=balance$/m);
  assert.deepEqual(readdirSync(join(dir, "etc/systemd/system")), ["hafl.service"]);
  const wrong = await hafl("install-service", "--print", "--user", "a b");
  assert.deepEqual([wrong.code, wrong.stderr.split("\n").length], [2, 2]);
});
