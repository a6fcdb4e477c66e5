import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { formatMessage, Gone, Link, type Message, parseMessage, socketPath } from "../../src/control/takeover-protocol.ts";

const dir = mkdtempSync(join(tmpdir(), "hafl-protocol-"));
after(() => rmSync(dir, { recursive: true }));

const OFFER: Message = {
  type: "offer",
  pid: 17,
  instance: "s1",
  host: "s1",
  uplink: "eth0",
  table: 104_000_001,
  config: "cluster: x\nhosts: []\n",
  drainAt: null,
  mtus: { s2: 1600 },
  descriptors: 9,
  lock: 0,
  set: {
    workers: [{ uplinkFd: 1, deliveryFd: 2, gueFds: [3], socketsFd: 4 }],
    senders4: [5],
    senders6: [],
    rawFd4: 6,
    rawFd6: -1,
  },
  counting: { inKernel: 1, choice: "AAAA", counting: [7, 8], slots: [0] },
};
const ALL: Message[] = [
  { type: "hello", protocol: 1, pid: 4 },
  { type: "descriptors" },
  OFFER,
  { type: "ready" },
  { type: "released", at: 12.5, dropped: null },
  { type: "released", at: 12.5, dropped: 3 },
  { type: "running" },
  { type: "done" },
  { type: "refused", why: "no" },
  { type: "abandoned", why: "a line\nand another" },
];

test("every message is one line, and comes out as it went in", () => {
  for (const message of ALL) {
    const line = formatMessage(message);
    assert.equal(line.indexOf("\n"), line.length - 1);
    assert.deepEqual(parseMessage(line), message);
  }
  assert.deepEqual(parseMessage('{"type":"ready","more":"of a later version"}'), { type: "ready" });
});

test("what is no message says what is wrong with it", () => {
  const offer = (changes: object): string => JSON.stringify({ ...OFFER, ...changes });
  const wrong: [string, RegExp][] = [
    ["", /^not a message: ""$/],
    ["GET / HTTP/1.1", /^not a message: "GET \/ HTTP\/1\.1"$/],
    ["null", /^not a message: it: /],
    ["{}", /^not a message: type: /],
    ['{"type":"hallo"}', /^not a message: type: /],
    ['{"type":"hello","protocol":1}', /^not a message: pid: /],
    ['{"type":"hello","protocol":1.5,"pid":1}', /^not a message: protocol: /],
    ['{"type":"released","at":"now","dropped":0}', /^not a message: at: /],
    [offer({ lock: -1 }), /^not a message: lock: /],
    [offer({ descriptors: 0 }), /^not a message: descriptors: /],
    [offer({ set: { ...(OFFER as { set: object }).set, workers: [] } }), /^not a message: set\.workers: /],
    [offer({ set: { ...(OFFER as { set: object }).set, senders4: [1, null] } }), /^not a message: set\.senders4\.1: /],
    [offer({ counting: null }), /^not a message: counting: /],
  ];
  for (const [line, message] of wrong) assert.throws(() => parseMessage(line), { name: "Error", message }, line);
});

test("a socket's path has to fit", () => {
  assert.equal(socketPath("/run/hafl/s1"), "/run/hafl/s1/takeover");
  assert.equal(socketPath(`/${"x".repeat(97)}`)?.length, 107);
  assert.equal(socketPath(`/${"x".repeat(98)}`), null);
  assert.equal(socketPath(`/${"\u00fc".repeat(50)}`), null, "bytes count");
});

let count = 0;
/** Two ends of a connection: a plain socket and a Link. */
async function pair(): Promise<{ socket: Socket; link: Link }> {
  const server = createServer();
  const path = join(dir, `${++count}`);
  server.listen(path);
  const accepted = once(server, "connection");
  const socket = connect(path);
  const [other] = (await accepted) as [Socket];
  server.close();
  return { socket, link: new Link(other) };
}

test("messages in pieces, several at once, and what stands for a refusal", async () => {
  const { socket, link } = await pair();
  const line = formatMessage(OFFER);
  socket.write(line.slice(0, 50));
  const offer = link.expect("offer", 2_000);
  socket.write(`${line.slice(50)}{"type":"ready"}\n{"type":"running"}\n{"type":"refused","why":"not now"}\n`);
  assert.deepEqual(await offer, OFFER);
  await link.expect("ready", 2_000);
  await assert.rejects(link.expect("done", 2_000), { message: '"running" came where "done" was to come' });
  await assert.rejects(link.expect("done", 2_000), { message: "not now" });
  await assert.rejects(link.expect("done", 30), { message: "nothing heard for 0.03 s" });
  socket.write("nonsense\n");
  await assert.rejects(link.expect("done", 2_000), { message: 'not a message: "nonsense"' });
  await assert.rejects(link.next(2_000), /nonsense/, "it is not listened to any more");
  socket.destroy();
});

test("the other end goes: what it said counts, then it is gone", async () => {
  const { socket, link } = await pair();
  socket.end('{"type":"ready"}\n');
  await once(socket, "close");
  await link.expect("ready", 2_000);
  await assert.rejects(link.expect("done", 2_000), Gone);
  link.send({ type: "done" });
  link.end({ type: "done" });
});

test("a last word arrives before the end; what this end gives up is given up", async () => {
  const { socket, link } = await pair();
  let heard = "";
  socket.on("data", (text) => {
    heard += text;
  });
  const waiting = assert.rejects(link.next(2_000), { message: "told to stop" });
  link.fail(new Error("told to stop"));
  await waiting;
  link.end({ type: "abandoned", why: "told to stop" });
  await once(socket, "close");
  assert.equal(heard, '{"type":"abandoned","why":"told to stop"}\n');
});
