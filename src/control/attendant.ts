/** What lives beside the data plane of an agent: health checks, routes, reports, metrics. The agent knows no more of them than this. */
import type { Logger } from "pino";
import type { Place } from "./agent-place.ts";
import type { Config } from "./config.ts";
import type { FitnessBoard } from "./fitness.ts";
import type { Desired } from "./plan.ts";

/** What an attendant is given of the agent it serves. */
export interface AgentView {
  readonly log: Logger;
  readonly place: Place;
  /** Directory of the agent's files. */
  readonly runtimeDir: string;
  readonly board: FitnessBoard;
  /** The config that is current. */
  config(): Config;
  /** What the agent wants of the host's network; another object after each change. */
  network(): Desired;
  /** Generation of the forwarding tables. */
  generation(): number;
}

/** Each of its calls may fail: that is logged, and the data plane goes on. */
export interface Attendant {
  /** For the log. */
  readonly name: string;
  /** The agent is about to start, and this is not in the place of one that runs: nothing is taken over yet. The agent waits for it. */
  prepare?(): Promise<void> | void;
  /** The agent is ready: VIPs are taken over, workers run. */
  start(): Promise<void> | void;
  /** Another config has become current. */
  changed?(config: Config): Promise<void> | void;
  /** The agent is about to end; what is to happen while it still takes packets. The agent waits for it. */
  leaving?(): Promise<void> | void;
  /** The agent has ended, or another process has taken over from it (`handedOver`): what belongs to the host then is that one's. */
  stop(handedOver: boolean): Promise<void> | void;
}

export type AttendantFactory = (view: AgentView) => Attendant;

/** All attendants of an agent, as one. None of its calls rejects. */
export class Attendants {
  readonly #list: readonly Attendant[];
  readonly #log: Logger;
  /** Calls are made one after the other. */
  #last: Promise<void> = Promise.resolve();

  constructor(list: readonly Attendant[], log: Logger) {
    this.#list = list;
    this.#log = log;
  }

  prepare(): Promise<void> {
    return this.#each("prepare", (one) => one.prepare?.());
  }

  start(): Promise<void> {
    return this.#each("start", (one) => one.start());
  }

  changed(config: Config): Promise<void> {
    return this.#each("take up a config", (one) => one.changed?.(config));
  }

  leaving(): Promise<void> {
    return this.#each("leave", (one) => one.leaving?.());
  }

  stop(handedOver: boolean): Promise<void> {
    return this.#each("stop", (one) => one.stop(handedOver));
  }

  #each(what: string, call: (one: Attendant) => Promise<void> | void): Promise<void> {
    this.#last = this.#last.then(async () => {
      const failed = (one: Attendant, err: unknown): void =>
        this.#log.error({ err, attendant: one.name }, `${one.name} could not ${what}: ${(err as Error).message}`);
      await Promise.all(
        this.#list.map(async (one) => {
          try {
            await call(one);
          } catch (error) {
            failed(one, error);
          }
        }),
      );
    });
    return this.#last;
  }
}
