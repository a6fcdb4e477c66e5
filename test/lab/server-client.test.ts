import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { FlowResult, LoadJob } from "../../src/lab/flows.ts";
import { nodeProgram } from "../../src/lab/namespace.ts";
import { deterministicBytes } from "../../src/lab/payload.ts";
import { serve } from "../../src/lab/server.ts";

const HTTP = 20_080;
const ECHO = 20_007;
const URL_BASE = `http://127.0.0.1:${HTTP}`;

const hashOf = (length: number): string => {
  const hash = createHash("sha256");
  for (const chunk of deterministicBytes(length)) hash.update(chunk);
  return hash.digest("hex");
};

test("a lab's server and client, on loopback", async (t) => {
  const stop = await serve("s7", HTTP, ECHO, ["127.0.0.1", "::1"]);
  t.after(stop);

  await t.test("GET names the host, /bytes/N has N bytes that are always the same, PUT gives their SHA-256", async () => {
    assert.equal(await (await fetch(URL_BASE)).text(), "s7\n");
    const body = new Uint8Array(await (await fetch(`${URL_BASE}/bytes/200001`)).arrayBuffer());
    assert.equal(body.length, 200_001);
    assert.equal(createHash("sha256").update(body).digest("hex"), hashOf(200_001));
    const put = await fetch(`${URL_BASE}/any`, { method: "PUT", body });
    assert.equal(await put.text(), `${hashOf(200_001)}\n`);
    assert.equal(put.headers.get("x-host"), "s7");
    assert.equal((await fetch(`${URL_BASE}/else`)).status, 404);
  });

  const base = { concurrency: 4, timeoutMs: 2_000, ports: 40 };
  const v4 = { ...base, family: 4, target: "127.0.0.1", source: "127.0.0.1" } as const;
  const v6 = { ...base, family: 6, target: "::1", source: "::1" } as const;

  async function load(jobs: LoadJob[], whileRunning?: (stop: () => void) => void): Promise<FlowResult[]> {
    const [node, ...args] = nodeProgram("lab/client.ts", [JSON.stringify(jobs)]);
    const child = spawn(node!, args, { stdio: ["pipe", "pipe", "inherit"] });
    whileRunning?.(() => child.stdin.end());
    let text = "";
    for await (const chunk of child.stdout) text += chunk;
    return text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as FlowResult);
  }

  await t.test("the client asks from the ports it was told, each once", async () => {
    const results = await load([
      { ...v4, protocol: "tcp", targetPort: HTTP, firstPort: 21_000, count: 40 },
      { ...v6, protocol: "tcp", targetPort: HTTP, firstPort: 21_000, count: 40 },
      { ...v4, protocol: "udp", targetPort: ECHO, firstPort: 21_000, count: 40 },
      { ...v6, protocol: "udp", targetPort: ECHO, firstPort: 21_000, count: 40 },
    ]);
    assert.deepEqual(
      results.filter((r) => r.host !== "s7"),
      [],
    );
    const flows = new Set(results.map((r) => `${r.protocol} ${r.source} ${r.sourcePort}`));
    assert.equal(flows.size, 160);
    assert.ok([...flows].every((flow) => /21_?0[0-3]\d$/.test(flow)));
  });

  await t.test("what is not answered is a result, not a crash", async () => {
    const [refused, silent] = await Promise.all([
      load([{ ...v4, protocol: "tcp", targetPort: 1, firstPort: 21_100, count: 1 }]),
      load([{ ...v4, protocol: "udp", targetPort: 1, firstPort: 21_100, count: 1, timeoutMs: 50 }]),
    ]);
    assert.match(refused[0]!.error!, /ECONNREFUSED/);
    assert.ok(silent[0]!.error !== null && silent[0]!.host === null);
  });

  await t.test("an endless job ends with the standard input", async () => {
    const job: LoadJob = { ...v4, protocol: "udp", targetPort: ECHO, firstPort: 21_200, count: null };
    const results = await load([job], (stopLoad) => setTimeout(stopLoad, 300));
    assert.ok(results.length > 0 && results.every((r) => r.host === "s7"));
  });
});
