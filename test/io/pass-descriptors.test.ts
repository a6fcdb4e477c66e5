/** Descriptors handed over a UNIX socket; both ends in this process. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { native } from "../../src/io/native.ts";

const folder = mkdtempSync(join(tmpdir(), "hafl-pass-"));
after(() => rmSync(folder, { recursive: true }));
const n = native();

const fdOf = (socket: Socket): number => (socket as unknown as { _handle: { fd: number } })._handle.fd;

/** A server that does something with what connects to it. */
async function serving(
  name: string,
  serve: (socket: Socket, request: string) => void,
): Promise<{ path: string; server: Server }> {
  const path = join(folder, name);
  const server = createServer((socket) => socket.once("data", (request) => serve(socket, request.toString())));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { path, server };
}

const RECEIVER = `
  import { native, useAddon } from "${new URL("../../src/io/native.js", import.meta.url).href}";
  import { parentPort, workerData } from "node:worker_threads";
  if (workerData.addon) useAddon(workerData.addon);
  const { path, request, count, timeout } = workerData;
  try { parentPort.postMessage({ fds: native().receiveDescriptors(path, request, count, timeout) }); }
  catch ({ code, message }) { parentPort.postMessage({ code, message }); }`;

type Received = { fds?: number[]; code?: string; message?: string };

/** receiveDescriptors() in a thread, since it blocks. */
async function receive(path: string, request: string, count: number, timeout = 5_000): Promise<Received> {
  const url = new URL(`data:text/javascript,${encodeURIComponent(RECEIVER)}`);
  const worker = new Worker(url, { workerData: { path, request, count, timeout, addon: process.env.HAFL_NATIVE } });
  return await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
}

/** Descriptors of this process for a file. */
function copiesOf(file: string): number {
  const { ino } = statSync(file);
  const isCopy = (fd: string): boolean => {
    try {
      return statSync(`/proc/self/fd/${fd}`).ino === ino;
    } catch {
      return false;
    }
  };
  return readdirSync("/proc/self/fd").filter(isCopy).length;
}

test("hundreds of descriptors arrive in order, as the same open files", async () => {
  const paths = Array.from({ length: 600 }, (_, i) => join(folder, `file-${i}`));
  for (const path of paths) writeFileSync(path, "");
  const sent = paths.map((path) => openSync(path, "r"));
  const requests: string[] = [];
  const { path, server } = await serving("many", (socket, request) => {
    requests.push(request);
    n.sendDescriptors(fdOf(socket), Int32Array.from(sent));
    socket.end();
  });
  const { fds = [] } = await receive(path, "descriptors, please\n", sent.length);
  assert.deepEqual(requests, ["descriptors, please\n"]);
  assert.deepEqual(
    fds.map((fd) => fstatSync(fd).ino),
    sent.map((fd) => fstatSync(fd).ino),
  );
  assert.ok(fds.every((fd) => !sent.includes(fd)));
  for (const fd of [...fds, ...sent]) closeSync(fd);
  server.close();
});

test("a lock is held until the last copy of its descriptor is closed", async () => {
  const file = join(folder, "lock");
  const lock = n.lockFile(file);
  const { path, server } = await serving("locks", (socket) => {
    n.sendDescriptors(fdOf(socket), Int32Array.of(lock));
    socket.end();
  });
  const { fds = [] } = await receive(path, "x", 1);
  n.close(lock);
  assert.throws(() => n.lockFile(file), { code: "EWOULDBLOCK" });
  n.close(fds[0]!);
  n.close(n.lockFile(file));
  server.close();
});

test("too few, none in time, nobody there: an error each, and nothing stays open", async () => {
  const file = join(folder, "passed");
  writeFileSync(file, "");
  const some = openSync(file, "r");
  const { path, server } = await serving("few", (socket, request) => {
    n.sendDescriptors(fdOf(socket), Int32Array.of(some, some));
    if (request === "end") socket.end();
    else socket.on("error", () => {});
  });
  const ended = await receive(path, "end", 3);
  assert.deepEqual(ended, {
    code: "ECONNRESET",
    message: `recvmsg(SCM_RIGHTS) on ${path}: ECONNRESET: the other end closed the connection`,
  });
  const silent = await receive(path, "stay", 3, 50);
  assert.equal(silent.message, `recvmsg(SCM_RIGHTS) on ${path}: ETIMEDOUT: nothing came in time`);
  assert.equal(copiesOf(file), 1, "what came is closed");
  const { fds = [] } = await receive(path, "stay", 1);
  assert.deepEqual([fds.length, copiesOf(file)], [1, 2], "what came and was not wanted as well");
  await new Promise<void>((resolve) => server.close(() => resolve()));
  for (const fd of [some, ...fds]) closeSync(fd);
  writeFileSync(path, "");
  assert.equal((await receive(path, "x", 1)).message, `connect(UNIX) on ${path}: ECONNREFUSED: nobody listens there`);
  assert.equal((await receive(join(folder, "none"), "x", 1)).code, "ENOENT");
});

test("who is at the other end; what is no socket", async () => {
  const peers: [number, number][] = [];
  const { path, server } = await serving("peer", (socket) => {
    peers.push(n.peerCredentials(fdOf(socket)));
    socket.end();
  });
  const client = connect(path, () => client.write("x"));
  await new Promise((resolve) => client.once("close", resolve).resume());
  assert.deepEqual(peers, [[process.pid, process.getuid!()]]);
  server.close();
  const wake = n.createWake();
  assert.throws(() => n.peerCredentials(wake), { code: "ENOTSOCK", syscall: "getsockopt" });
  assert.throws(() => n.sendDescriptors(wake, Int32Array.of(wake)), { code: "ENOTSOCK", syscall: "sendmsg" });
  assert.throws(() => n.socketDrops(wake), { code: "ENOTSOCK", syscall: "getsockopt" });
  assert.throws(() => n.receiveDescriptors("x".repeat(108), "x", 1, 0), /path: 108 bytes long, 1 to 107/);
  assert.throws(() => n.receiveDescriptors("x", "x", 0, 0), /count: 0/);
  assert.throws(() => n.sendDescriptors(wake, [wake] as unknown as Int32Array), /descriptors: not an Int32Array/);
  n.close(wake);
});

test("drops of a socket without room are counted", async () => {
  const fd = n.openGueReceiver("127.0.0.1", 46081, false, false, 4096);
  assert.equal(n.socketDrops(fd), 0);
  const sender = createSocket("udp4");
  for (let i = 0; i < 100; i++) {
    await new Promise<void>((resolve, reject) =>
      sender.send(new Uint8Array(500), 46081, "127.0.0.1", (error) => (error === null ? resolve() : reject(error))),
    );
  }
  sender.close();
  const drops = n.socketDrops(fd);
  assert.ok(drops > 10 && drops < 100, `${drops}`);
  n.close(fd);
});
