/** The part of the process that takes over from a running agent (takeover-protocol.ts). */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Logger } from "pino";
import { native } from "../io/native.ts";
import { Agent } from "./agent.ts";
import { type AgentOptions, desiredOf, directoryOf, findPlace, type Place, requireMeans } from "./agent-place.ts";
import { type Config, parseConfig } from "./config.ts";
import { Failure } from "./failure.ts";
import { adoptHoldings } from "./holdings.ts";
import { type HostState, readHostState } from "./host-state.ts";
import { isClaimed, whoIsIn } from "./instance.ts";
import { endInOrder } from "./orderly-end.ts";
import { refusedChanges } from "./running-config.ts";
import { formatMessage, Gone, Link, type Offer, PROTOCOL, socketPath } from "./takeover-protocol.ts";

const OFFER_MS = 5_000;
const DESCRIPTORS_MS = 5_000;
/** The other's workers finish their bursts. */
const RELEASED_MS = 5_000;
/** The other one ends or takes its place back, for which it has its own patience; until then packets are forwarded. */
const DONE_MS = 0x7fffffff;

/** How it went, for the log. */
export interface Takeover {
  readonly agent: Agent;
  /** The agent before. */
  readonly from: number;
  /** From when its first worker stopped to when our last one ran, ms; null: it was killed, and could not say. */
  readonly gapMs: number | null;
  /** Packets that the kernel had no room for in that time; null when it does not say. */
  readonly dropped: number | null;
}

/** Connects to the agent that runs in a directory. Throws a Failure that says how to start instead when there is none. */
async function reach(dir: string): Promise<Socket> {
  const path = socketPath(dir);
  if (path === null)
    throw new Failure(`${dir}: the path is too long for a takeover (stop the agent and start without --takeover)`);
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return socket;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EACCES") throw new Failure(`${path}: no permission (run as root, or as the user that the agent runs as)`);
    if (!isClaimed(dir))
      throw new Failure(`${dir}: no agent is running here that could be taken over (start without --takeover)`);
    const absent = "is just starting, or is being taken over already, or its version cannot do it";
    const why = code === "ENOENT" || code === "ECONNREFUSED" ? `it ${absent}` : message;
    throw new Failure(
      `${dir}: ${whoIsIn(dir)} cannot be taken over: ${why} (try again, or stop it and start without --takeover)`,
    );
  }
}

/** Throws a Failure, of exit code 2, for what is asked for and cannot change in a running agent. */
function checkSame(options: AgentOptions, { config, host, instance, uplink }: Place, offer: Offer, running: Config): void {
  const lines = [
    ["--instance", offer.instance, instance],
    ["--host", offer.host, host.name],
    [options.uplink === undefined ? "io.uplink" : "--uplink", offer.uplink, uplink.device],
  ]
    .filter(([, was, is]) => was !== is)
    .map(
      ([name, was, is]) =>
        `${name}: the running agent has ${was}, not ${is} (say the same, or stop it and start without --takeover)`,
    );
  const refused = lines.length > 0 ? lines : refusedChanges(running, config, host.name, options.config);
  if (refused.length > 0) throw new Failure(refused, 2);
}

const configOf = (offer: Offer): Config => {
  const result = parseConfig(offer.config, "its config");
  if ("errors" in result) throw new Failure(`${result.errors[0]} (of another version: stop it and start without --takeover)`);
  return result.config;
};

class Taker {
  readonly #options: AgentOptions;
  readonly #log: Logger;
  readonly #state: HostState = readHostState();
  readonly #place: Place;
  readonly #dir: string;
  #agent: Agent | null = null;

  constructor(options: AgentOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
    this.#place = findPlace(options, this.#state);
    requireMeans(this.#place);
    this.#dir = directoryOf(options, this.#place);
  }

  async run(signal: AbortSignal): Promise<Takeover> {
    const link = new Link(await reach(this.#dir));
    const stop = (): void => link.fail(signal.reason as Error);
    signal.addEventListener("abort", stop);
    let pid: number | null = null;
    try {
      signal.throwIfAborted();
      link.send({ type: "hello", protocol: PROTOCOL, pid: process.pid });
      const offer = await link.expect("offer", OFFER_MS);
      pid = offer.pid;
      const agent = this.#adopt(offer);
      await agent.standBy();
      signal.throwIfAborted();
      const released = await this.#release(link, pid);
      // From here on the other one has to be heard out.
      signal.removeEventListener("abort", stop);
      const at = await agent.takePlace(released !== null);
      link.send({ type: "running" });
      const { dropped } = agent;
      await this.#farewell(link, agent);
      link.end();
      return {
        agent,
        from: pid,
        gapMs: released === null ? null : Math.round((at - released.at) * 10) / 10,
        dropped: dropped === null || released?.dropped == null ? null : dropped - released.dropped,
      };
    } catch (error) {
      const why = (error as Error).message;
      link.end({ type: "abandoned", why });
      await endInOrder(this.#agent?.endSteps(why) ?? [], this.#log);
      if (error instanceof Failure && error.exitCode === 2) throw error;
      if (error === signal.reason) throw error;
      const who = pid === null ? whoIsIn(this.#dir) : `instance "${this.#place.instance}" with pid ${pid}`;
      throw new Failure(`${this.#dir}: ${who} was not taken over, nothing has changed: ${why}`);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** Takes all that is offered, without touching it. */
  #adopt(offer: Offer): Agent {
    const running = configOf(offer);
    checkSame(this.#options, this.#place, offer, running);
    const path = socketPath(this.#dir)!;
    const fds = native().receiveDescriptors(path, formatMessage({ type: "descriptors" }), offer.descriptors, DESCRIPTORS_MS);
    try {
      const holdings = adoptHoldings(this.#options, this.#place, offer, fds, running);
      const desired = { ...desiredOf({ ...this.#place, config: running }, this.#state), table: offer.table };
      const before = { config: running, desired, drainAt: offer.drainAt, mtus: new Map(Object.entries(offer.mtus)) };
      this.#agent = Agent.adopt(this.#options, this.#log, this.#place, holdings, before);
      return this.#agent;
    } catch (error) {
      throw new Failure(`${(error as Error).message} (of another version: stop it and start without --takeover)`);
    }
  }

  /** Has the other's workers stopped; null when it is gone, and its workers with it. */
  async #release(link: Link, pid: number): Promise<{ at: number; dropped: number | null } | null> {
    try {
      link.send({ type: "ready" });
      return await link.expect("released", RELEASED_MS);
    } catch (error) {
      if (!(error instanceof Gone)) throw error;
      this.#log.warn({ pid }, `pid ${pid} ended while it was taken over: going on without it`);
      return null;
    }
  }

  /** Waits until the other is gone for good. Throws when it has taken its place back. */
  async #farewell(link: Link, agent: Agent): Promise<void> {
    try {
      await link.expect("done", DONE_MS);
    } catch (error) {
      if (!(error instanceof Gone) || !agent.runs) throw error;
    }
  }
}

/**
 * Takes the place of the agent that runs in the runtime directory. Throws a Failure when that cannot be, with the other going on as
 * before, and the reason of `signal` when that is raised in time. The agent is to be settled then.
 */
export async function takeOver(options: AgentOptions, log: Logger, signal: AbortSignal): Promise<Takeover> {
  return await new Taker(options, log).run(signal);
}
