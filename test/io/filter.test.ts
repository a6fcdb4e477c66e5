/** Expressions by libpcap: what it makes, what it says, and what happens without it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { decodeProgram, validateProgram } from "../../src/bpf/program.ts";
import { native } from "../../src/io/native.ts";
import { MAIN } from "../support/agent.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import { namespaceObstacle } from "../support/netns.ts";

const [DLT_EN10MB, DLT_RAW] = [1, 12];

test("expressions for both link types", { skip: libpcapObstacle }, () => {
  for (const link of [DLT_EN10MB, DLT_RAW]) {
    const program = native().compileFilter("udp and src port 123", link);
    assert.equal(validateProgram(decodeProgram(program)), null);
  }
  const udp = new Uint8Array(28);
  udp.set([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17], 0);
  udp.set([0, 123], 20);
  assert.ok(native().runFilter(native().compileFilter("udp and src port 123", DLT_RAW), udp) > 0);
  assert.equal(native().runFilter(native().compileFilter("udp and src port 124", DLT_RAW), udp), 0);
});

test("libpcap's own words for what is wrong", { skip: libpcapObstacle }, () => {
  const wrong = (expression: string, message: RegExp): void =>
    assert.throws(() => native().compileFilter(expression, DLT_RAW), { code: "EINVAL", message });
  wrong("udp port (", /syntax error/);
  wrong("port 99999", /port/);
  wrong("ether host 2:0:0:0:0:1", /ethernet/i);
  assert.throws(() => native().compileFilter("x".repeat(20_000), DLT_RAW), RangeError);
  assert.throws(() => native().compileFilter("udp", 70_000), RangeError);
  assert.throws(() => native().runFilter(Uint8Array.of(1, 2, 3), new Uint8Array(4)), RangeError);
  assert.throws(() => native().runFilter(new Uint8Array(8).fill(0xff), new Uint8Array(4)), RangeError);
});

const CONFIG = `cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }]
drop: [{ name: a, match: "udp" }, { name: b, match: "udp and and" }]
`;

/** Runs `hafl`, with nothing but empty files where libpcap lies if `hidden`. */
function run(hidden: boolean, ...args: string[]): { status: number | null; stderr: string } {
  const hide = "for f in $(ls /usr/lib*/libpcap.so* /usr/lib/*/libpcap.so* 2>/dev/null); do mount --bind /dev/null $f; done; ";
  const script = `${hidden ? hide : ""}exec "$@"`;
  const line = ["--mount", "sh", "-c", script, "sh", process.execPath, MAIN, ...args];
  return spawnSync("unshare", line, { encoding: "utf8", timeout: 20_000 });
}

test("check and replay with libpcap and without", { skip: namespaceObstacle() ?? libpcapObstacle }, () => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-filter-"));
  try {
    const file = join(dir, "c.yaml");
    writeFileSync(file, CONFIG);
    const checked = run(false, "check", file);
    assert.equal(checked.status, 2);
    assert.match(checked.stderr, /^\S+c\.yaml: drop\[1\]\.match: .*syntax error.*\n$/);
    const unchecked = run(true, "check", file);
    assert.equal(unchecked.status, 0, unchecked.stderr);
    assert.match(unchecked.stderr, /warning: not checked: drop\[0\]\.match: needs libpcap \(apt-get install libpcap0\.8\)\n$/);
    const replayed = run(true, "replay", "--config", file, "--host", "s1", "--in", file);
    assert.equal(replayed.status, 2);
    assert.match(replayed.stderr, /^\S+c\.yaml: drop\[0\]\.match: needs libpcap \(apt-get install libpcap0\.8\)\n$/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
