/** Bears a store that is away for a while, where it is looked at again and again. */
import { StoreAway } from "../store/store.ts";
import type { CliEnv } from "./env.ts";

/** An election in etcd, or the restart of a member, takes less. */
const AWAY_MS = 15_000;

export class Patience {
  readonly #store: string;
  readonly #env: CliEnv;
  readonly #now: () => number;
  /** Since when it has been away, ms; null: it is not. */
  #since: number | null = null;

  /** `store` is what lines call it; `now` gives ms. */
  constructor(store: string, env: CliEnv, now: () => number = () => performance.now()) {
    this.#store = store;
    this.#env = env;
    this.#now = now;
  }

  /** What `look` finds; null while the store is away, which is said once. Rejects with a StoreAway when that has lasted for 15 s. */
  async bear<T extends object>(look: () => Promise<T>): Promise<T | null> {
    const begun = this.#now();
    try {
      const found = await look();
      if (this.#since !== null) this.#env.stderr.write(`hafl: store ${this.#store} answers again\n`);
      this.#since = null;
      return found;
    } catch (error) {
      if (!(error instanceof StoreAway)) throw error;
      const seconds = AWAY_MS / 1000;
      if (this.#since === null)
        this.#env.stderr.write(`hafl: store ${this.#store}: cannot be reached: ${error.message}: trying for ${seconds} s\n`);
      this.#since ??= begun;
      if (this.#now() - this.#since >= AWAY_MS) throw new StoreAway(`${error.message}, for ${seconds} s`);
      return null;
    }
  }
}
