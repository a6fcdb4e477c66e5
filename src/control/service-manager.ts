/** Tells a service manager how its service is (sd_notify(3)): ready, reloading, stopping, and all the time that it is alive. */
import { native } from "../io/native.ts";
import type { AgentView, Attendant, AttendantFactory } from "./attendant.ts";

/** What the manager has put into the environment of the service. */
export interface Supervision {
  /** Its socket; one that begins with @ is abstract. */
  readonly socket: string;
  /** It takes a service for dead that it has not heard of for so long, ms; null: it does not look. */
  readonly watchdogMs: number | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says of a manager; null when there is none, or when it is meant for another process. */
export function supervisionOf(env: Environment, pid: number): Supervision | null {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: whose } = env;
  if (socket === undefined || !/^[/@]./.test(socket)) return null;
  const watched = usec !== undefined && /^[1-9]\d*$/.test(usec) && (whose === undefined || whose === `${pid}`);
  return { socket, watchdogMs: watched ? Number(usec) / 1000 : null };
}

/** The problem of a host that is cured by starting its agent anew: its workers do not turn any more. */
const STUCK = "workers";

/** What the manager gives a service to stop in, besides the time that routers are given. */
const STOP_SECONDS = 60;

class ServiceManager implements Attendant {
  readonly name = "service manager";
  readonly #supervision: Supervision;
  readonly #view: AgentView;
  #alive: NodeJS.Timeout | undefined;
  #reporting = true;

  constructor(supervision: Supervision, view: AgentView) {
    this.#supervision = supervision;
    this.#view = view;
  }

  start(): void {
    this.#tell("READY=1", this.#status());
    // Before and after the agent's own answer to the signal, which is done when it returns.
    process.prependListener("SIGHUP", this.#reloading);
    process.on("SIGHUP", this.#reloaded);
    this.#view.board.on("change", this.#changed);
    const { watchdogMs } = this.#supervision;
    if (watchdogMs === null) return;
    this.#alive = setInterval(() => {
      if (!this.#view.board.problems.has(STUCK)) this.#tell("WATCHDOG=1");
    }, watchdogMs / 3);
    this.#alive.unref();
  }

  changed(): void {
    this.#changed();
  }

  leaving(): void {
    const { bgp } = this.#view.config();
    // Killed before its time it would leave the host's network as it is.
    const patience = bgp === null ? [] : [`EXTEND_TIMEOUT_USEC=${(bgp.withdrawDelay + STOP_SECONDS) * 1_000_000}`];
    this.#tell("STOPPING=1", ...patience, "STATUS=stopping");
  }

  stop(handedOver: boolean): void {
    clearInterval(this.#alive);
    process.off("SIGHUP", this.#reloading);
    process.off("SIGHUP", this.#reloaded);
    this.#view.board.off("change", this.#changed);
    this.#tell("STOPPING=1", `STATUS=${handedOver ? "another process has taken over" : "stopped"}`);
  }

  readonly #changed = (): void => this.#tell(this.#status());
  readonly #reloading = (): void => this.#tell("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  readonly #reloaded = (): void => this.#tell("READY=1", this.#status());

  #status(): string {
    const { board, generation, place } = this.#view;
    const sick = [...board.services].filter(([, { healthy }]) => !healthy).map(([name]) => name);
    const wrong = [...board.problems.values(), ...(sick.length > 0 ? [`not healthy: ${sick.join(", ")}`] : [])];
    return `STATUS=host ${place.host.name}, generation ${generation()}, ${wrong.length === 0 ? "fit" : wrong.join("; ")}`.replaceAll(
      "\n",
      " ",
    );
  }

  #tell(...lines: string[]): void {
    try {
      native().notify(this.#supervision.socket, lines.join("\n").slice(0, 2000));
      this.#reporting = true;
    } catch (error) {
      if (this.#reporting) this.#view.log.warn({ err: error }, `the service manager is not told: ${(error as Error).message}`);
      this.#reporting = false;
    }
  }
}

/** Reports to the manager that started this process. */
export const reportsTo =
  (supervision: Supervision): AttendantFactory =>
  (view) =>
    new ServiceManager(supervision, view);
