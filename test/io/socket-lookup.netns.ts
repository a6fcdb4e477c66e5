/** Socket look-ups against real sockets in every state that can be had. Run by kernel.test.ts. */
import assert from "node:assert/strict";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { writeSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { after, test } from "node:test";
import { native } from "../../src/io/native.ts";
import { ANSWER_FOUND, ANSWER_NONE, ANSWER_UNKNOWN, QUERY_STRIDE, SocketLookup } from "../../src/io/socket-lookup.ts";
import { parseAddress } from "../../src/wire/address.ts";
import { ip, sysctl, until } from "../support/netns.ts";
import { ACK, FIN, RawTcpClient, RawTcpLink, tcpState } from "../support/raw-tcp.ts";

const TCP = 6;
const UDP = 17;
const n = native();
const tun = n.openTun("hafl-lookup", false);
ip("link set lo up");
ip("addr add 192.0.2.10/32 dev lo");
ip("addr add 2001:db8::10/128 dev lo nodad");
ip("link set hafl-lookup up");
ip("addr add 198.51.100.1/24 dev hafl-lookup");
ip("addr add 2001:db8:1::1/64 dev hafl-lookup nodad");
const link = new RawTcpLink(tun);
const fd = n.openSockDiag();
const lookup = new SocketLookup(fd, 1024);

const VIP = { 4: "192.0.2.10", 6: "2001:db8::10" } as const;
const CLIENT = { 4: "198.51.100.7", 6: "2001:db8:1::7" } as const;

function add(protocol: number, source: string, sourcePort: number, destination: string, destinationPort: number): number {
  const [from, to] = [parseAddress(source)!, parseAddress(destination)!];
  return lookup.add(from.family, protocol, ...from.words, ...to.words, sourcePort, destinationPort);
}

/** One look-up in a batch of its own. */
function ask(protocol: number, source: string, sourcePort: number, destination: string, destinationPort: number): number {
  lookup.clear();
  const index = add(protocol, source, sourcePort, destination, destinationPort);
  lookup.run();
  return lookup.found(index);
}

const closing: (Server | Socket | UdpSocket)[] = [];
after(() => {
  for (const it of closing) "destroy" in it ? it.destroy() : it.close();
  n.close(fd);
  n.close(tun);
});

async function listen(host: string, port: number, ipv6Only: boolean): Promise<Map<number, Socket>> {
  const accepted = new Map<number, Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.resume();
    accepted.set(socket.remotePort!, socket);
    closing.push(socket);
  });
  server.listen({ host, port, ipv6Only });
  await once(server, "listening");
  closing.push(server);
  return accepted;
}

let nextPort = 20_000;

