/**
 * An ordinary program that connects from an address, many times at once, knowing nothing of slices.
 *
 *   node egress-client.js FROM TO PORT COUNT [tcp|udp [LOCAL_PORT]]
 *
 * When all have connected or failed, and all that connected have had an echo of 2,000 bytes, it prints {"ports", "errors"}:
 * source ports as the server sees them. It holds the connections until its standard input ends, and sends on each again when
 * there is anything on it.
 */
import { createSocket } from "node:dgram";
import { connect, isIPv6, type Socket } from "node:net";

const [from, to, port, count, protocol = "tcp", localPort = "0"] = process.argv.slice(2);
const TIMEOUT_MS = 15_000;
const PAYLOAD = Buffer.alloc(2_000, "haflinger ");
const open: Socket[] = [];

/** Resolves with the source port that the server names. */
function tcp(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: to!, port: Number(port), localAddress: from!, localPort: Number(localPort) });
    const timer = setTimeout(() => socket.destroy(new Error("timeout")), TIMEOUT_MS);
    let said = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      said = Buffer.concat([said, chunk]);
      const line = said.indexOf("\n");
      if (line < 0 || said.length < line + 1 + PAYLOAD.length) return;
      clearTimeout(timer);
      open.push(socket);
      resolve(Number(said.subarray(0, line).toString().split(" ")[1]));
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(new Error(error.code ?? error.message));
    });
    socket.write(PAYLOAD);
  });
}

function udp(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(to!) ? "udp6" : "udp4");
    const timer = setTimeout(() => reject(new Error("timeout")), TIMEOUT_MS);
    socket.on("message", (said) => {
      clearTimeout(timer);
      resolve(Number(said.toString().split(" ")[1]));
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(new Error(error.code ?? error.message));
    });
    socket.bind(Number(localPort), from, () => socket.connect(Number(port), to!, () => socket.send("hello")));
  });
}

const results = await Promise.allSettled(Array.from({ length: Number(count) }, protocol === "udp" ? udp : tcp));
const ports = results.flatMap((r) => (r.status === "fulfilled" ? [r.value] : []));
const errors = results.flatMap((r) => (r.status === "rejected" ? [(r.reason as Error).message] : []));
process.stdout.write(`${JSON.stringify({ ports, errors })}\n`);
process.stdin.on("data", () => {
  for (const socket of open) socket.write(PAYLOAD);
});
process.stdin.on("end", () => process.exit());
