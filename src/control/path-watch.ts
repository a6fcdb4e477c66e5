/** The path MTUs in an agent's tables, and the look at the machine's routes that keeps them true. */
import type { Logger } from "pino";
import type { Config, HostConfig } from "./config.ts";
import { mtuTo, readPathMtus } from "./path-mtu.ts";

/** How often routes are looked at, ms. */
const PATHS_MS = 5_000;

export class PathWatch {
  readonly #self: HostConfig;
  readonly #log: Logger;
  #mtus: ReadonlyMap<string, number>;
  /** The hosts that they were read for, as text; null: by another process. */
  #hosts: string | null = null;
  #timer: NodeJS.Timeout | undefined;

  /** `mtus`: those that are in the tables. */
  constructor(self: HostConfig, log: Logger, mtus: ReadonlyMap<string, number>) {
    this.#self = self;
    this.#log = log;
    this.#mtus = mtus;
  }

  /** By host name, as they were found last. */
  get mtus(): ReadonlyMap<string, number> {
    return this.#mtus;
  }

  /** Has them for the hosts of a config: reads them now, unless it was for the same hosts before. Throws when they cannot be read. */
  read(config: Config): void {
    const hosts = dipsOf(config);
    if (hosts === this.#hosts) return;
    this.#mtus = readPathMtus(config, this.#self);
    this.#hosts = hosts;
  }

  /** Has `publish` called, from now on, whenever some have changed. */
  start(config: () => Config, publish: () => void): void {
    this.stop();
    this.#timer = setInterval(() => this.#look(config(), publish), PATHS_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(config: Config, publish: () => void): void {
    const before = this.#mtus;
    try {
      const mtus = readPathMtus(config, this.#self);
      const changed = [...mtus].filter(([host, mtu]) => mtuTo(this.#mtus, host) !== mtu);
      if (changed.length === 0) return;
      this.#mtus = mtus;
      publish();
      this.#log.info({ event: "paths", mtus: Object.fromEntries(changed) }, `path MTU of ${changed.length} hosts changed`);
    } catch (error) {
      this.#mtus = before;
      this.#log.warn({ err: error }, `path MTUs stay what they were: ${(error as Error).message}`);
    }
  }
}

const dipsOf = ({ hosts }: Config): string => JSON.stringify(hosts.map(({ name, dips }) => [name, dips]));