for (const [family, host, ipv6Only] of [
  [4, "0.0.0.0", false],
  [4, "192.0.2.10", false],
  [4, "::", false],
  [6, "::", false],
  [6, "::", true],
] as const) {
  const port = nextPort++;
  const name = `IPv${family}, server on ${host}${ipv6Only ? " without IPv4" : ""}`;
  let accepted = new Map<number, Socket>();

  /** Opens a flow up to the handshake's end; its look-up and its state are what the test is about. */
  async function connect() {
    const sourcePort = nextPort++;
    const client = new RawTcpClient(link, {
      source: CLIENT[family],
      destination: VIP[family],
      sourcePort,
      destinationPort: port,
    });
    const found = () => ask(TCP, CLIENT[family], sourcePort, VIP[family], port);
    const reaches = async (state: string) => {
      await until(`${state}, it is ${tcpState(port, sourcePort)}`, () => tcpState(port, sourcePort) === state);
      assert.equal(found(), ANSWER_FOUND, state);
    };
    const establish = async (): Promise<Socket> => {
      await client.open();
      client.acknowledge();
      await until("accept", () => accepted.has(sourcePort));
      return accepted.get(sourcePort)!;
    };
    return { sourcePort, client, found, reaches, establish };
  }

  test(`${name}: a listener is no socket of the flow`, async () => {
    accepted = await listen(host, port, ipv6Only);
    assert.equal(ask(TCP, CLIENT[family], 33_000, VIP[family], port), ANSWER_NONE);
    assert.equal(ask(TCP, CLIENT[family], 0, VIP[family], port), ANSWER_NONE);
    assert.equal(ask(TCP, family === 4 ? "0.0.0.0" : "::", 0, VIP[family], port), ANSWER_NONE);
  });

  test(`${name}: half-open, established, and only exactly this flow`, async () => {
    const { client, sourcePort, found, reaches } = await connect();
    assert.equal(found(), ANSWER_NONE);
    await client.open();
    await reaches("SYN_RECV");
    client.acknowledge();
    await reaches("ESTABLISHED");
    const other = family === 4 ? "198.51.100.8" : "2001:db8:1::8";
    assert.equal(ask(TCP, other, sourcePort, VIP[family], port), ANSWER_NONE);
    assert.equal(ask(TCP, CLIENT[family], sourcePort + 1000, VIP[family], port), ANSWER_NONE);
    assert.equal(ask(TCP, CLIENT[family], sourcePort, VIP[family], port + 1000), ANSWER_NONE);
    assert.equal(ask(TCP, CLIENT[family], sourcePort, family === 4 ? "198.51.100.1" : "2001:db8:1::1", port), ANSWER_NONE);
    assert.equal(ask(UDP, CLIENT[family], sourcePort, VIP[family], port), ANSWER_NONE);
    assert.equal(ask(TCP, VIP[family], port, CLIENT[family], sourcePort), ANSWER_NONE);
    if (family === 4) assert.equal(ask6(`::ffff:${CLIENT[4]}`, sourcePort, `::ffff:${VIP[4]}`, port), ANSWER_FOUND);
  });

  test(`${name}: the server closes first`, async () => {
    const { client, reaches, establish } = await connect();
    (await establish()).end();
    await reaches("FIN_WAIT1");
    client.acknowledge();
    await reaches("FIN_WAIT2");
    client.send(FIN | ACK);
    await reaches("TIME_WAIT");
  });

  test(`${name}: the client closes first`, async () => {
    const { client, reaches, found, establish } = await connect();
    const socket = await establish();
    client.send(FIN | ACK);
    await reaches("CLOSE_WAIT");
    socket.end();
    await reaches("LAST_ACK");
    client.acknowledge();
    await until("gone", () => found() === ANSWER_NONE);
  });

  test(`${name}: both close at once, and a reset`, async () => {
    const first = await connect();
    (await first.establish()).end();
    await first.reaches("FIN_WAIT1");
    first.client.send(FIN | ACK); // without acknowledging the server's FIN
    await first.reaches("CLOSING");
    const second = await connect();
    (await second.establish()).resetAndDestroy();
    await until("gone", () => second.found() === ANSWER_NONE);
  });

  test(`${name}: with SYN cookies there is no socket before the handshake ends`, async () => {
    sysctl("net/ipv4/tcp_syncookies", 2);
    const { client, found, reaches } = await connect();
    await client.open();
    assert.equal(found(), ANSWER_NONE);
    client.acknowledge();
    await reaches("ESTABLISHED");
    sysctl("net/ipv4/tcp_syncookies", 1);
  });
}

/** A mapped address asked for as IPv6, which parseAddress() does not give. */
function ask6(source: string, sourcePort: number, destination: string, destinationPort: number): number {
  const word = (text: string) => parseAddress(text.slice("::ffff:".length))!.words[3];
  lookup.clear();
  lookup.add(6, TCP, 0, 0, 0xffff, word(source), 0, 0, 0xffff, word(destination), sourcePort, destinationPort);
  lookup.run();
  return lookup.found(0);
}

async function udp(type: "udp4" | "udp6", address: string, port: number, remote?: [number, string]): Promise<UdpSocket> {
  const socket = createSocket({ type, reuseAddr: true });
  closing.push(socket);
  socket.bind(port, address);
  await once(socket, "listening");
  if (remote !== undefined) {
    socket.connect(...remote);
    await once(socket, "connect");
  }
  return socket;
}

