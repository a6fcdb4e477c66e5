/** Tables that have been built already: of a pool's generations only the newest is new, and mostly not even that. */
import { type ChainTable, chainTable, type Generation } from "./generations.ts";
import { maglev, type WeightedHost } from "./maglev.ts";

export class RememberedTables {
  #tables = new Map<string, Uint16Array>();
  #used = new Map<string, Uint16Array>();
  #chains = new Map<string, ChainTable>();
  #usedChains = new Map<string, ChainTable>();

  /** As maglev(). The result must not be changed. */
  readonly build = (hosts: readonly WeightedHost[], size: number, key: readonly [number, number]): Uint16Array => {
    const identity = JSON.stringify([size, ...key, ...hosts.map(({ name, weight }) => [name, weight])]);
    const table = this.#used.get(identity) ?? this.#tables.get(identity) ?? maglev(hosts, size, key);
    this.#used.set(identity, table);
    return table;
  };

  /** As chainTable(), the same one for the same arguments. */
  chains(generations: readonly Generation[], size: number, key: readonly [number, number]): ChainTable {
    const identity = JSON.stringify([size, ...key, generations]);
    const known = this.#usedChains.get(identity) ?? this.#chains.get(identity);
    const table = known ?? chainTable(generations, size, key, this.build);
    if (known !== undefined) for (const { hosts } of generations) this.build(hosts, size, key);
    this.#usedChains.set(identity, table);
    return table;
  }

  /** Lets go of tables that were not asked for since the last call. */
  forgetUnused(): void {
    this.#tables = this.#used;
    this.#used = new Map();
    this.#chains = this.#usedChains;
    this.#usedChains = new Map();
  }
}
