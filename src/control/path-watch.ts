/** The path MTUs in an agent's tables, and the look at the machine's routes that keeps them true. */
import type { Logger } from "pino";
import type { Config, HostConfig } from "./config.ts";
import { askPathMtus, mtuTo, readPathMtus } from "./path-mtu.ts";

/** How often routes are looked at, ms. */
const PATHS_MS = 5_000;

export class PathWatch {
  readonly #self: HostConfig;
  readonly #log: Logger;
  #mtus: ReadonlyMap<string, number>;
  /** The hosts that they were read for, as text; null: by another process. */
  #hosts: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** Of each start() another one; a look that began before counts for nothing. */
  #watch = 0;
  #looking = false;

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
    const watch = this.#watch;
    this.#timer = setInterval(() => void this.#look(config, publish, () => watch === this.#watch), PATHS_MS);
    this.#timer.unref();
  }

  stop(): void {
    this.#watch++;
    clearInterval(this.#timer);
  }

  /** Never rejects. One look at a time: while `ip` hangs no second one is begun. */
  async #look(config: () => Config, publish: () => void, wanted: () => boolean): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const before = this.#mtus;
    try {
      const mtus = await askPathMtus(config(), this.#self);
      // Meanwhile a takeover may have begun, or a reload has read them for other hosts.
      if (!wanted() || this.#mtus !== before) return;
      const changed = [...mtus].filter(([host, mtu]) => mtuTo(before, host) !== mtu);
      if (changed.length === 0) return;
      this.#mtus = mtus;
      publish();
      this.#log.info({ event: "paths", mtus: Object.fromEntries(changed) }, `path MTU of ${changed.length} hosts changed`);
    } catch (error) {
      this.#mtus = before;
      this.#log.warn({ err: error }, `path MTUs stay what they were: ${(error as Error).message}`);
    } finally {
      this.#looking = false;
    }
  }
}

const dipsOf = ({ hosts }: Config): string => JSON.stringify(hosts.map(({ name, dips }) => [name, dips]));
