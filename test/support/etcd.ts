/** A real etcd of one member on loopback, gone when the test is. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../src/bench/own-etcd.ts";

const READY_MS = 20_000;

export interface TestEtcd {
  readonly endpoint: string;
  /** Ends the member as a crash would; its data stays. */
  kill(): Promise<void>;
  /** Starts it again with its data. */
  start(): Promise<void>;
  /** Stops and resumes its process. */
  pause(): void;
  resume(): void;
}

/** Starts an etcd; `flags` are added to its command line, `health` is where it is asked whether it is ready, if elsewhere than clients. Ended after the test, with its data. */
export async function startEtcd(t: TestContext, flags: readonly string[] = [], health?: string): Promise<TestEtcd> {
  const dir = mkdtempSync(join(tmpdir(), "hafl-etcd-"));
  const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
  const urls = ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer];
  const cluster = ["--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`];
  let child: ChildProcess | null = null;
  const kill = async (): Promise<void> => {
    const ended = child;
    child = null;
    if (ended === null || ended.exitCode !== null) return;
    ended.kill("SIGKILL");
    await once(ended, "exit");
  };
  const start = async (): Promise<void> => {
    // It does not outlive the test, however that ends.
    const command = ["--pdeathsig", "KILL", "etcd", "--data-dir", dir, ...urls, ...cluster, ...flags];
    child = spawn("setpriv", command, { stdio: "ignore" });
    await once(child, "spawn");
    for (const until = Date.now() + READY_MS; ; ) {
      const healthy = await fetch(`${health ?? client}/health`).then(
        async (response) => (await response.text()).includes("true"),
        () => false,
      );
      if (healthy) return;
      if (Date.now() > until) throw new Error("etcd did not get ready");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const pause = (): void => {
    if (child === null) return;
    child.kill("SIGSTOP");
    // Its threads stop one by one: until the last has, it may answer.
    const tasks = `/proc/${child.pid}/task`;
    const isStopped = (task: string): boolean => /\) T /.test(readFileSync(`${tasks}/${task}/stat`, "utf8"));
    while (!readdirSync(tasks).every(isStopped));
  };
  t.after(async () => {
    child?.kill("SIGCONT");
    await kill();
    rmSync(dir, { recursive: true, force: true });
  });
  await start();
  return { endpoint: client, kill, start, pause, resume: () => void child?.kill("SIGCONT") };
}

/** An endpoint that answers nothing, not even who connects, as one behind a firewall. */
export async function silentEndpoint(t: TestContext): Promise<string> {
  const listener = `require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () {
    console.log(this.address().port);
  });`;
  const child = spawn(process.execPath, ["-e", listener], { stdio: ["ignore", "pipe", "inherit"] });
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    child.kill("SIGKILL");
  });
  const [line] = await once(child.stdout, "data");
  const port = Number(line);
  child.kill("SIGSTOP");
  // Until its queue is full.
  for (let full = false; !full; ) {
    const socket = connect({ host: "127.0.0.1", port }).on("error", () => {});
    sockets.push(socket);
    full = await Promise.race([once(socket, "connect").then(() => false), sleep(300).then(() => true)]);
  }
  return `http://127.0.0.1:${port}`;
}
