/**
 * A client of the churn lab: keeps sessions open, each exchanges a message every 100 ms.
 *
 *   node churn-client.js '[PLACE, ...]' PATIENCE_MS
 *
 * What happens is a JSON line on standard output (churn-session.ts). It ends when standard input does.
 */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { CHURN_PORT, MESSAGE_MS, type Place, type SessionEvent } from "./churn-session.ts";

/** At the end a session without an answer for so long counts as broken. */
const SILENT_MS = 3_000;
const PAUSE_MS = 200;

/** A message without an answer for so long breaks a session. */
const patienceMs = Number(process.argv[3]);
let stopping = false;
let answered = 0;
let datagrams = 0;
let lost = 0;

const say = (event: SessionEvent): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

/** What is under a session. */
interface Wire {
  send(message: string): void;
  close(): void;
}
interface Ear {
  ready(): void;
  reply(text: string): void;
  fail(why: string): void;
}

function openTcp(place: Place, port: number, ear: Ear): Wire {
  const socket = connect({ host: place.target, port: CHURN_PORT, localAddress: place.source, localPort: port, noDelay: true });
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("connect", () => ear.ready());
  socket.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) ear.reply(line);
  });
  socket.on("error", (error: NodeJS.ErrnoException) => ear.fail(error.code ?? error.message));
  socket.on("end", () => ear.fail("closed by the other end"));
  return { send: (message) => void socket.write(`${message}\n`), close: () => void socket.destroy() };
}

function openUdp(place: Place, port: number, ear: Ear): Wire {
  const socket = createSocket(place.family === 6 ? "udp6" : "udp4");
  let closed = false;
  socket.on("message", (text) => ear.reply(text.toString()));
  socket.on("error", (error: NodeJS.ErrnoException) => ear.fail(error.code ?? error.message));
  socket.bind(port, place.source, () => socket.connect(CHURN_PORT, place.target, () => closed || ear.ready()));
  return {
    send: (message) => {
      socket.send(message, (error) => {
        // An ICMP error for an earlier message: the session has no host that knows it.
        if (error !== null && !closed) ear.fail((error as NodeJS.ErrnoException).code ?? error.message);
      });
    },
    close: () => {
      closed = true;
      socket.close();
    },
  };
}

/** One session from beginning to end. Resolves when it is broken or everything stops. */
function session(place: Place, port: number): Promise<void> {
  return new Promise((resolve) => {
    const name = `${place.protocol} ${place.family === 6 ? `[${place.source}]` : place.source}:${port}`;
    let host: string | null = null;
    let sent = 0;
    let had = 0;
    /** The last message that was answered: of datagrams some may be lost, and a session is to end nevertheless. */
    let latest = -1;
    let oldest = Date.now();
    const end = oldest + (place.lifeMs ?? Number.POSITIVE_INFINITY);
    let done = false;
    let ticker: NodeJS.Timeout | undefined;
    const finish = (why: string | null): void => {
      if (done) return;
      done = true;
      clearInterval(ticker);
      wire.close();
      if (place.protocol === "udp") {
        datagrams += sent;
        lost += sent - had;
      }
      if (why !== null) say({ event: host === null ? "failed" : "broken", session: name, why, at: Date.now() });
      resolve();
    };
    const tick = (): void => {
      if (stopping) finish(Date.now() - oldest > SILENT_MS ? "silent at the end" : null);
      else if (Date.now() > end && latest === sent - 1) {
        say({ event: "closed", session: name });
        finish(null);
      } else if (Date.now() - oldest > patienceMs) finish(`no answer for ${patienceMs / 1000} s`);
      else wire.send(`${sent++}`);
    };
    const wire = (place.protocol === "tcp" ? openTcp : openUdp)(place, port, {
      ready: () => {
        clearInterval(ticker);
        tick();
        if (!done) ticker = setInterval(tick, MESSAGE_MS);
      },
      reply: (text) => {
        const [from = "", count = "", message = ""] = text.split(" ");
        had++;
        latest = Number(message);
        answered++;
        oldest = Date.now();
        if (host === null) {
          host = from;
          say({ event: "open", session: name, host, at: oldest });
        } else if (from !== host) finish(`answered by ${from}`);
        else if (Number(count) < had) finish(`${from} had forgotten it`);
      },
      fail: (why) => finish(why),
    });
    // Until it is ready there is nothing to send, but patience ends.
    ticker = setInterval(() => {
      if (stopping || Date.now() - oldest > patienceMs) finish(stopping ? null : "not connected");
    }, MESSAGE_MS);
  });
}

/** Keeps a place taken. */
async function keep(place: Place, delay: number): Promise<void> {
  await sleep(delay);
  for (let port = place.port; !stopping; port = port + place.step > 65_535 ? place.port : port + place.step) {
    await session(place, port);
    if (!stopping) await sleep(PAUSE_MS);
  }
}

const places = JSON.parse(process.argv[2]!) as Place[];
for (const end of ["end", "error"]) {
  process.stdin.on(end, () => {
    stopping = true;
  });
}
process.stdin.resume();
// Whoever asked is gone: there is nobody to report to.
process.stdout.on("error", () => process.exit(1));
// Spread over two seconds: the lab is small, and one moment of it is like another.
await Promise.all(places.map((place, i) => keep(place, (2_000 * i) / places.length)));
say({ event: "end", answered, datagrams, lost });
process.stdin.destroy();
