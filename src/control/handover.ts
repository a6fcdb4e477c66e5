/** The running agent's part of a takeover (takeover-protocol.ts): listens for one who wants its place, and goes on if that fails. */
import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { Logger } from "pino";
import { native } from "../io/native.ts";
import { Failure } from "./failure.ts";
import { Gone, Link, type Message, type Offer, PROTOCOL, socketPath } from "./takeover-protocol.ts";

/** What the agent does for one who takes over. */
export interface Giver {
  /** Changes nothing from now on. Gives what the other needs to know, and the descriptors it speaks of. */
  freeze(): { offer: Omit<Offer, "type">; descriptors: readonly number[] };
  /** Stops the workers when their bursts are done. */
  pause(): Promise<{ at: number; dropped: number | null }>;
  /** Nothing has come of it: lets the workers run if they were paused, and changes what it is asked to. */
  goOn(): void;
}

const HELLO_MS = 5_000;
/** The other loads its code and maps the files meanwhile, and packets are forwarded as ever: only changes have to wait. */
const READY_MS = 30_000;
/** Nobody forwards meanwhile. */
const RUNNING_MS = 3_000;

interface Conversation {
  readonly link: Link;
  readonly pid: number;
  /** What has not been asked for yet. */
  descriptors: readonly number[];
  /** Whether workers have been asked to stop for it. */
  released: boolean;
  readonly ended: Promise<void>;
}

/** The descriptor under a socket of Node's, which has no name for it in its interface. */
function descriptorOf(socket: Socket): number {
  const fd = (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd;
  if (fd === undefined || fd < 0) throw new Gone("the connection is gone");
  return fd;
}

export class HandoverServer {
  readonly #giver: Giver;
  readonly #log: Logger;
  readonly #handedOver: () => void;
  readonly #server: Server;
  #current: Conversation | null = null;
  /** Those that have not said yet what they want. */
  readonly #silent = new Set<Link>();

  private constructor(giver: Giver, log: Logger, handedOver: () => void) {
    this.#giver = giver;
    this.#log = log;
    this.#handedOver = handedOver;
    this.#server = createServer((socket) => this.#serve(socket).catch(() => socket.destroy()));
  }

  /**
   * Listens in a runtime directory whose claim is ours; only our own user and root may connect. Where that is not possible the log
   * says so. `handedOver` is called once, when another process has our place.
   */
  static listen(dir: string, giver: Giver, log: Logger, handedOver: () => void): HandoverServer {
    const server = new HandoverServer(giver, log, handedOver);
    const failed = (why: string): void => log.warn(`this agent cannot be taken over from: ${why}`);
    const path = socketPath(dir);
    if (path === null) {
      failed(`${dir}: the path is too long for a socket in it`);
      return server;
    }
    server.#server.on("error", (error) => failed(error.message));
    server.#server.unref();
    const mask = process.umask(0o177);
    try {
      rmSync(path, { force: true });
      server.#server.listen(path);
    } catch (error) {
      failed((error as Error).message);
    } finally {
      process.umask(mask);
    }
    return server;
  }

  /** Listens no longer, and ends what is under way for this reason. Resolves when it has ended, one way or the other. */
  async close(why: string): Promise<void> {
    this.#server.close();
    for (const link of this.#silent) link.fail(new Failure(why));
    // Once workers have been asked to stop it is open whose will run: to be waited for, which does not take long.
    if (this.#current?.released === false) this.#current.link.fail(new Failure(why));
    await this.#current?.ended;
  }

  async #serve(socket: Socket): Promise<void> {
    const link = new Link(socket);
    const refuse = (why: string): void => link.end({ type: "refused", why });
    let first: Message;
    this.#silent.add(link);
    try {
      first = await link.next(HELLO_MS);
    } catch (error) {
      return refuse((error as Error).message);
    } finally {
      this.#silent.delete(link);
    }
    // Not before it has been heard: one whose word is not read may not read the answer either.
    const [, uid] = native().peerCredentials(descriptorOf(socket));
    if (uid !== 0 && uid !== process.geteuid?.()) return refuse("only root and the user that the agent runs as may take over");
    if (first.type === "descriptors") this.#give(socket);
    else if (first.type !== "hello") refuse(`"${first.type}" came where "hello" was to come`);
    else if (first.protocol !== PROTOCOL) refuse(`it speaks version ${PROTOCOL} of takeovers, not ${first.protocol}`);
    else if (this.#current !== null) refuse(`pid ${this.#current.pid} is taking over from it already`);
    else this.#begin(link, first.pid);
  }

  #give(socket: Socket): void {
    const { descriptors = [], pid } = this.#current ?? {};
    if (descriptors.length > 0) {
      this.#current!.descriptors = [];
      native().sendDescriptors(descriptorOf(socket), Int32Array.from(descriptors));
      this.#log.info({ pid, descriptors: descriptors.length }, `handing over to pid ${pid}`);
    }
    socket.end(() => socket.destroy());
  }

  #begin(link: Link, pid: number): void {
    let end: () => void = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const current: Conversation = { link, pid, descriptors: [], released: false, ended };
    this.#current = current;
    this.#handOver(current).then(
      () => {
        this.#log.info({ event: "takeover", pid }, `handed over to pid ${pid}`);
        this.#handedOver();
        end();
      },
      (error: Error) => {
        // First of all: until then nobody may be forwarding.
        this.#giver.goOn();
        this.#current = null;
        link.end({ type: "refused", why: error instanceof Gone ? "it was thought to be gone" : error.message });
        this.#log.warn({ pid }, `pid ${pid} has not taken over: ${error.message}`);
        end();
      },
    );
  }

  async #handOver(current: Conversation): Promise<void> {
    const { link } = current;
    const { offer, descriptors } = this.#giver.freeze();
    current.descriptors = descriptors;
    link.send({ type: "offer", ...offer });
    await link.expect("ready", READY_MS);
    current.released = true;
    link.send({ type: "released", ...(await this.#giver.pause()) });
    await link.expect("running", RUNNING_MS);
    // Takes the socket out of the directory: the other is going to make its own.
    this.#server.close();
    link.end({ type: "done" });
  }
}
