/** A candidate's life: it stands for election, conducts when it is elected, and stands again when that is over or the store was away. */
import { EventEmitter } from "node:events";
import { readRecord, writeRecord } from "../store/records.ts";
import { StoreAway } from "../store/store.ts";
import { Conducting, Deposed, type Work } from "./conducting.ts";
import type { Decisions } from "./decide.ts";
import { elect, type Term } from "./election.ts";

export interface ConductorOptions extends Omit<Work, "by"> {
  /** Name of the host, or of the machine that is none. */
  readonly host: string;
}

/** For logs and metrics. */
export interface ConductorState {
  readonly role: "off" | "candidate" | "conductor";
  /** The store answered when it was asked last. */
  readonly storeAnswers: boolean;
  /** How often this process was elected, and how often a write of it was rejected because another one was. */
  readonly elections: number;
  readonly rejected: number;
  /** Generations that it wrote. */
  readonly written: number;
  /** While it conducts: what an operator has to know, and how hosts stand. */
  readonly alarms: readonly string[];
  readonly decisions: Decisions;
}

/** Of the lease while nothing says otherwise, s. */
const LEASE_SECONDS = 5;
/** Between two attempts while the store is away, ms; a part of it by chance. */
const RETRY_MS = 1000;

/** Emits `change` when its state has changed. */
export class Conductor extends EventEmitter<{ change: [] }> {
  readonly #options: ConductorOptions;
  #told = new AbortController();
  #life: Promise<void> = Promise.resolve();
  #conducting: Conducting | null = null;
  #role: ConductorState["role"] = "off";
  #storeAnswers = true;
  #elections = 0;
  #rejected = 0;
  #written = 0;
  /** What was said last of why there is no election. */
  #complaint: string | null = null;

  constructor(options: ConductorOptions) {
    super();
    this.#options = options;
  }

  get state(): ConductorState {
    return {
      role: this.#role,
      storeAnswers: this.#storeAnswers,
      elections: this.#elections,
      rejected: this.#rejected,
      written: this.#written + (this.#conducting?.written ?? 0),
      alarms: this.#conducting?.alarms ?? [],
      decisions: this.#conducting?.decisions ?? {},
    };
  }

  /** Stands for election from now on. */
  start(): void {
    if (this.#role !== "off") return;
    this.#told = new AbortController();
    this.#become("candidate");
    this.#life = this.#live(this.#told.signal);
  }

  /** Does not any more, and resigns. */
  async stop(): Promise<void> {
    this.#told.abort(new Error("told to stop"));
    this.#conducting?.wake();
    await this.#life;
  }

  #become(role: ConductorState["role"]): void {
    this.#role = role;
    this.emit("change");
  }

  #answers(yes: boolean): void {
    if (this.#storeAnswers === yes) return;
    this.#storeAnswers = yes;
    this.emit("change");
  }

  async #live(told: AbortSignal): Promise<void> {
    const { store, keys, host, log } = this.#options;
    const facts = { event: "leadership", host };
    while (!told.aborted) {
      try {
        const me = writeRecord("conductor", { host, pid: process.pid, since: Date.now() });
        const term = await elect(store, keys.conductor, me, await this.#leaseSeconds(), told);
        this.#answers(true);
        if (term === null) continue;
        this.#elections++;
        this.#complaint = null;
        log.info({ ...facts, conducts: true }, "elected: this host conducts now");
        const why = await this.#conduct(term, told);
        log.info({ ...facts, conducts: false }, `conducts no longer: ${why}`);
      } catch (error) {
        if (told.aborted) break;
        const said =
          error instanceof StoreAway ? "the store is away, no election" : `cannot conduct: ${(error as Error).message}`;
        if (said !== this.#complaint) log.error({ err: error, ...facts }, said);
        this.#complaint = said;
        this.#answers(false);
        await pause(RETRY_MS * (0.5 + Math.random()), told);
      }
    }
    this.#become("off");
  }

  /** As what is wanted says. Rejects as the store does. */
  async #leaseSeconds(): Promise<number> {
    const { store, keys, readWanted } = this.#options;
    const { entries } = await store.read(keys.wanted);
    const own = entries.find(({ key }) => key === keys.wanted);
    const read = own === undefined ? null : readRecord("wanted", own.key, own.value);
    const result = read !== null && "record" in read ? readWanted(read.record) : null;
    return result !== null && "config" in result ? result.config.conductor.leaseSeconds : LEASE_SECONDS;
  }

  /** One term, to its end. Returns why it has ended. */
  async #conduct(term: Term, told: AbortSignal): Promise<string> {
    let why: string | null = null;
    void term.over.then((reason) => {
      why ??= reason;
      this.#conducting?.wake();
    });
    try {
      const conducting = await Conducting.begin({ ...this.#options, by: this.#options.host }, term);
      this.#conducting = conducting;
      this.#become("conductor");
      const isOver = (): boolean => why !== null || told.aborted;
      while (!isOver()) {
        try {
          let { alarms } = conducting;
          await conducting.run(isOver, () => {
            this.#answers(true);
            if (conducting.alarms !== alarms) this.emit("change");
            alarms = conducting.alarms;
          });
        } catch (error) {
          if (!(error instanceof StoreAway)) throw error;
          this.#answers(false);
          await pause(RETRY_MS, told);
        }
      }
      return why ?? "told to stop";
    } catch (error) {
      if (!(error instanceof Deposed)) throw error;
      this.#rejected++;
      return error.message;
    } finally {
      this.#written += this.#conducting?.written ?? 0;
      this.#conducting?.close();
      this.#conducting = null;
      await term.resign();
      if (this.#role === "conductor") this.#become("candidate");
    }
  }
}

/** Waits so long, or until told to stop. */
const pause = (ms: number, told: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      told.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    told.addEventListener("abort", end);
    if (told.aborted) end();
  });
