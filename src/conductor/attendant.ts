/** The candidate that lives in an agent: stands for election while the config has its host among the candidates. */
import type { AgentView, Attendant } from "../control/attendant.ts";
import type { Config } from "../control/config.ts";
import type { ClusterKeys } from "../store/keys.ts";
import type { Store } from "../store/store.ts";
import { Conductor, type ConductorState } from "./conductor.ts";
import { wantedReader } from "./wanted.ts";

export class ConductorAttendant implements Attendant {
  readonly name = "conductor";
  readonly #view: AgentView;
  readonly #conductor: Conductor;

  /** `file`: the host's own config file. */
  constructor(view: AgentView, { store, keys }: { readonly store: Store; readonly keys: ClusterKeys }, file: string) {
    this.#view = view;
    const { log, place } = view;
    this.#conductor = new Conductor({ store, keys, host: place.host.name, log, readWanted: wantedReader(file, keys) });
  }

  get state(): ConductorState {
    return this.#conductor.state;
  }

  start(): Promise<void> {
    return this.changed(this.#view.config());
  }

  async changed({ conductor: { candidates } }: Config): Promise<void> {
    if (candidates === null || candidates.includes(this.#view.place.host.name)) this.#conductor.start();
    else await this.#conductor.stop();
  }

  /** Others conduct while this host still takes packets. */
  leaving(): Promise<void> {
    return this.#conductor.stop();
  }

  stop(): Promise<void> {
    return this.#conductor.stop();
  }
}
