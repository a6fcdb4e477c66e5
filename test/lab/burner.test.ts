/** What the lab of uneven hosts is made of: a service that costs CPU time, a client that keeps its pace; over loopback. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { test } from "node:test";
import { serveBurning } from "../../src/lab/uneven/burner.ts";
import { type PacedReport, runPaced } from "../../src/lab/uneven/paced-client.ts";

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function ask(port: number): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port });
  let said = "";
  socket.on("data", (chunk) => {
    said += chunk.toString();
  });
  await once(socket, "close");
  return said;
}

const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

test("each request costs CPU time, and is answered with the host's name", async () => {
  const port = await freePort();
  const close = await serveBurning("s3", port, 20_000, ["127.0.0.1"]);
  try {
    const before = cpuUs();
    for (let i = 0; i < 5; i++) assert.equal(await ask(port), "s3\n");
    assert.ok(cpuUs() - before >= 100_000, `${cpuUs() - before} us for 5 requests of 20,000`);
  } finally {
    close();
  }
});

/** Lets a paced client ask until it has reported so many ends of requests. */
async function paced(port: number, timeoutMs: number, enough: number): Promise<PacedReport> {
  const told = new AbortController();
  const all = { answered: 0, failed: 0 };
  await runPaced({ targets: ["127.0.0.1"], port, perSecond: 100, timeoutMs }, told.signal, ({ answered, failed }) => {
    all.answered += answered;
    all.failed += failed;
    if (all.answered + all.failed >= enough) told.abort();
  });
  return all;
}

test("a paced client counts what was answered and what was not", async () => {
  const port = await freePort();
  const close = await serveBurning("s1", port, 100, ["127.0.0.1"]);
  try {
    const { answered, failed } = await paced(port, 30_000, 20);
    assert.ok(answered >= 20 && failed === 0, `${answered} answered, ${failed} failed`);
  } finally {
    close();
  }
  const refused = await paced(port, 30_000, 20);
  assert.ok(refused.failed >= 20 && refused.answered === 0, JSON.stringify(refused));
});

test("a paced client does not wait for answers, and gives up on those that never come", async () => {
  const silent: Server = createServer((socket) => socket.on("error", () => {}));
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  try {
    const { answered, failed } = await paced((silent.address() as { port: number }).port, 200, 20);
    assert.ok(failed >= 20 && answered === 0, `${answered} answered, ${failed} failed`);
  } finally {
    silent.close();
  }
});
