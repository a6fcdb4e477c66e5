/** Sits between an agent and the one that takes over from it, and lets messages wait or vanish. */
import { once } from "node:events";
import { renameSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Message, parseMessage, socketPath } from "../../src/control/takeover-protocol.ts";
import { native } from "../../src/io/native.ts";
import { giveToAgent } from "./unprivileged.ts";

const fdOf = (socket: Socket): number => (socket as unknown as { _handle: { fd: number } })._handle.fd;

export interface Between {
  /** Ends what the new agent is connected to. */
  cut(): void;
}

/**
 * Puts itself in the place of the socket that an agent listens at. `hold` says how long a message of a type waits, ms; null: it is
 * never passed on, and then nor is the end of the connection.
 */
export async function between(runtime: string, hold: (type: Message["type"]) => number | null): Promise<Between> {
  const path = socketPath(runtime)!;
  const real = `${path}.real`;
  renameSync(path, real);
  let count = 0;
  let withheld = false;
  const ends: Socket[] = [];

  const pass = (text: string, to: Socket): void => {
    for (const line of text.split("\n").filter((one) => one !== "")) {
      const message = parseMessage(line);
      if (message.type === "offer") count = message.descriptors;
      const wait = hold(message.type);
      if (wait === null) withheld = true;
      else if (wait === 0) to.write(`${line}\n`);
      else setTimeout(() => to.writable && to.write(`${line}\n`), wait);
    }
  };
  const serve = (socket: Socket, first: string): void => {
    if (first.includes('"descriptors"}')) {
      const fds = native().receiveDescriptors(real, first, count, 5_000);
      native().sendDescriptors(fdOf(socket), Int32Array.from(fds));
      for (const fd of fds) native().close(fd);
      socket.end();
      return;
    }
    const agent = connect(real);
    ends.push(socket);
    for (const end of [socket, agent]) end.on("error", () => {});
    pass(first, agent);
    socket.on("data", (text) => pass(text.toString(), agent)).on("close", () => agent.destroy());
    agent.on("data", (text) => pass(text.toString(), socket)).on("close", () => withheld || socket.destroySoon());
  };
  const server: Server = createServer((socket) => socket.once("data", (text) => serve(socket, text.toString())));
  server.listen(path);
  await once(server, "listening");
  giveToAgent(path);
  server.unref();
  return {
    cut: () => {
      for (const end of ends) end.destroy();
      server.close();
    },
  };
}
