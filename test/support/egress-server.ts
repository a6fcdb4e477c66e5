/**
 * A server that says with which source port it sees each connection, and echoes what comes then; UDP alike.
 *
 *   node egress-server.js ADDRESS PORT...
 */
import { createSocket } from "node:dgram";
import { createServer, isIPv6 } from "node:net";

const [address, ...ports] = process.argv.slice(2);
let open = ports.length * 2;
const ready = (): void => {
  if (--open === 0) process.stdout.write("ready\n");
};
for (const port of ports.map(Number)) {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.write(`${socket.remoteAddress} ${socket.remotePort}\n`);
    socket.pipe(socket);
  });
  server.listen({ host: address!, port, backlog: 4096 }, ready);
  const udp = createSocket(isIPv6(address!) ? "udp6" : "udp4");
  udp.on("message", (_, peer) => udp.send(`${peer.address} ${peer.port}\n`, peer.port, peer.address));
  udp.bind(port, address, ready);
}
// It ends with whoever started it.
process.stdin.on("end", () => process.exit()).resume();
