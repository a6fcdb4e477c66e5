/** Measures the load of this host, and asks for that of its services, as an attendant of the agent. */
import { availableParallelism } from "node:os";
import type { AgentView, Attendant } from "../control/attendant.ts";
import type { Config, ServiceConfig } from "../control/config.ts";
import { OVERLOAD } from "../control/fitness.ts";
import { askLoad, filledIn } from "./ask.ts";
import { type Counters, KERNEL_FILES, type KernelFiles, type Load, loadBetween, readCounters } from "./cpu-counters.ts";

/** What a host reports of its load. */
export interface HostLoad extends Load {
  /** By service, of those that have a measure of their own and answered lately. */
  readonly services: Readonly<Record<string, number>>;
}

/** How often counters are read, ms. */
const READ_MS = 1000;
/** A host that was overloaded is so until its use is this much lower. */
const RELIEF = 0.1;
/** An answer counts until so many more should have come. */
const MISSED = 3;

/** A service that is asked again and again. */
interface Asked {
  readonly service: ServiceConfig;
  readonly timer: NodeJS.Timeout;
  answer: { readonly value: number; readonly at: number } | null;
  /** What was said last, to say it once. */
  trouble: string | null;
  asking: boolean;
  /** Aborted when it is not asked any more. */
  readonly over: AbortController;
}

function forget({ timer, over }: Asked): void {
  clearInterval(timer);
  over.abort();
}

export class LoadMeter implements Attendant {
  readonly name = "load";
  readonly #view: AgentView;
  readonly #files: KernelFiles;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  /** Oldest first, over the time that is averaged. */
  #readings: Counters[] = [];
  #group: string | null = null;
  #unread = false;
  readonly #asked = new Map<string, Asked>();

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(view: AgentView, files: KernelFiles = KERNEL_FILES, now: () => number = () => performance.now()) {
    this.#view = view;
    this.#files = files;
    this.#now = now;
  }

  start(): void {
    this.changed(this.#view.config());
    this.read();
    this.#timer = setInterval(() => this.read(), READ_MS);
    this.#timer.unref();
  }

  changed(config: Config): void {
    const wanted = new Map(config.services.filter(({ load }) => load !== null).map((service) => [service.name, service]));
    for (const [name, asked] of this.#asked) {
      if (JSON.stringify(wanted.get(name)?.load) === JSON.stringify(asked.service.load)) continue;
      forget(asked);
      this.#asked.delete(name);
    }
    for (const [name, service] of wanted) {
      if (this.#asked.has(name)) continue;
      const timer = setInterval(() => void this.#ask(name), service.load!.intervalSeconds * 1000);
      timer.unref();
      this.#asked.set(name, { service, timer, answer: null, trouble: null, asking: false, over: new AbortController() });
      void this.#ask(name);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const asked of this.#asked.values()) forget(asked);
    this.#asked.clear();
  }

  /** The load over the last `load.averageSeconds`, or as much of it as was measured; null: nothing is known. */
  current(): HostLoad | null {
    const [first, last] = [this.#readings[0], this.#readings.at(-1)];
    const load = first === undefined || last === undefined ? null : loadBetween(first, last);
    if (load === null) return null;
    const recent = [...this.#asked].filter(
      ([, { answer, service }]) => answer !== null && this.#now() - answer.at < MISSED * service.load!.intervalSeconds * 1000,
    );
    return { ...load, services: Object.fromEntries(recent.map(([name, { answer }]) => [name, answer!.value])) };
  }

  /** Takes one reading. */
  read(): void {
    const { averageSeconds, cgroup } = this.#view.config().load;
    const group = cgroup === null ? null : filledIn(cgroup, { host: this.#view.place.host.name, service: "" });
    if (group !== this.#group) this.#readings = [];
    this.#group = group;
    const at = Math.round(this.#now() * 1000);
    const reading = readCounters(this.#files, group, availableParallelism(), at);
    if (reading === null) {
      if (!this.#unread) this.#view.log.warn({ cgroup: group }, "load is not known: what the kernel counts cannot be read");
      this.#unread = true;
      this.#readings = [];
      this.#view.board.problem(OVERLOAD, null);
      return;
    }
    this.#unread = false;
    this.#readings.push(reading);
    while (this.#readings.length > 2 && this.#readings[1]!.at <= at - averageSeconds * 1e6) this.#readings.shift();
    this.#judge();
  }

  /** Tells, once a whole averaging time has been measured, whether the host has more than it can do. */
  #judge(): void {
    const { overload, averageSeconds } = this.#view.config().load;
    const [first, last] = [this.#readings[0]!, this.#readings.at(-1)!];
    if (last.at - first.at < averageSeconds * 1e6) return;
    const cpu = loadBetween(first, last)?.cpu ?? 0;
    const { board } = this.#view;
    const is = board.problems.has(OVERLOAD);
    if (!is && cpu > overload) board.problem(OVERLOAD, `more than ${Math.round(overload * 100)} % of the CPUs is used`);
    else if (is && cpu < overload - RELIEF) board.problem(OVERLOAD, null);
  }

  async #ask(name: string): Promise<void> {
    const asked = this.#asked.get(name);
    if (asked === undefined || asked.asking) return;
    asked.asking = true;
    let trouble: string | null = null;
    try {
      const value = await askLoad(asked.service.load!, { host: this.#view.place.host.name, service: name }, asked.over.signal);
      asked.answer = { value, at: this.#now() };
    } catch (error) {
      trouble = (error as Error).message;
    }
    asked.asking = false;
    if (this.#asked.get(name) !== asked || trouble === asked.trouble) return;
    asked.trouble = trouble;
    if (trouble !== null) this.#view.log.warn({ service: name }, `load of ${name} is not known: ${trouble}`);
    else this.#view.log.info({ service: name }, `load of ${name} is known again`);
  }
}
