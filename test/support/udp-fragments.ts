/**
 * Large UDP datagrams to an echo service, as a client sends them: `node udp-fragments.js SOURCE VIP PORT`. Prints how many came
 * back whole: {plain, shuffled, of}.
 *
 * Plain ones are fragmented by the kernel. Shuffled ones are fragments of several datagrams in one random order, sent by a raw
 * socket.
 */
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import * as make from "./packets.ts";
import { seededRandom } from "./random.ts";
import { sendRaw } from "./raw-send.ts";

const DATAGRAMS = 40;
const SIZE = 8000;
/** Payload of the raw fragments. */
const PIECE = 1400;
/** Datagrams on their way at a time: no socket's buffer overflows. */
const AT_ONCE = 4;
const PATIENCE_MS = 1500;

interface Client {
  readonly socket: Socket;
  readonly payload: Uint8Array;
  back: boolean;
}

async function openClients(source: string, first: number): Promise<Client[]> {
  return await Promise.all(
    Array.from({ length: DATAGRAMS }, async (_, i) => {
      const socket = createSocket(isIPv6(source) ? "udp6" : "udp4");
      const client: Client = { socket, payload: make.filler(SIZE, first + i), back: false };
      socket.on("message", (reply) => {
        // "HOST PAYLOAD"
        const text = reply.subarray(reply.indexOf(0x20) + 1);
        if (Buffer.compare(text, client.payload) === 0) client.back = true;
      });
      await new Promise<void>((resolve) => socket.bind(first + i, source, resolve));
      return client;
    }),
  );
}

/** Calls `send` with a few clients at a time, and again with those that have no answer. Gives how many have one then. */
async function exchange(clients: readonly Client[], tries: number, send: (waiting: readonly Client[]) => void): Promise<number> {
  for (let first = 0; first < clients.length; first += AT_ONCE) {
    const few = clients.slice(first, first + AT_ONCE);
    for (let i = 0; i < tries && few.some(({ back }) => !back); i++) {
      send(few.filter(({ back }) => !back));
      for (const end = Date.now() + PATIENCE_MS; Date.now() < end && few.some(({ back }) => !back); ) await sleep(5);
    }
  }
  for (const { socket } of clients) socket.close();
  return clients.filter(({ back }) => back).length;
}

function fragmentsOf(client: Client, vip: string, port: number, id: number): Uint8Array[] {
  const { address, port: from } = client.socket.address();
  const whole = make.udpDatagram([address, from], [vip, port], client.payload);
  return Array.from({ length: Math.ceil(whole.length / PIECE) }, (_, i) =>
    make.ip(address, vip, 17, whole.subarray(i * PIECE, (i + 1) * PIECE), {
      id,
      offset: i * PIECE,
      more: (i + 1) * PIECE < whole.length,
    }),
  );
}

const random = seededRandom(11);
let nextId = 1000;

/** All fragments of all datagrams, in random order. */
function sendShuffled(waiting: readonly Client[], vip: string, port: number, family: 4 | 6): void {
  const fragments = waiting.flatMap((client) => fragmentsOf(client, vip, port, nextId++));
  for (let i = fragments.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [fragments[i], fragments[j]] = [fragments[j]!, fragments[i]!];
  }
  sendRaw(fragments, family);
}

const [source, vip, port] = process.argv.slice(2);
const family = isIPv6(vip!) ? 6 : 4;
// An IPv6 source learns from the first that is lost how large its fragments may be.
const tries = family === 6 ? 3 : 1;
const plain = await exchange(await openClients(source!, 42_000), tries, (waiting) => {
  for (const { socket, payload } of waiting) socket.send(payload, Number(port), vip!);
});
const shuffled = await exchange(await openClients(source!, 43_000), 1, (waiting) =>
  sendShuffled(waiting, vip!, Number(port), family),
);
process.stdout.write(`${JSON.stringify({ plain, shuffled, of: DATAGRAMS })}\n`);
