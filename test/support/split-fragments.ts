/**
 * UDP datagrams over IPv6 to an echo service whose fragments the director's kernel gives to two workers:
 *
 *   node split-fragments.js SOURCE VIP PORT RUNTIME_DIR_OF_DIRECTOR
 *
 * PACKET_FANOUT_HASH takes the fragments of a datagram for one flow, by addresses and protocol. But where IPv6 fragments that come
 * later name another next header, which nobody reads (RFC 8200, 4.5), they are another flow to it. The later ones are
 * sent first. Prints {of, back, split, held}: datagrams, those answered whole, those whose fragments came to two
 * workers, and those of which nothing had left the director before the first fragment came.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { readStatus } from "../../src/control/status.ts";
import * as make from "./packets.ts";
import { sendRaw } from "./raw-send.ts";

const DATAGRAMS = 24;
const SIZE = 3000;
const PIECE = 1200;
/** Later fragments wait 50 ms for the first; on a busy machine that may be over before it is sent. */
const TRIES = 5;
const PATIENCE_MS = 1000;
/** Long enough for the fragments to have been handled, if they were. */
const BEFORE_FIRST_MS = 15;
/** Where the fragment header says what follows. */
const NEXT_HEADER = 40;
/** Numbers for use in experiments (RFC 3692), and those in front of them. */
const FIRST_OTHER = 200;

const [source, vip, port, dir] = process.argv.slice(2) as [string, string, string, string];

/** Frames by worker, and packets that left. */
function seen(): { frames: number[]; left: number } {
  const { workers, verdicts } = readStatus(dir);
  return { frames: workers.map(({ uplinkFrames }) => uplinkFrames), left: verdicts.forwarded! + verdicts.delivered! };
}

function fragmentsOf(from: number, payload: Uint8Array, id: number, other: number): Uint8Array[] {
  const whole = make.udpDatagram([source, from], [vip, Number(port)], payload);
  return Array.from({ length: Math.ceil(whole.length / PIECE) }, (_, i) => {
    const part = whole.subarray(i * PIECE, (i + 1) * PIECE);
    const packet = make.ip(source, vip, 17, part, { id, offset: i * PIECE, more: (i + 1) * PIECE < whole.length });
    if (i > 0) packet[NEXT_HEADER] = other;
    return packet;
  });
}

async function answered(socket: Socket, payload: Uint8Array): Promise<boolean> {
  const abort = AbortSignal.timeout(PATIENCE_MS);
  try {
    const [reply] = (await once(socket, "message", { signal: abort })) as [Buffer];
    return Buffer.compare(reply.subarray(reply.indexOf(0x20) + 1), payload) === 0;
  } catch {
    return false;
  }
}

const result = { of: DATAGRAMS, back: 0, split: 0, held: 0 };
// One that is never answered is enough.
for (let i = 0; i < DATAGRAMS && result.back === i; i++) {
  const socket = createSocket("udp6");
  socket.bind(44_000 + i, source);
  await once(socket, "listening");
  const payload = make.filler(SIZE, i);
  for (let n = 0; n < TRIES; n++) {
    const before = seen();
    const [first, ...later] = fragmentsOf(44_000 + i, payload, 5000 + i * TRIES + n, FIRST_OTHER + i);
    const whole = answered(socket, payload);
    sendRaw(later, 6);
    await sleep(BEFORE_FIRST_MS);
    const waiting = seen();
    sendRaw([first!], 6);
    if (!(await whole)) continue;
    const after = seen();
    result.back++;
    if (after.frames.filter((frames, worker) => frames > before.frames[worker]!).length === 2) result.split++;
    if (waiting.left === before.left) result.held++;
    break;
  }
  socket.close();
}
process.stdout.write(`${JSON.stringify(result)}\n`);
