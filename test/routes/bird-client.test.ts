/** The client against a socket that misbehaves as BIRD hardly ever does. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { BirdClient } from "../../src/routes/bird-client.ts";

const dir = mkdtempSync(join(tmpdir(), "hafl-bird-"));
after(() => rmSync(dir, { recursive: true }));
const GREETING = "0001 BIRD 2.0.12 ready.\n";
/** So long that nothing is late which is not meant to be, and so short that one can wait for it. */
const [PATIENCE_MS, SHORT_MS] = [10_000, 100];

/** A socket on which `talk` answers. */
async function listening(name: string, talk: (socket: Socket) => void): Promise<{ path: string; server: Server }> {
  const path = join(dir, name);
  const server = createServer((socket) => {
    socket.on("error", () => {});
    talk(socket);
  }).listen(path);
  await once(server, "listening");
  return { path, server };
}

test("commands given at once are answered in their order, also with refusals", async () => {
  const { path, server } = await listening("order", (socket) => {
    socket.write(GREETING);
    socket.on("data", (bytes) => {
      for (const line of bytes.toString().trim().split("\n"))
        socket.write(line === "bad" ? "9001 syntax error\n" : `1000-${line}\n 2nd\n0000 \n`);
    });
  });
  const client = await BirdClient.connect(path, PATIENCE_MS);
  const replies = await Promise.all(["one", "bad", "two"].map((command) => client.ask(command, PATIENCE_MS)));
  assert.deepEqual(
    replies.map(({ code, lines }) => [code, lines[0]!.text]),
    [
      [0, "one"],
      [9001, "syntax error"],
      [0, "two"],
    ],
  );
  client.close();
  assert.equal(await client.ended, null);
  await assert.rejects(client.ask("three", PATIENCE_MS), /was closed/);
  server.close();
});

test("one who does not answer in time is given up, with all that was asked", async () => {
  const { path, server } = await listening("silent", (socket) => socket.write(GREETING));
  const client = await BirdClient.connect(path, PATIENCE_MS);
  const asked = [client.ask("one", SHORT_MS), client.ask("two", PATIENCE_MS)];
  for (const one of asked) await assert.rejects(one, /BIRD has not replied to `one` within 100 ms/);
  assert.match((await client.ended)!.message, /not replied/);
  server.close();
});

test("no greeting, a wrong one, an end in the middle, an answer to nothing, nobody there", async () => {
  const none = await listening("none", () => {});
  await assert.rejects(BirdClient.connect(none.path, SHORT_MS), /the greeting/);
  const other = await listening("other", (socket) => socket.write("HTTP/1.1 400 Bad Request\r\n"));
  await assert.rejects(BirdClient.connect(other.path, PATIENCE_MS), /not what BIRD replies/);
  const middle = await listening("middle", (socket) => {
    socket.write(GREETING);
    socket.on("data", () => socket.end("1002-hafl_192"));
  });
  const client = await BirdClient.connect(middle.path, PATIENCE_MS);
  await assert.rejects(client.ask("show protocols", PATIENCE_MS), /has closed the connection/);
  const chatty = await listening("chatty", (socket) => socket.write(`${GREETING}0000 hello\n`));
  const heard = await BirdClient.connect(chatty.path, PATIENCE_MS);
  assert.match((await heard.ended)!.message, /unasked/);
  await assert.rejects(BirdClient.connect(join(dir, "nobody"), PATIENCE_MS), { code: "ENOENT" });
  for (const { server } of [none, other, middle, chatty]) server.close();
});
