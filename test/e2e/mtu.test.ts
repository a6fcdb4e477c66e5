/** MTU 1500 inside and outside: what does not fit with its wrapper arrives all the same. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { readStatus } from "../../src/control/status.ts";
import { type LabState, logFile, runtimeDir } from "../../src/lab/state.ts";
import { addressOf, ECHO_PORT, FAMILIES, HTTP_PORT, hostNames, type LabSpec, VIP } from "../../src/lab/topology.ts";
import { labObstacle, labSpec, runOn, withLab } from "../support/lab.ts";
import { until } from "../support/netns.ts";

const UPLOAD = 30_000_000;
/** Uploads of each family: at least so many, and on until one reached another host than its owner, which takes a few. */
const UPLOADS = 3;
const MOST_UPLOADS = 20;

/** Narrows the network between hosts, and waits until all agents have noticed. */
async function narrow({ spec }: LabState): Promise<void> {
  for (const host of hostNames(spec)) {
    await runOn(spec.name, host, ["ip", "link", "set", "eth0", "mtu", "1500"]);
    await runOn(spec.name, "r", ["ip", "link", "set", host, "mtu", "1500"]);
  }
  await runOn(spec.name, "r", ["ip", "link", "set", "in", "mtu", "1500"]);
  const noticed = (host: string): boolean => /path MTU of/.test(readFileSync(logFile(spec.name, host, "agent"), "utf8"));
  await until("new path MTUs on every host", () => hostNames(spec).every(noticed), 12_000);
}

const counter = (spec: LabSpec, name: "icmpSent" | "icmpSendFailed"): number =>
  hostNames(spec)
    .flatMap((host) => readStatus(runtimeDir(spec.name, host)).workers)
    .reduce((total, worker) => total + worker[name], 0);

async function uploads(t: TestContext, { spec }: LabState): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "hafl-mtu-"));
  try {
    const file = join(dir, "upload");
    const bytes = new Uint8Array(UPLOAD).map((_, i) => i * 31 + (i >> 8));
    writeFileSync(file, bytes);
    const hash = createHash("sha256").update(bytes).digest("hex");
    for (const family of FAMILIES) {
      const url = `http://${family === 6 ? `[${VIP[6]}]` : VIP[4]}:${HTTP_PORT}/upload`;
      const before = counter(spec, "icmpSent");
      const told = (): boolean => counter(spec, "icmpSent") > before;
      for (let i = 0; i < UPLOADS || (!told() && i < MOST_UPLOADS); i++) {
        // What the client has learned of the path is forgotten each time.
        await runOn(spec.name, "c1", ["ip", `-${family}`, "route", "flush", "cache"]);
        const begun = performance.now();
        const said = await runOn(spec.name, "c1", ["curl", "-sS", "-m", "40", "-T", file, url]);
        assert.equal(said.trim(), hash, `IPv${family} upload ${i + 1}`);
        t.diagnostic(`IPv${family}: ${((UPLOAD * 8) / (performance.now() - begun) / 1e6).toFixed(2)} Gbit/s`);
      }
      assert.ok(told(), `IPv${family}: nobody was told`);
    }
    assert.equal(counter(spec, "icmpSendFailed"), 0);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function datagrams(t: TestContext, { spec }: LabState): Promise<void> {
  const program = fileURLToPath(new URL("../support/udp-fragments.js", import.meta.url));
  for (const family of FAMILIES) {
    const command = [process.execPath, program, addressOf("c1", family), VIP[family], String(ECHO_PORT)];
    const { plain, shuffled, of } = JSON.parse(await runOn(spec.name, "c1", command)) as Record<string, number>;
    t.diagnostic(`IPv${family}: ${plain} and, out of order, ${shuffled} of ${of} datagrams`);
    assert.deepEqual({ plain, shuffled }, { plain: of, shuffled: of }, `IPv${family}`);
  }
}

test("MTU 1500 inside and outside", { skip: labObstacle, timeout: 120_000 }, async (t) => {
  await withLab(labSpec({ name: `mtu-${process.pid}`, hosts: 3, clients: 1 }), async (state) => {
    await narrow(state);
    await t.test("uploads complete, since their sender is told what fits", (t) => uploads(t, state));
    await t.test("8 KB datagrams arrive, their fragments in any order", (t) => datagrams(t, state));
  });
});
