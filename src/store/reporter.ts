/** What a host says of itself in the store: written when something of it changes, and anew every few seconds, leased. */
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentView, Attendant } from "../control/attendant.ts";
import type { ClusterKeys } from "./keys.ts";
import { type HostReport, MAX_RECORD_BYTES, RENEW_MS, writeRecord } from "./records.ts";
import { type Lease, type Store, StoreAway } from "./store.ts";

/** What of the store's content the host goes by. */
export type Applied = Pick<HostReport, "change" | "ageSeconds" | "serials" | "refused">;

/** What a report is made from that is not on the agent's own board. */
export interface ReportSources {
  readonly version: string;
  applied(): Applied;
  load(): HostReport["load"];
  /** Flows that the host owns. */
  flows(): number | Promise<number>;
}

/** The report goes away so long after its host was heard of last, s. */
const LEASE_SECONDS = 15;
/** Changes that come together are written together, ms. */
const TOGETHER_MS = 100;
/** Pause after a write that failed, and the longest one, ms. */
const RETRY_MS = 500;
const RETRY_MAX_MS = 10_000;
/** Of a reason, which may quote what a service answered. */
const REASON_LENGTH = 200;

const cut = (text: string): string => (text.length > REASON_LENGTH ? `${text.slice(0, REASON_LENGTH - 1)}…` : text);

/** The report at this moment. */
export async function reportOf(view: AgentView, sources: ReportSources, when: number): Promise<Omit<HostReport, "format">> {
  const flows = await sources.flows();
  const { problems, services, routes } = view.board;
  const { change, ageSeconds, serials, refused } = sources.applied();
  const found = [...services].map(([name, { healthy, reason }]) => [name, { healthy, reason: cut(reason) }] as const);
  return {
    host: view.place.host.name,
    when,
    version: sources.version,
    change,
    generation: view.generation(),
    ageSeconds,
    serials,
    refused: refused === null ? null : cut(refused),
    problems: Object.fromEntries([...problems].map(([source, text]) => [source, cut(text)])),
    services: Object.fromEntries(found),
    load: sources.load(),
    flows,
    announced: [...(routes?.announced ?? [])],
  };
}

/** A report as it is written. Where it would be too large to be read, services that are well are left out: nothing said means that. */
export function reportText(report: Omit<HostReport, "format">): string {
  const text = writeRecord("hostReport", report);
  if (Buffer.byteLength(text) <= MAX_RECORD_BYTES) return text;
  const ill = Object.entries(report.services).filter(([, { healthy }]) => !healthy);
  return writeRecord("hostReport", { ...report, services: Object.fromEntries(ill) });
}

export class Reporter implements Attendant {
  readonly name = "report";
  readonly #view: AgentView;
  readonly #store: Store;
  readonly #key: string;
  readonly #sources: ReportSources;
  readonly #told = new AbortController();
  #lease: Lease | null = null;
  #running: Promise<void> = Promise.resolve();
  /** Something is to be written; who waits for that. */
  #changed = false;
  #wake: () => void = () => {};

  constructor(view: AgentView, store: Store, keys: ClusterKeys, sources: ReportSources) {
    this.#view = view;
    this.#store = store;
    this.#key = keys.host(view.place.host.name);
    this.#sources = sources;
  }

  start(): void {
    this.#view.board.on("change", this.now);
    this.#running = this.#run();
  }

  changed(): void {
    this.now();
  }

  /** Has the report written soon: something of it has changed. */
  readonly now = (): void => {
    this.#changed = true;
    this.#wake();
  };

  /** The report goes away, unless another process goes on with it. */
  async stop(handedOver: boolean): Promise<void> {
    this.#view.board.off("change", this.now);
    this.#told.abort();
    this.#wake();
    await this.#running;
    if (handedOver) return;
    await this.#lease?.revoke().catch((err: Error) => {
      this.#view.log.info({ err }, `the report of this host stays in the store for ${LEASE_SECONDS} s: ${err.message}`);
    });
  }

  async #run(): Promise<void> {
    const { log } = this.#view;
    let failures = 0;
    while (!this.#told.signal.aborted) {
      this.#changed = false;
      try {
        await this.#write();
        if (failures > 0) log.info("the store has the report of this host again");
        failures = 0;
      } catch (error) {
        // Its lease may be what is wrong.
        if (!(error instanceof StoreAway)) this.#lease = null;
        if (failures++ === 0)
          log.warn({ err: error }, `the store does not get the report of this host: ${(error as Error).message}`);
      }
      await this.#rest(failures);
    }
  }

  async #write(): Promise<void> {
    const lease = this.#lease ?? (await this.#store.lease(LEASE_SECONDS));
    if (this.#lease === null) {
      this.#lease = lease;
      void lease.lost.then(() => {
        if (this.#lease !== lease) return;
        this.#lease = null;
        this.now();
      });
    }
    const value = reportText(await reportOf(this.#view, this.#sources, Date.now()));
    await this.#store.commit([], [{ key: this.#key, value, lease }]);
  }

  /** Until the next is due: soon when something changes, later when the store is away. */
  async #rest(failures: number): Promise<void> {
    const { signal } = this.#told;
    const nap = (ms: number): Promise<void> => sleep(ms, undefined, { signal, ref: false }).catch(() => {});
    if (failures > 0) return nap(Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** (failures - 1)) * (0.75 + Math.random() / 2));
    await nap(TOGETHER_MS);
    if (this.#changed || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, RENEW_MS - TOGETHER_MS);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
  }
}
