/** A client of BIRD 2 by its control socket, as birdc is one. */
import { connect, type Socket } from "node:net";
import { type Reply, ReplyReader } from "./bird-reply.ts";

/** BIRD's greeting. */
const READY = 1;

interface Question {
  readonly command: string;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
  readonly timeoutMs: number;
}

/** One connection. Commands are answered in the order in which they were given; once one was not, the connection is of no more use. */
export class BirdClient {
  readonly #socket: Socket;
  readonly #reader = new ReplyReader();
  readonly #questions: Question[] = [];
  /** Resolves when the connection has ended, with the reason; null: by close(). */
  readonly ended: Promise<Error | null>;
  #end: (error: Error | null) => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #over: Error | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
    socket.on("error", (error) => this.#finish(error));
    socket.on("close", () => this.#finish(new Error("BIRD has closed the connection")));
  }

  /** Connects to a control socket and waits for BIRD's greeting. Rejects when there is none within `timeoutMs`. */
  static async connect(path: string, timeoutMs: number): Promise<BirdClient> {
    const client = new BirdClient(connect(path));
    const greeting = await client.#expect("the greeting", timeoutMs);
    if (greeting.code === READY) return client;
    client.close();
    throw new Error(`${path}: ${greeting.text || "not BIRD"}`);
  }

  /** Gives a command (one line) and waits for the whole reply, also for one that refuses. Rejects when the connection ends before, or time does. */
  ask(command: string, timeoutMs: number): Promise<Reply> {
    const reply = this.#expect(command, timeoutMs);
    if (this.#over === null) this.#socket.write(`${command}\n`);
    return reply;
  }

  close(): void {
    this.#finish(null);
  }

  #expect(command: string, timeoutMs: number): Promise<Reply> {
    if (this.#over !== null) return Promise.reject(this.#over);
    return new Promise((resolve, reject) => {
      this.#questions.push({ command, resolve, reject, timeoutMs });
      if (this.#questions.length === 1) this.#watch();
    });
  }

  /** The time of a question runs from when those before it have been answered. */
  #watch(): void {
    clearTimeout(this.#timer);
    const next = this.#questions[0];
    if (next === undefined) return;
    const { command, timeoutMs } = next;
    const late = (): void => this.#finish(new Error(`BIRD has not replied to \`${command}\` within ${timeoutMs} ms`));
    this.#timer = setTimeout(late, timeoutMs);
  }

  #take(bytes: Uint8Array): void {
    try {
      for (const reply of this.#reader.take(bytes)) {
        const question = this.#questions.shift();
        if (question === undefined) throw new Error(`BIRD replies unasked: ${reply.text}`);
        question.resolve(reply);
        this.#watch();
      }
    } catch (error) {
      this.#finish(error as Error);
    }
  }

  #finish(error: Error | null): void {
    if (this.#over !== null) return;
    this.#over = error ?? new Error("the connection to BIRD was closed");
    clearTimeout(this.#timer);
    this.#socket.destroy();
    for (const { reject } of this.#questions.splice(0)) reject(this.#over);
    this.#end(error);
  }
}
