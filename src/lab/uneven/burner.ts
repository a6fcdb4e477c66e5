/**
 * A service whose requests cost CPU time: whoever connects gets the host's name, after so much has been used up.
 *
 *   node burner.js HOST PORT COST_US VIP...
 *
 * What serving a connection costs by itself counts as part of its cost, so that a request costs the same on every machine.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { SERVER_READY } from "../server.ts";

const BLOCK = new Uint8Array(4096);

/** CPU time of this process, microseconds. */
function usedTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Hashes until the process has used so much CPU time in all. */
function burnUntil(used: number): void {
  while (usedTime() < used) createHash("sha256").update(BLOCK).digest();
}

/** Opens the port on all addresses; gives what closes it. Throws when it cannot be had. */
export async function serveBurning(
  host: string,
  port: number,
  costUs: number,
  addresses: readonly string[],
): Promise<() => void> {
  const open: { close(): unknown }[] = [];
  /** What all requests until now may have cost. */
  let due: number | null = null;
  for (const address of addresses) {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      due = (due ?? usedTime()) + costUs;
      burnUntil(due);
      socket.end(`${host}\n`);
    });
    server.listen({ host: address, port, backlog: 4096 });
    await once(server, "listening");
    open.push(server);
  }
  return () => {
    for (const server of open) server.close();
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [host, port, cost, ...vips] = process.argv.slice(2);
  await serveBurning(host!, Number(port), Number(cost), vips);
  process.stdout.write(`${SERVER_READY}\n`);
}
