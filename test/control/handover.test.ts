/** The running agent's part of a takeover, with an agent that only writes down what is asked of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, existsSync, fstatSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { Worker } from "node:worker_threads";
import pino from "pino";
import { type Giver, HandoverServer } from "../../src/control/handover.ts";
import { Gone, Link, type Message, type Offer } from "../../src/control/takeover-protocol.ts";

const OFFER: Omit<Offer, "type"> = {
  pid: process.pid,
  instance: "s1",
  host: "s1",
  uplink: "eth0",
  table: 1,
  config: "",
  drainAt: null,
  mtus: {},
  descriptors: 1,
  lock: 0,
  set: {
    workers: [{ uplinkFd: 0, deliveryFd: 0, gueFds: [], socketsFd: 0 }],
    senders4: [],
    senders6: [],
    rawFd4: -1,
    rawFd6: -1,
  },
  counting: { inKernel: 0, choice: null, counting: [], slots: [] },
};
const HELLO: Message = { type: "hello", protocol: 1, pid: 4711 };
const MS = 5_000;

let dir = "";
let file = -1;
let asked: string[] = [];
let logged: string[] = [];
let server: HandoverServer;
let pausing: () => Promise<{ at: number; dropped: number | null }>;

const giver: Giver = {
  freeze: () => {
    asked.push("freeze");
    return { offer: OFFER, descriptors: [file] };
  },
  pause: () => {
    asked.push("pause");
    return pausing();
  },
  goOn: () => void asked.push("goOn"),
};

const listen = (place: string): HandoverServer => {
  const log = pino({}, { write: (line: string) => void logged.push((JSON.parse(line) as { msg: string }).msg) });
  return HandoverServer.listen(place, giver, log, () => void asked.push("handedOver"));
};

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hafl-handover-"));
  writeFileSync(join(dir, "file"), "");
  file = openSync(join(dir, "file"), "r");
  [asked, logged] = [[], []];
  pausing = () => Promise.resolve({ at: 1.5, dropped: 2 });
  server = listen(dir);
});
afterEach(async () => {
  await server.close("the test is over");
  closeSync(file);
  rmSync(dir, { recursive: true });
});

/** Connects, and says something. */
async function say(...messages: readonly Message[]): Promise<Link> {
  const socket = connect(join(dir, "takeover"));
  await once(socket, "connect");
  const link = new Link(socket);
  for (const message of messages) link.send(message);
  return link;
}

const refused = async (link: Link, why: string): Promise<void> => {
  await assert.rejects(link.expect("done", MS), { message: why });
  await assert.rejects(link.next(MS), Gone);
};

const RECEIVER = `
  import { native } from "${new URL("../../src/io/native.js", import.meta.url).href}";
  import { parentPort, workerData } from "node:worker_threads";
  try { parentPort.postMessage(native().receiveDescriptors(workerData, '{"type":"descriptors"}\\n', 1, 5000)); }
  catch ({ code }) { parentPort.postMessage(code); }`;

/** Asks for the descriptors, in a thread: this one has to give them. */
async function receive(): Promise<number[] | string> {
  const url = new URL(`data:text/javascript,${encodeURIComponent(RECEIVER)}`);
  const worker = new Worker(url, { workerData: join(dir, "takeover") });
  return await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
}

test("from hello to done; the socket is for its owner alone, and goes away in time", async () => {
  assert.equal(statSync(join(dir, "takeover")).mode & 0o777, 0o600);
  const link = await say(HELLO);
  assert.deepEqual(await link.expect("offer", MS), { type: "offer", ...OFFER });
  const [fd] = (await receive()) as [number];
  assert.equal(fstatSync(fd).ino, fstatSync(file).ino);
  closeSync(fd);
  assert.equal(await receive(), "ECONNRESET", "once is enough");
  assert.deepEqual(asked, ["freeze"]);
  link.send({ type: "ready" });
  assert.deepEqual(await link.expect("released", MS), { type: "released", at: 1.5, dropped: 2 });
  assert.deepEqual(asked, ["freeze", "pause"]);
  link.send({ type: "running" });
  await link.expect("done", MS);
  assert.ok(!existsSync(join(dir, "takeover")), "the other makes its own");
  await server.close("");
  assert.deepEqual(asked, ["freeze", "pause", "handedOver"]);
  assert.deepEqual(logged, ["handing over to pid 4711", "handed over to pid 4711"]);
});