for (const [family, type, any, mapped] of [
  [4, "udp4", "0.0.0.0", ""],
  [4, "udp6", "::", "::ffff:"],
  [6, "udp6", "::", ""],
] as const) {
  for (const local of [VIP[family], any]) {
    test(`IPv${family}, ${type} on ${local}: only a UDP socket connected to the client counts`, async () => {
      const port = nextPort++;
      const address = local === any ? any : `${mapped}${local}`;
      const found = (sourcePort: number) => ask(UDP, CLIENT[family], sourcePort, VIP[family], port);
      await udp(type, address, port);
      assert.equal(found(5000), ANSWER_NONE);
      assert.equal(ask(UDP, family === 4 ? "0.0.0.0" : "::", 0, VIP[family], port), ANSWER_NONE);
      const connected = await udp(type, `${mapped}${VIP[family]}`, port, [5000, `${mapped}${CLIENT[family]}`]);
      assert.equal(found(5000), ANSWER_FOUND);
      assert.equal(found(5001), ANSWER_NONE);
      assert.equal(ask(UDP, family === 4 ? "198.51.100.8" : "2001:db8:1::8", 5000, VIP[family], port), ANSWER_NONE);
      assert.equal(ask(TCP, CLIENT[family], 5000, VIP[family], port), ANSWER_NONE);
      connected.disconnect();
      assert.equal(found(5000), ANSWER_NONE);
    });
  }
}

/** A connected socket for the tests of batches. */
const batchPort = nextPort++;
await udp("udp4", VIP[4], batchPort, [5000, CLIENT[4]]);

test("a full batch is answered, each query by its own answer", () => {
  lookup.clear();
  for (let i = 0; i < lookup.capacity; i++)
    assert.equal(add(UDP, CLIENT[4], i % 3 === 0 ? 5000 : 6000 + i, VIP[4], batchPort), i);
  assert.equal(add(UDP, CLIENT[4], 5000, VIP[4], batchPort), -1);
  lookup.run();
  for (let i = 0; i < lookup.capacity; i++) assert.equal(lookup.found(i), i % 3 === 0 ? ANSWER_FOUND : ANSWER_NONE, `${i}`);
});

test("what is no query is unknown, the others are answered", () => {
  lookup.clear();
  for (let i = 0; i < 6; i++) add(UDP, CLIENT[4], 5000, VIP[4], batchPort);
  lookup.queries[0] = 5;
  lookup.queries[2 * QUERY_STRIDE + 1] = 132;
  lookup.queries[4 * QUERY_STRIDE + 1] = UDP + 256;
  lookup.run();
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((i) => lookup.found(i)),
    [ANSWER_UNKNOWN, ANSWER_FOUND, ANSWER_UNKNOWN, ANSWER_FOUND, ANSWER_UNKNOWN, ANSWER_FOUND],
  );
  lookup.clear();
  lookup.run();
});

/** `count` raw requests for the connected socket of batchPort, whose answers nobody takes. */
function litter(count: number): void {
  const request = Buffer.alloc(72);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(20, 4); // SOCK_DIAG_BY_FAMILY
  request.writeUInt16LE(1, 6); // NLM_F_REQUEST
  request.set([2, UDP, 0, 0], 16);
  request.writeUInt16BE(5000, 24);
  request.writeUInt16BE(batchPort, 26);
  request.set([198, 51, 100, 7], 28);
  request.set([192, 0, 2, 10], 44);
  request.fill(0xff, 64);
  const requests = Buffer.concat(Array.from({ length: count }, () => request));
  for (let i = 0; i < count; i++) requests.writeUInt32LE(i, i * request.length + 8);
  writeSync(fd, requests);
}

