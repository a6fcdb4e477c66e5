/** An etcd of one member on loopback, for as long as something is measured. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "../control/failure.ts";
import { pollFor } from "../lab/poll.ts";

const READY_MS = 20_000;

/** A port of loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

const isHealthy = async (endpoint: string): Promise<true | null> => {
  try {
    return (await (await fetch(`${endpoint}/health`)).text()).includes("true") ? true : null;
  } catch {
    return null;
  }
};

/** Starts one, runs something with it, ends it. Throws a Failure where there is none. */
export async function withEtcd<T>(run: (endpoint: string) => Promise<T>, signal?: AbortSignal): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "hafl-bench-etcd-"));
  const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
  const urls = ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer];
  const cluster = ["--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`];
  const child = spawn("etcd", ["--data-dir", dir, ...urls, ...cluster], { stdio: "ignore" });
  const ended = new Promise<Error | null>((resolve) => child.once("error", resolve).once("exit", () => resolve(null)));
  try {
    const ready = await Promise.race([pollFor(() => isHealthy(client), READY_MS, 50, signal), ended]);
    if (ready !== true) throw new Failure("hafl bench: etcd does not start (apt-get install etcd-server)");
    return await run(client);
  } finally {
    child.kill("SIGKILL");
    await ended;
    rmSync(dir, { recursive: true, force: true });
  }
}
