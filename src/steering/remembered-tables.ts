/** Tables of single generations that have been built already: of a pool's generations only the newest is new. */
import { maglev, type WeightedHost } from "./maglev.ts";

export class RememberedTables {
  #tables = new Map<string, Uint16Array>();
  #used = new Map<string, Uint16Array>();

  /** As maglev(). The result must not be changed. */
  readonly build = (hosts: readonly WeightedHost[], size: number, key: readonly [number, number]): Uint16Array => {
    const identity = JSON.stringify([size, ...key, ...hosts.map(({ name, weight }) => [name, weight])]);
    const table = this.#used.get(identity) ?? this.#tables.get(identity) ?? maglev(hosts, size, key);
    this.#used.set(identity, table);
    return table;
  };

  /** Lets go of tables that were not asked for since the last call. */
  forgetUnused(): void {
    this.#tables = this.#used;
    this.#used = new Map();
  }
}
