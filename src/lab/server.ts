/**
 * The services of a lab's host: HTTP and UDP echo on the VIPs, each naming the host in every reply.
 *
 *   node server.js HOST HTTP_PORT ECHO_PORT VIP...
 *
 * GET / gives the host's name; GET /bytes/N gives N bytes, the same from every host; PUT or POST anywhere gives the
 * SHA-256 of the body in hex; the header X-Host names the host in each. UDP: "HOST PAYLOAD".
 */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { isIPv6 } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { deterministicBytes } from "./payload.ts";

/** Written when all ports are open. */
export const SERVER_READY = "ready";

async function answer(host: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.setHeader("X-Host", host);
  if (request.method === "PUT" || request.method === "POST") {
    const hash = createHash("sha256");
    await pipeline(request, hash);
    response.end(`${hash.digest("hex")}\n`);
    return;
  }
  const bytes = /^\/bytes\/(\d{1,12})$/.exec(request.url ?? "");
  if (bytes !== null) {
    response.setHeader("Content-Length", bytes[1]!);
    await pipeline(Readable.from(deterministicBytes(Number(bytes[1]))), response);
  } else if (request.url === "/") {
    response.end(`${host}\n`);
  } else {
    response.writeHead(404).end("try /, /bytes/N, or PUT something\n");
  }
}

/**
 * Opens all ports; gives what closes them. A VIP need not be on a device yet when `ip_nonlocal_bind` is set. Throws when
 * a port cannot be had.
 */
export async function serve(host: string, httpPort: number, echoPort: number, vips: readonly string[]): Promise<() => void> {
  const open: { close(): unknown }[] = [];
  for (const vip of vips) {
    const http = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      // A client that goes away in the middle is its own affair.
      answer(host, request, response).catch(() => response.destroy());
    });
    http.listen({ host: vip, port: httpPort, backlog: 4096 });
    await once(http, "listening");

    const udp = createSocket(isIPv6(vip) ? "udp6" : "udp4");
    udp.on("message", (payload, peer) => udp.send([`${host} `, payload], peer.port, peer.address));
    udp.bind(echoPort, vip);
    await once(udp, "listening");
    open.push(http, udp);
  }
  return () => {
    for (const one of open) one.close();
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [host, httpPort, echoPort, ...vips] = process.argv.slice(2);
  await serve(host!, Number(httpPort), Number(echoPort), vips);
  process.stdout.write(`${SERVER_READY}\n`);
}
