/** The load on the cluster lab while things happen to it: sessions that last, and short requests; and whom it harmed. */

import { type ChurnClients, churnPlaces, startClients } from "../churn.ts";
import { ChurnRecord } from "../churn-record.ts";
import type { FlowResult } from "../flows.ts";
import { type SteadyLoad, steadyLoad } from "../steady-load.ts";
import type { LabSpec } from "../topology.ts";
import { DRAIN_SECONDS } from "./cluster-config.ts";

/** Sessions of each protocol. */
const SESSIONS = 60;
/** A session ends in order after so long, another one follows: none keeps a host from draining for good. */
const LIFE_MS = 20_000;
/** How long a message may be without an answer: a router learns of a host that has fallen silent only after BGP's hold time, 9 s. */
const PATIENCE_MS = 20_000;
const REQUESTS = 2;

/** What has happened since it was asked last. */
export interface Harm {
  /** Sessions that broke, by host. */
  readonly broken: Readonly<Record<string, number>>;
  /** One line each; when they had been opened, and when they broke, ms since 1970. */
  readonly lines: readonly { readonly host: string; readonly text: string; readonly opened: number; readonly at: number }[];
  /** Sessions that could not be opened. */
  readonly notOpened: number;
  readonly failedRequests: readonly FlowResult[];
  readonly requests: number;
}

export class ClusterLoad {
  readonly record = new ChurnRecord(DRAIN_SECONDS);
  readonly #clients: ChurnClients;
  readonly #requests: SteadyLoad;
  #breaks = 0;
  #failed = 0;
  #results = 0;

  constructor(spec: LabSpec) {
    const places = Object.entries(churnPlaces(spec, SESSIONS)).map(
      ([client, list]) => [client, list.map((place, i) => ({ ...place, lifeMs: LIFE_MS + (i % 10) * 1_000 }))] as const,
    );
    this.#clients = startClients(spec.name, Object.fromEntries(places), (event) => this.record.take(event), PATIENCE_MS);
    this.#requests = steadyLoad(spec, REQUESTS);
  }

  /** Sessions that are open on a host, or on all. */
  open(host?: string): number {
    return this.record.openOn(host).length;
  }

  /** What broke or failed since this was called last. */
  harm(): Harm {
    const breaks = this.record.breaks.slice(this.#breaks);
    const failed = this.record.failed.slice(this.#failed);
    const results = this.#requests.results.slice(this.#results);
    this.#breaks += breaks.length;
    this.#failed += failed.length;
    this.#results += results.length;
    const broken: Record<string, number> = {};
    for (const { host } of breaks) broken[host] = (broken[host] ?? 0) + 1;
    return {
      broken,
      lines: breaks.map(({ session, host, why, opened, at }) => ({ host, text: `${session} of ${host}: ${why}`, opened, at })),
      notOpened: failed.length,
      failedRequests: results.filter(({ host }) => host === null),
      requests: results.length,
    };
  }

  async stop(): Promise<void> {
    this.#clients.stop();
    await Promise.all([this.#clients.done, this.#requests.stop()]);
  }
}
