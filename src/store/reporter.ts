/** What a host says of itself in the store: written when something of it changes, and anew every few seconds, leased. */
import type { AgentView, Attendant } from "../control/attendant.ts";
import type { ClusterKeys } from "./keys.ts";
import { LeasedRecord } from "./leased-record.ts";
import { type HostReport, MAX_RECORD_BYTES, writeRecord } from "./records.ts";
import type { Store } from "./store.ts";

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

/** Of a reason, which may quote what a service answered. */
const REASON_LENGTH = 200;

/** Shortens a reason. */
export const cut = (text: string): string => (text.length > REASON_LENGTH ? `${text.slice(0, REASON_LENGTH - 1)}…` : text);

/** The report at this moment. */
export async function reportOf(view: AgentView, sources: ReportSources, when: number): Promise<Omit<HostReport, "format">> {
  // Before the flows are counted: those of a host that is being drained are counted in another way, and it is told by the change.
  const { change, ageSeconds, serials, refused } = sources.applied();
  const flows = await sources.flows();
  const { problems, services, routes } = view.board;
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
  #record: LeasedRecord | null = null;

  constructor(view: AgentView, store: Store, keys: ClusterKeys, sources: ReportSources) {
    this.#view = view;
    this.#store = store;
    this.#key = keys.host(view.place.host.name);
    this.#sources = sources;
  }

  start(): void {
    this.#view.board.on("change", this.now);
    const text = async (): Promise<string> => reportText(await reportOf(this.#view, this.#sources, Date.now()));
    this.#record = new LeasedRecord(this.#store, this.#key, "report", text, this.#view.log);
  }

  changed(): void {
    this.now();
  }

  /** Has the report written soon: something of it has changed. */
  readonly now = (): void => this.#record?.now();

  /** The report goes away, unless another process goes on with it. */
  async stop(handedOver: boolean): Promise<void> {
    this.#view.board.off("change", this.now);
    await this.#record?.stop(handedOver);
  }
}
