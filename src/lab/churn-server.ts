/**
 * The server of the churn lab: TCP connections and UDP sessions that remember how many messages they have had.
 *
 *   node churn-server.js HOST PORT VIP...
 *
 * A line, or a datagram, "MESSAGE" is answered with "HOST COUNT MESSAGE": COUNT is that of messages in this session on this host.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, isIPv6, type Socket } from "node:net";
import { SERVER_READY } from "./server.ts";

/** A connection that says nothing for so long is given up: its client may have gone while no packet got through. */
const SILENT_MS = 30_000;

const [host, port, ...vips] = process.argv.slice(2);

function serveConnection(socket: Socket): void {
  let count = 0;
  let rest = "";
  socket.setNoDelay(true);
  socket.setEncoding("utf8");
  // A client that goes away is its own affair, also when nothing is heard of it.
  socket.on("error", () => {});
  socket.setTimeout(SILENT_MS, () => void socket.destroy());
  socket.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) socket.write(`${host} ${++count} ${line}\n`);
  });
}

for (const vip of vips) {
  const tcp = createServer(serveConnection);
  tcp.listen({ host: vip, port: Number(port), backlog: 4096 });
  await once(tcp, "listening");

  const counts = new Map<string, number>();
  const udp = createSocket({ type: isIPv6(vip) ? "udp6" : "udp4", recvBufferSize: 1 << 20 });
  udp.on("message", (message, peer) => {
    const key = `${peer.address} ${peer.port}`;
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    udp.send(`${host} ${count} ${message.toString()}`, peer.port, peer.address);
  });
  udp.bind(Number(port), vip);
  await once(udp, "listening");
}
process.stdout.write(`${SERVER_READY}\n`);
