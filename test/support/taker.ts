/**
 * A new agent that takes over by hand and goes no further than a step: node taker.js DIR STEP.
 *
 * Steps: connected, hello (has the offer), descriptors (has them), ready (the other's workers have stopped), claimed (its own would run),
 * running (has said so). Prints each step it reaches, each message it hears as JSON, and "closed"; then it stays until it is killed.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { formatMessage, type Message, socketPath } from "../../src/control/takeover-protocol.ts";
import { native } from "../../src/io/native.ts";
import { mapControl } from "../../src/io/runtime-files.ts";
import { controlWords, letRun, newToken } from "../../src/shm/control-block.ts";

const [dir, last] = process.argv.slice(2);
const path = socketPath(dir!)!;
const heard: Message[] = [];
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const socket = connect(path);
await once(socket, "connect");
let look: () => void = () => {};
let rest = "";
socket.setEncoding("utf8");
socket.on("data", (text: string) => {
  const lines = (rest + text).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    heard.push(JSON.parse(line) as Message);
    say(line);
  }
  look();
});
socket.on("close", () => say("closed"));

const next = (): Promise<Message> =>
  new Promise((resolve) => {
    look = () => heard.length > 0 && resolve(heard.shift()!);
    look();
  });

/** Says that a step is reached; the last one is for ever. */
async function reached(step: string): Promise<void> {
  say(step);
  if (step === last) await new Promise(() => setInterval(() => {}, 1000));
}

await reached("connected");
socket.write(formatMessage({ type: "hello", protocol: 1, pid: process.pid }));
const offer = await next();
if (offer.type !== "offer") await reached(last!);
else {
  await reached("hello");
  native().receiveDescriptors(path, formatMessage({ type: "descriptors" }), offer.descriptors, 5_000);
  await reached("descriptors");
  socket.write(formatMessage({ type: "ready" }));
  await next();
  await reached("ready");
  letRun(controlWords(mapControl(dir!, false)), newToken());
  await reached("claimed");
  socket.write(formatMessage({ type: "running" }));
  await reached("running");
}
