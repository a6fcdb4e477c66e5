/** What the benchmark's programs print of packets whose fate is known. Run by programs.test.ts in a namespace. */
import assert from "node:assert/strict";
import { execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { benchProgram, type ProgramName } from "../../src/bench/programs.ts";
import { ACK, SYN } from "../../src/wire/tcp.ts";
import { ip } from "../support/netns.ts";

const GUE_PORT = 6080;
ip("link set lo up");
ip("link add up0 address 02:00:00:00:00:aa type veth peer name up1 address 02:00:00:00:00:bb");
ip("link set up0 up");
ip("link set up1 up");
ip("address add 10.9.0.1/24 dev lo");

/** Starts a program, waits until it says it is ready; the function closes its input and gives what it then prints. */
async function start(name: ProgramName, ...args: (string | number)[]): Promise<() => Promise<Record<string, number>>> {
  const options: SpawnOptions = { stdio: ["pipe", "pipe", "inherit"] };
  const child = spawn(benchProgram(name), args.map(String), options);
  let out = "";
  child.stdout!.on("data", (chunk) => {
    out += chunk;
  });
  while (!out.startsWith("ready\n")) await once(child.stdout!, "data");
  return async () => {
    child.stdin!.end();
    const [code] = await once(child, "close");
    assert.equal(code, 0);
    return JSON.parse(out.slice("ready\n".length) || "{}");
  };
}

/** A GUE datagram with a TCP packet of 64 bytes, marked as number `number` of flow `flow`. */
function datagram(flow: number, number: number, flags = ACK): Buffer {
  const bytes = Buffer.alloc(4 + 64);
  bytes[1] = 4;
  bytes[4] = 0x45;
  bytes[4 + 20 + 13] = flags;
  bytes.writeUInt32LE(flow, 4 + 40);
  bytes.writeUInt32LE(number, 4 + 44);
  return bytes;
}

test("the sink tells packets that are late or again from those that are missing, SYNs and others", async () => {
  const sink = await start("sink", GUE_PORT, 20);
  const socket = createSocket("udp4");
  const send = (bytes: Buffer): Promise<unknown> => new Promise((resolve) => socket.send(bytes, GUE_PORT, "127.0.0.1", resolve));
  await send(datagram(0, 0, SYN));
  for (const number of [0, 1, 4, 3, 5, 5]) await send(datagram(0, number));
  for (const number of [0, 1]) await send(datagram(7, number));
  await send(Buffer.from("what is this"));
  socket.close();
  const { packets, late, syns, other, dropped } = await sink();
  assert.deepEqual({ packets, late, syns, other, dropped }, { packets: 8, late: 2, syns: 1, other: 1, dropped: 0 });
});

for (const ports of [1, 64]) {
  test(`generator, floor with ${ports} source ports and sink: all arrives, in order and together`, async () => {
    const sink = await start("sink", GUE_PORT, 20);
    const floor = await start("floor", "up1", "192.0.2.20", "10.9.0.1", "10.9.0.1", GUE_PORT, ports, 128);
    const generate = (flows: number, rate: number, seconds: number, ...more: string[]): { sent: number; seconds: number } =>
      JSON.parse(
        execFileSync(
          benchProgram("generate"),
          ["up0", "02:00:00:00:00:bb", "192.0.2.20", 9, flows, rate, seconds, ...more].map(String),
          {
            encoding: "utf8",
          },
        ),
      );
    assert.equal(generate(100, 0, 5, "syn").sent, 100);
    const { sent, seconds } = generate(100, 20_000, 0.3);
    assert.ok(Math.abs(sent / seconds / 20_000 - 1) < 0.1, `${sent} in ${seconds} s`);
    const done = await floor();
    const came = await sink();
    assert.equal(done.packets, sent + 100);
    assert.deepEqual(
      { packets: came.packets, syns: came.syns, late: came.late, other: came.other },
      { packets: sent, syns: 100, late: 0, other: 0 },
    );
    assert.ok(done.trains! < done.packets!, "some left in trains");
    assert.ok(ports === 64 || came.trains! < came.packets! / 1.5, `${came.trains} reads for ${came.packets} packets`);
  });
}

test("echo: answers in a sensible time, and a share of them within it", async () => {
  const server = await start("echo", "server", 7);
  const out = execFileSync(benchProgram("echo"), ["client", "127.0.0.1", "7", "0.2", "100"], { encoding: "utf8" });
  await server();
  const { count, p50, p99, p999, most } = JSON.parse(out) as Record<string, number>;
  assert.ok(count! > 50 && p50! > 1 && p50! <= p99! && p99! <= p999! && p999! <= most!, out);
});
