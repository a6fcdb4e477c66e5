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
import { addressOf, ECHO_PORT, FAMILIES, type Family, HTTP_PORT, hostNames, type LabSpec, VIP } from "../../src/lab/topology.ts";
import { labObstacle, labSpec, runOn, withLab } from "../support/lab.ts";
import { until } from "../support/netns.ts";

const UPLOAD = 100_000_000;
/** Uploads of each family at most: on until one reached another host than its owner, as two of three do. */
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

/** What all hosts have done so far: messages about packets that do not fit, and bytes that came from peers in GUE. */
function done(spec: LabSpec): { told: number; untold: number; overPeers: number } {
  const all = hostNames(spec).map((host) => readStatus(runtimeDir(spec.name, host)));
  const sum = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0);
  return {
    told: sum(all.flatMap(({ workers }) => workers.map(({ icmpSent }) => icmpSent))),
    untold: sum(all.flatMap(({ workers }) => workers.map(({ icmpSendFailed }) => icmpSendFailed))),
    overPeers: sum(all.flatMap(({ perHost }) => Object.values(perHost).map(({ receivedBytes }) => receivedBytes))),
  };
}

/** The path MTU that the client has been told for the VIP; undefined when nobody has told it. */
async function learned(spec: LabSpec, family: Family): Promise<number | undefined> {
  const [route] = JSON.parse(await runOn(spec.name, "c1", ["ip", "-j", "route", "get", VIP[family]])) as {
    metrics?: { mtu?: number }[];
  }[];
  return route?.metrics?.[0]?.mtu;
}

/** Uploads until one has taken the long way: over a peer, after the client was told what fits. */
async function uploads(t: TestContext, { spec }: LabState, family: Family): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "hafl-mtu-"));
  try {
    const file = join(dir, "upload");
    const bytes = new Uint8Array(UPLOAD).map((_, i) => i * 31 + (i >> 8));
    writeFileSync(file, bytes);
    const hash = createHash("sha256").update(bytes).digest("hex");
    const url = `http://${family === 6 ? `[${VIP[6]}]` : VIP[4]}:${HTTP_PORT}/upload`;
    for (let i = 0; i < MOST_UPLOADS; i++) {
      // What the client has learned of the path is forgotten each time.
      await runOn(spec.name, "c1", ["ip", `-${family}`, "route", "flush", "cache"]);
      assert.equal(await learned(spec, family), undefined, "forgotten");
      const before = done(spec);
      const begun = performance.now();
      const said = await runOn(spec.name, "c1", ["curl", "-sS", "-m", "40", "-T", file, url]);
      const speed = ((UPLOAD * 8) / (performance.now() - begun) / 1e6).toFixed(2);
      assert.equal(said.trim(), hash, `upload ${i + 1}`);
      const after = done(spec);
      const told = after.told - before.told;
      const overPeers = after.overPeers - before.overPeers;
      const mtu = await learned(spec, family);
      t.diagnostic(
        `IPv${family}: ${speed} Gbit/s, ${overPeers} bytes over peers, ${told} messages, path MTU ${mtu ?? "as before"}`,
      );
      assert.equal(after.untold, 0);
      if (overPeers < UPLOAD) continue;
      assert.ok(told > 0, "the client was told what fits");
      assert.ok(mtu !== undefined && mtu < 1500, `path MTU ${mtu}`);
      return;
    }
    assert.fail(`none of ${MOST_UPLOADS} uploads went over a peer`);
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
    for (const family of FAMILIES) {
      await t.test(`100 MB over IPv${family} arrive, since their sender is told what fits`, (t) => uploads(t, state, family));
    }
    await t.test("8 KB datagrams arrive, their fragments in any order", (t) => datagrams(t, state));
  });
});
