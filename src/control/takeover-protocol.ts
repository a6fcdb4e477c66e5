/**
 * What a running agent and one that takes over from it say to each other, over the UNIX socket `takeover` in the runtime directory.
 * A message is a line of JSON. Descriptors come over a second connection to the same socket, as SCM_RIGHTS, so that nothing but the
 * addon ever reads where they are.
 *
 *     new                                      running
 *     hello: protocol, pid            ->       from here on no reload, no drained generation, no new path MTU
 *                                     <-       offer: config in force, and which descriptor is which
 *     descriptors (2nd connection)    ->
 *                                     <-       (2nd connection) the descriptors, and the end
 *     maps the files, starts threads that stand by
 *     ready                           ->       workers finish their bursts and pause
 *                                     <-       released: when, and what the kernel had dropped by then
 *     its workers run
 *     running                         ->       closes the socket in the runtime directory
 *                                     <-       done, and ends with code 0; nothing is undone
 *
 * Either may end it before `done` by `refused` or `abandoned` with a reason; then, or when it hears nothing for too long, or the
 * other end is gone, the running agent lets its workers run again and goes on. If it is the running agent that is gone without a
 * word, the new one goes on with the descriptors it has. Whose workers run is one word of the control block (shm/control-block.ts),
 * so that never both do, whoever is late.
 */
import type { Socket } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { Failure } from "./failure.ts";

/** Raised whenever a message changes in a way that the other end would misunderstand. */
export const PROTOCOL = 1;

/** The kernel takes paths of sockets up to so many bytes (sun_path, unix(7)). */
const PATH_MOST = 107;
/** Characters of the longest message: an offer, with the config of thousands of hosts in it. */
const MESSAGE_MOST = 1 << 24;

/** Where a running agent listens; null when the path of its directory is too long for a socket. */
export function socketPath(dir: string): string | null {
  const path = join(dir, "takeover");
  return Buffer.byteLength(path) > PATH_MOST ? null : path;
}

const place = z.int().min(0);
const pid = z.int().min(1);
const descriptorSet = z.object({
  workers: z.array(z.object({ uplinkFd: place, deliveryFd: place, gueFds: z.array(place), socketsFd: place })).min(1),
  senders4: z.array(place),
  senders6: z.array(place),
  rawFd4: z.int().min(-1),
  rawFd6: z.int().min(-1),
});

const offer = z.object({
  type: z.literal("offer"),
  pid,
  instance: z.string(),
  host: z.string(),
  uplink: z.string(),
  /** Number of the routing table. */
  table: place,
  /** The config in force, with all defaults, as YAML. */
  config: z.string(),
  /** When the generations before leave the chains, ms since 1970; null: they have. */
  drainAt: z.number().nullable(),
  /** Path MTUs in the tables, by host. */
  mtus: z.record(z.string(), z.int()),
  /** How many descriptors there are to be had. What follows are places among them. */
  descriptors: z.int().min(1),
  lock: place,
  set: descriptorSet,
  counting: z.object({
    inKernel: place,
    /** Base64. */
    choice: z.string().nullable(),
    counting: z.array(place),
    slots: z.array(place),
  }),
});

const message = z.discriminatedUnion("type", [
  z.object({ type: z.literal("hello"), protocol: z.int(), pid }),
  z.object({ type: z.literal("descriptors") }),
  offer,
  z.object({ type: z.literal("ready") }),
  /** `at`: ms of the monotonic clock when the first worker stopped. `dropped`: packets that found no room before. */
  z.object({ type: z.literal("released"), at: z.number(), dropped: z.number().nullable() }),
  z.object({ type: z.literal("running") }),
  z.object({ type: z.literal("done") }),
  z.object({ type: z.literal("refused"), why: z.string() }),
  z.object({ type: z.literal("abandoned"), why: z.string() }),
]);

export type Message = z.output<typeof message>;
export type Offer = z.output<typeof offer>;
type Of<T extends Message["type"]> = Extract<Message, { type: T }>;

/** Reads a line. Throws a Failure that says what is wrong with it. */
export function parseMessage(line: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Failure(`not a message: ${JSON.stringify(line.slice(0, 40))}`);
  }
  const result = message.safeParse(value);
  if (result.success) return result.data;
  const { path, message: what } = result.error.issues[0]!;
  throw new Failure(`not a message: ${path.join(".") || "it"}: ${what}`);
}

export const formatMessage = (said: Message): string => `${JSON.stringify(said)}\n`;

/** The other end has closed the connection without a word. */
export class Gone extends Error {}

/** One end of a conversation. */
export class Link {
  readonly #socket: Socket;
  readonly #heard: Message[] = [];
  #rest = "";
  #error: Error | null = null;
  #look: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#take(text));
    socket.on("error", () => this.fail(new Gone("the connection broke")));
    socket.on("close", () => this.fail(new Gone("it is gone")));
    socket.on("end", () => this.fail(new Gone("it is gone")));
  }

  send(said: Message): void {
    if (this.#socket.writable) this.#socket.write(formatMessage(said));
  }

  /** Says a last thing and closes. */
  end(said?: Message): void {
    this.fail(new Gone("the conversation is over"));
    const close = (): void => void this.#socket.destroy();
    if (said === undefined || !this.#socket.writable) close();
    else this.#socket.end(formatMessage(said), close);
  }

  /** Makes what is waited for, now and later, end with this error. The first counts; what has been heard still is. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#look();
  }

  /** The next message. Rejects with Gone, or with a Failure when it is malformed or does not come in time. */
  next(patienceMs: number): Promise<Message> {
    return new Promise((resolve, reject) => {
      const settle = (then: () => void): void => {
        clearTimeout(timer);
        this.#look = () => {};
        then();
      };
      const late = new Failure(`nothing heard for ${patienceMs / 1000} s`);
      const timer = setTimeout(() => settle(() => reject(late)), patienceMs);
      this.#look = () => {
        const said = this.#heard.shift();
        if (said !== undefined) settle(() => resolve(said));
        else if (this.#error !== null) settle(() => reject(this.#error));
      };
      this.#look();
    });
  }

  /** The next message, which has to be of this type. Rejects with a Failure of its reason when it is a refusal. */
  async expect<T extends Message["type"]>(type: T, patienceMs: number): Promise<Of<T>> {
    const said = await this.next(patienceMs);
    if (said.type === type) return said as Of<T>;
    if (said.type === "refused" || said.type === "abandoned") throw new Failure(said.why);
    throw new Failure(`"${said.type}" came where "${type}" was to come`);
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    try {
      if (this.#rest.length > MESSAGE_MOST) throw new Failure("not a message: it does not end");
      for (const line of lines) this.#heard.push(parseMessage(line));
    } catch (error) {
      this.fail(error as Error);
    }
    this.#look();
  }
}
