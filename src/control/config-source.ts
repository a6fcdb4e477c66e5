/** Where an agent has its config from: the file on its host, or a store that it follows. */
import type { Config } from "./config.ts";
import { ConfigWatch } from "./config-watch.ts";
import type { GivenPools } from "./generation-history.ts";
import { loadUsable } from "./running-config.ts";

export interface Wanted {
  readonly config: Config;
  /** By name of the pool (site.ts). null: each host makes the generations itself from the changes of its config. */
  readonly pools: GivenPools | null;
}
export type WantedResult = Wanted | { readonly errors: string[] };

export interface ConfigSource {
  /** What errors and the log call it. */
  readonly name: string;
  /** What is wanted now, or lines that say why nothing of it can be used. */
  load(): WantedResult;
  /** The agent's word on what it was given last: it has become current, or cannot be taken, and why. */
  taken(errors: readonly string[]): void;
  /** Has `changed` called when there is something else to load, `failed` when that will not be noticed any more. */
  follow(changed: () => void, failed: (error: Error) => void): void;
  close(): void;
}

/** One file that has all of it. */
export class FileSource implements ConfigSource {
  readonly name: string;
  #watch: ConfigWatch;
  #changed: () => void = () => {};

  /** Watches from before the file is read: no change is missed. */
  constructor(file: string) {
    this.name = file;
    this.#watch = new ConfigWatch(file, () => this.#changed());
  }

  load(): WantedResult {
    const result = loadUsable(this.name);
    return "errors" in result ? result : { config: result.config, pools: null };
  }

  taken(): void {}

  follow(changed: () => void, failed: (error: Error) => void): void {
    this.#changed = changed;
    this.#watch.onFailure(failed);
  }

  close(): void {
    this.#watch.close();
  }
}
