/**
 * A service that does as it is told: takes connections on port 8080, and speaks HTTP on port 8081. Lines on stdin: `stop`, `start` (8080),
 * `ok`, `bad`, `503`, `silence` (8081).
 */
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";

let mode = "ok";
let plain: Server | null = null;
const sockets = new Set<Socket>();

async function start(): Promise<void> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(8080, "::", resolve));
  plain = server;
}

const http = createHttpServer((request, response) => {
  if (request.url !== "/up") response.writeHead(404).end();
  else if (mode === "503") response.writeHead(503).end("ok");
  // Longer than one segment, and what is wanted stands at the end of it.
  else if (mode !== "silence") response.end(`${"x".repeat(20_000)} all is ${mode}`);
});

async function obey(line: string): Promise<void> {
  if (line === "start") await start();
  else if (line === "stop") {
    plain?.close();
    for (const socket of sockets) socket.destroy();
  } else mode = line;
  process.stdout.write(`${line}\n`);
}

await start();
await new Promise<void>((resolve) => http.listen(8081, "::", resolve));
createInterface({ input: process.stdin }).on("line", (line) => void obey(line));
process.stdout.write("ready\n");
