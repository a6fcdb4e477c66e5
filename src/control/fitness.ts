/** What this host is fit for, as those who check it have found; read by those who announce, report and measure it. */
import { EventEmitter } from "node:events";

export interface Health {
  readonly healthy: boolean;
  /** Why, in a few words; empty while healthy. */
  readonly reason: string;
}

/** What is announced to routers, as those who do it have found. */
export interface RouteState {
  /** Prefixes that routers are told of. */
  readonly announced: readonly string[];
  /** Why the others are not, or what keeps us from saying so; null: all is as it should be. */
  readonly problem: string | null;
}

/** What the board calls a host that has too much to do. It is fit for packets, if for fewer of them. */
export const OVERLOAD = "overload";

/** Emits `change` when something of it is other than before. */
export class FitnessBoard extends EventEmitter<{ change: [] }> {
  readonly #problems = new Map<string, string>();
  readonly #services = new Map<string, Health>();
  #routes: RouteState | null = null;
  #relieved = false;
  #examined = false;

  /** What is wrong with the host itself, by who found it: `workers`, `tun`, `store`, `overload`, ... */
  get problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  /** Those for which it should get no packets at all. Empty: fit for packets. Too much to do is one only where others take it over. */
  get unfit(): ReadonlyMap<string, string> {
    return new Map([...this.#problems].filter(([source]) => source !== OVERLOAD || this.#relieved));
  }

  /** Services that are checked, by name; one that is not here counts as healthy. */
  get services(): ReadonlyMap<string, Health> {
    return this.#services;
  }

  /** Null: this host announces nothing by itself. A problem here makes nobody unfit: it is about what others are told. */
  get routes(): RouteState | null {
    return this.#routes;
  }

  /** Whether the host itself has been looked at; before, no problem means nothing. */
  get examined(): boolean {
    return this.#examined;
  }

  /** The host has been looked at, and what is wrong with it is here. */
  examine(): void {
    if (this.#examined) return;
    this.#examined = true;
    this.emit("change");
  }

  /** Sets what is announced. */
  announce(routes: RouteState | null): void {
    if (JSON.stringify(routes) === JSON.stringify(this.#routes)) return;
    this.#routes = routes;
    this.emit("change");
  }

  /** Sets whether others have room for what a host with too much to do lets go. */
  relieve(relieved: boolean): void {
    if (relieved === this.#relieved) return;
    this.#relieved = relieved;
    this.emit("change");
  }

  /** Sets what is wrong by one source; null: nothing any more. */
  problem(source: string, text: string | null): void {
    if ((this.#problems.get(source) ?? null) === text) return;
    if (text === null) this.#problems.delete(source);
    else this.#problems.set(source, text);
    this.emit("change");
  }

  /** Sets what is known of a service; null: it is not checked any more. */
  service(name: string, health: Health | null): void {
    const before = this.#services.get(name);
    if (before?.healthy === health?.healthy && before?.reason === health?.reason) return;
    if (health === null) this.#services.delete(name);
    else this.#services.set(name, health);
    this.emit("change");
  }
}
