import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { checkExec } from "../../src/health/check-exec.ts";
import { checkHttp, checkTcp } from "../../src/health/check-tcp.ts";
import { FINE, GIVEN_UP } from "../../src/health/finding.ts";
import { Watch } from "../../src/health/watch.ts";
import { parseAddress } from "../../src/wire/address.ts";

const HERE = parseAddress("127.0.0.1")!;
const LONG_MS = 600_000;
const WANTED = { path: "/up", host: null, status: [{ from: 200, to: 299 }], body: "ok" };

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

test("TCP: a port that takes connections, and one that does not", async () => {
  const server = createServer((socket) => socket.on("error", () => {}));
  const port = await listening(server);
  assert.deepEqual(await checkTcp(HERE, port, 5000), FINE);
  server.close();
  const { outcome, reason } = await checkTcp(HERE, port, 5000);
  assert.equal(outcome, "refused");
  assert.equal(reason, `nothing listens on 127.0.0.1 port ${port}`);
});

/** Connects until the stopped listener's queue is full, and gives what it has opened. */
async function fill(port: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let full = false; !full; ) {
    const socket = connect({ host: "127.0.0.1", port }).on("error", () => {});
    sockets.push(socket);
    full = await Promise.race([once(socket, "connect").then(() => false), sleep(300).then(() => true)]);
  }
  return sockets;
}

test("TCP: a port that says nothing; nothing of the check is left when its time is over", async () => {
  const listener = `require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () {
    console.log(this.address().port);
  });`;
  const child = spawn(process.execPath, ["-e", listener], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  child.kill("SIGSTOP");
  const sockets = await fill(Number(line));
  try {
    const connecting = (): number => process.getActiveResourcesInfo().filter((name) => name === "ConnectWrap").length;
    const before = connecting();
    const { outcome } = await checkTcp(HERE, Number(line), 100);
    assert.equal(outcome, "slow");
    await sleep(0);
    assert.equal(connecting(), before);
  } finally {
    for (const socket of sockets) socket.destroy();
    child.kill("SIGKILL");
  }
});

test("an address of another host is not tried there", async () => {
  assert.deepEqual(await checkTcp(parseAddress("192.0.2.77")!, 80, 5000), {
    outcome: "no-vip",
    reason: "192.0.2.77 is not an address of this host",
  });
});

test("HTTP: status, body, silence, and a connection that is broken off", async () => {
  let answer: "ok" | "bad" | "503" | "silence" | "break" = "ok";
  const server = createHttpServer((request, response) => {
    assert.equal(request.url, "/up");
    if (answer === "break") request.socket.resetAndDestroy();
    else if (answer === "503") response.writeHead(503).end();
    else if (answer !== "silence") response.end(answer);
  });
  const port = await listening(server);
  const check = async (now: typeof answer, ms = 5000): Promise<string> => {
    answer = now;
    const { outcome, reason } = await checkHttp(HERE, port, WANTED, ms);
    return `${outcome}: ${reason}`;
  };
  assert.equal(await check("ok"), "answered: ");
  assert.equal(await check("bad"), 'wrong: the body does not hold "ok"');
  assert.equal(await check("503"), "wrong: HTTP 503, wanted 200-299");
  assert.equal(await check("silence", 200), "slow: connected, but no answer within 0.2 s");
  assert.equal(await check("break"), `broken: 127.0.0.1 port ${port} broke the connection off (ECONNRESET)`);
  server.close();
});

test("a program: its exit code, its last words, its end after the timeout, and that it is there", async () => {
  const run = async (script: string, ms = 5000): Promise<string> => {
    const { outcome, reason } = await checkExec(["/bin/sh", "-c", script], { HAFL_SERVICE: "web" }, ms);
    return `${outcome}: ${reason}`;
  };
  assert.equal(await run("test $HAFL_SERVICE = web"), "answered: ");
  assert.equal(await run("echo one; echo replication lags >&2; exit 3"), "wrong: /bin/sh ended with 3: replication lags");
  assert.equal(await run("sleep 60 & sleep 60", 100), "slow: /bin/sh did not end within 0.1 s");
  assert.equal(await run("kill -9 $$"), "wrong: /bin/sh ended with SIGKILL");
  assert.deepEqual(await checkExec(["/nonexistent"], {}, 5000), {
    outcome: "wrong",
    reason: "/nonexistent cannot be run: ENOENT",
  });
});

test("a program that cannot even be tried is a finding", async () => {
  // spawn() tells of this one by throwing.
  assert.deepEqual(await checkExec(["/dev/null/check"], {}, 5000), {
    outcome: "wrong",
    reason: "/dev/null/check cannot be run: ENOTDIR",
  });
});

test("what a program has left running keeps nobody from ending", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-exec-"));
  const file = join(dir, "pid");
  t.after(() => {
    process.kill(Number(readFileSync(file, "utf8")), "SIGKILL");
    rmSync(dir, { recursive: true });
  });
  const script = `setsid sh -c 'echo $$ >${file}; exec sleep 600' & until [ -s ${file} ]; do sleep 0.01; done`;
  const module = new URL("../../src/health/check-exec.js", import.meta.url);
  const check = `const { checkExec } = await import("${module}");
    console.log((await checkExec(["/bin/sh", "-c", ${JSON.stringify(script)}], {}, 20_000)).outcome);`;
  const { status, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", check], {
    timeout: 30_000,
    encoding: "utf8",
  });
  assert.deepEqual([status, stdout], [0, "answered\n"]);
});

test("a check that is given up ends at once, and leaves nothing behind", async (t) => {
  const server = createServer((socket) => socket.on("error", () => {}));
  t.after(() => server.close());
  const port = await listening(server);
  const given = new AbortController();
  const http = checkHttp(HERE, port, WANTED, LONG_MS, given.signal);
  const program = checkExec(["/bin/sleep", "600"], {}, LONG_MS, given.signal);
  await once(server, "connection");
  const tcp = checkTcp(HERE, port, LONG_MS, given.signal);
  given.abort();
  assert.deepEqual(await Promise.all([http, program, tcp]), [GIVEN_UP, GIVEN_UP, GIVEN_UP]);
});

test("a watch that is stopped gives up the check under way, and says nothing of it", async (t) => {
  const keep = setTimeout(() => {}, LONG_MS);
  t.after(() => clearTimeout(keep));
  const rhythm = { interval: 1, timeout: 1, rise: 1, fall: 1, jitter: 0 };
  const said: unknown[] = [];
  const over = await new Promise<AbortSignal>((begun) => {
    const watch = new Watch(
      rhythm,
      0,
      (signal) => {
        begun(signal);
        setImmediate(() => watch.stop());
        return once(signal, "abort").then(() => GIVEN_UP);
      },
      (standing) => said.push(standing),
    );
  });
  await once(over, "abort");
  await sleep(0);
  assert.deepEqual(said, []);
});