test("answers that were left behind are not taken for those of this batch", () => {
  for (const left of [1, 63, 64, 500]) {
    litter(left);
    assert.equal(ask(UDP, CLIENT[4], 5001, VIP[4], batchPort), ANSWER_NONE);
    assert.equal(ask(UDP, CLIENT[4], 5000, VIP[4], batchPort), ANSWER_FOUND);
  }
});

test("a full queue loses answers, which are asked for again", () => {
  for (let i = 0; i < 30; i++) litter(1000);
  lookup.clear();
  for (let i = 0; i < 1000; i++) add(UDP, CLIENT[4], 5000 + (i & 1), VIP[4], batchPort);
  lookup.run();
  for (let i = 0; i < 1000; i++) assert.equal(lookup.found(i), i & 1 ? ANSWER_NONE : ANSWER_FOUND, `${i}`);
});

test("two look-ups may share a descriptor", () => {
  const other = new SocketLookup(fd, 1);
  assert.equal(other.add(4, UDP, ...parseAddress(CLIENT[4])!.words, ...parseAddress(VIP[4])!.words, 5001, batchPort), 0);
  for (let i = 0; i < 3; i++) {
    other.run();
    assert.equal(other.found(0), ANSWER_NONE);
    assert.equal(ask(UDP, CLIENT[4], 5000, VIP[4], batchPort), ANSWER_FOUND);
  }
});

test("an unusable descriptor is an error, wrong arguments are refused by name", () => {
  const lost = new SocketLookup(100_000, 1);
  lost.add(4, UDP, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1);
  assert.throws(() => lost.run(), { message: "sock_diag: EBADF: Bad file descriptor" });
  assert.equal(lost.found(0), ANSWER_UNKNOWN);
  const words = new Int32Array(2 * QUERY_STRIDE);
  assert.throws(
    () => n.createSocketLookup(fd, new Int32Array(QUERY_STRIDE - 1), new Uint8Array(1)),
    /queries: room for 0, 1 to 1024/,
  );
  assert.throws(
    () => n.createSocketLookup(fd, new Int32Array(1025 * QUERY_STRIDE), new Uint8Array(2000)),
    /queries: room for 1025/,
  );
  assert.throws(() => n.createSocketLookup(fd, words, new Uint8Array(1)), /answers: room for fewer than 2/);
  assert.throws(() => n.lookUpSockets(n.createSocketLookup(fd, words, new Uint8Array(2)), 3), /count: 3/);
  assert.throws(() => n.lookUpSockets(n.createWaiter(Int32Array.of(fd)), 1), /not a socket look-up/);
  assert.throws(() => n.wait(n.createSocketLookup(fd, words, new Uint8Array(2)), 0, 0), /not a waiter/);
});

test("what a look-up costs", async (t) => {
  const port = nextPort++;
  await listen("0.0.0.0", port, false);
  const client = new RawTcpClient(link, { source: CLIENT[4], destination: VIP[4], sourcePort: 5000, destinationPort: port });
  await client.open();
  for (const [what, protocol, sourcePort, destinationPort] of [
    ["TCP found", TCP, 5000, port],
    ["TCP listener only", TCP, 5001, port],
    ["TCP nothing", TCP, 5000, port + 1000],
    ["UDP found", UDP, 5000, batchPort],
    ["UDP nothing", UDP, 5001, batchPort],
  ] as const) {
    const costs = [1, 8, 64, 1024].map((size) => {
      lookup.clear();
      for (let i = 0; i < size; i++) add(protocol, CLIENT[4], sourcePort, VIP[4], destinationPort);
      let best = Number.POSITIVE_INFINITY;
      for (let round = 0; round < 5; round++) {
        const start = process.hrtime.bigint();
        const times = Math.ceil(2048 / size);
        for (let i = 0; i < times; i++) lookup.run();
        best = Math.min(best, Number(process.hrtime.bigint() - start) / (times * size));
      }
      return `${size}: ${(best / 1000).toFixed(2)}`;
    });
    t.diagnostic(`${what}, microseconds per look-up by batch size: ${costs.join(", ")}`);
  }
});