test("what is wrong at the door is refused, and nothing is asked of the agent", async () => {
  await refused(await say({ type: "ready" }), '"ready" came where "hello" was to come');
  await refused(await say({ ...HELLO, protocol: 2 }), "it speaks version 1 of takeovers, not 2");
  const socket = connect(join(dir, "takeover"));
  socket.write("GET / HTTP/1.1\n");
  await refused(new Link(socket), 'not a message: "GET / HTTP/1.1"');
  assert.equal(await receive(), "ECONNRESET", "no descriptors without an offer");
  assert.deepEqual([asked, logged], [[], []]);
});

test("a second one is refused while the first takes over, and may when that has failed", async () => {
  const first = await say(HELLO);
  await first.expect("offer", MS);
  await refused(await say({ ...HELLO, pid: 5 }), "pid 4711 is taking over from it already");
  first.end({ type: "abandoned", why: "no memory" });
  while (logged.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.deepEqual([asked, logged], [["freeze", "goOn"], ["pid 4711 has not taken over: no memory"]]);
  const second = await say({ ...HELLO, pid: 5 });
  await second.expect("offer", MS);
  second.end();
});

test("gone, out of turn, or workers that do not stop: the agent goes on", async () => {
  const before: [string, (link: Link) => Promise<unknown> | unknown, string][] = [
    ["gone", (link) => link.end(), "it is gone"],
    ["out of turn", (link) => link.send({ type: "running" }), '"running" came where "ready" was to come'],
    [
      "gone when it was to run",
      async (link) => {
        link.send({ type: "ready" });
        await link.expect("released", MS);
        link.end();
      },
      "it is gone",
    ],
    [
      "workers do not stop",
      async (link) => {
        pausing = () => Promise.reject(new Error("worker 0 did not stop"));
        link.send({ type: "ready" });
        await refused(link, "worker 0 did not stop");
      },
      "worker 0 did not stop",
    ],
  ];
  for (const [what, act, why] of before) {
    [asked, logged] = [[], []];
    const link = await say(HELLO);
    await link.expect("offer", MS);
    await act(link);
    while (logged.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    assert.deepEqual(logged, [`pid 4711 has not taken over: ${why}`], what);
    assert.equal(asked.at(-1), "goOn", what);
  }
});

test("told to stop: the other hears why, unless workers have stopped for it", async () => {
  const early = await say(HELLO);
  await early.expect("offer", MS);
  await server.close("its agent was told to stop");
  await refused(early, "its agent was told to stop");
  assert.deepEqual(asked, ["freeze", "goOn"]);
  server = listen(dir);
  const late = await say(HELLO);
  await late.expect("offer", MS);
  late.send({ type: "ready" });
  await late.expect("released", MS);
  const closed = server.close("its agent was told to stop");
  late.send({ type: "running" });
  await late.expect("done", MS);
  await closed;
  assert.equal(asked.at(-1), "handedOver");
});

test("one that has not said yet what it wants is not waited for, nor heard any more", async () => {
  const link = await say();
  // The server takes connections in their order: when this one has been answered, the other has been taken.
  await refused(await say({ type: "ready" }), '"ready" came where "hello" was to come');
  await server.close("its agent was told to stop");
  link.send(HELLO);
  await refused(link, "its agent was told to stop");
  assert.deepEqual(asked, []);
});

test("where there can be no socket the log says so, and the agent runs", () => {
  const deep = join(dir, "x".repeat(100));
  mkdirSync(deep);
  void listen(deep).close("");
  assert.deepEqual(logged, [`this agent cannot be taken over from: ${deep}: the path is too long for a socket in it`]);
});
