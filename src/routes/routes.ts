/** Routes to the VIPs, announced by BIRD as long as this host is fit for their packets. */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentView, Attendant } from "../control/attendant.ts";
import type { BgpConfig } from "../control/config-bgp.ts";
import { OVERLOAD } from "../control/fitness.ts";
import { tunName } from "../control/own-place.ts";
import { sitesOf } from "../control/site.ts";
import { formatPrefix } from "../wire/address.ts";
import { type Announcements, announcements, othersHaveRoom } from "./announce.ts";
import { Bird, type BirdState } from "./bird.ts";
import type { ReportReader } from "./reports.ts";
import { type RouteProtocol, routeProtocol, snippet } from "./snippet.ts";
import { troubleWith } from "./trouble.ts";

/** How often BIRD is looked at, ms: it may have been started anew, or somebody may have configured it. */
const LOOK_MS = 1_000;

/** At the first look after so long nobody waits any more for the host itself to be looked at, ms. */
const EXAMINED_MS = 1_500;

/** The file that BIRD's config includes, in the agent's runtime directory. */
export const snippetPath = (runtimeDir: string): string => join(runtimeDir, "bird.conf");

/** What BIRD should be like. */
interface Wanted {
  readonly protocols: readonly RouteProtocol[];
  /** Names of those whose routes are announced. */
  readonly announced: ReadonlySet<string>;
  /** Why the others are not; null: all are. */
  readonly why: string | null;
}

export interface RoutesOptions {
  /** BIRD's control socket, in place of the config's. */
  readonly socket?: string | undefined;
  /** What the hosts say of themselves; null: there is no store that they could say it in. */
  readonly reports?: ReportReader | null;
}

export class Routes implements Attendant {
  readonly name = "routes";
  readonly #view: AgentView;
  readonly #reports: ReportReader | null;
  readonly #socket: string | undefined;
  /** By the config before; null: none has been asked for anything. */
  #bird: Bird | null = null;
  /** In the end nothing is looked at any more: BIRD is another's, or nobody's. */
  #phase: "starting" | "on" | "leaving" | "over" | "ended" = "starting";
  #timer: NodeJS.Timeout | undefined;
  /** ms of the monotonic clock. */
  #startedAt = 0;
  /** One look at BIRD at a time; another one follows when something has changed meanwhile. */
  #looking: Promise<void> | null = null;
  #again = false;
  /** When the host was last seen unfit, ms of the monotonic clock. */
  #unfitAt = Number.NEGATIVE_INFINITY;
  #announced: readonly string[] = [];
  /** Routes of an agent before may be announced: this one has not looked at BIRD yet. */
  #inherits = true;
  #trouble: string | null = null;
  /** Seen at the look before: what passes by itself is not worth a word. */
  #suspected: string | null = null;
  #sessions: ReadonlyMap<string, string> = new Map();
  readonly #look = (): Promise<void> => this.#settleSoon();

  constructor(view: AgentView, { socket, reports = null }: RoutesOptions = {}) {
    this.#view = view;
    this.#socket = socket;
    this.#reports = reports;
  }

  get #bgp(): BgpConfig | null {
    const { bgp } = this.#view.config();
    return bgp === null ? null : { ...bgp, socket: this.#socket ?? bgp.socket };
  }

  /** The routes of an agent that died would come to life again with the TUN, before there is anybody to take packets. */
  async prepare(): Promise<void> {
    this.#inherits = false;
    rmSync(snippetPath(this.#view.runtimeDir), { force: true });
    const bgp = this.#bgp;
    if (bgp === null) return;
    const bird = new Bird(bgp, () => {});
    try {
      await bird.withdrawAll();
    } catch {
      // Whoever is not there announces nothing; it is said when the agent runs.
    } finally {
      bird.close();
    }
  }

  /** BIRD stays as it is, of an agent before too, until it is known whether the host is fit. */
  start(): void {
    this.#startedAt = performance.now();
    this.#view.board.on("change", this.#look);
    this.#timer = setInterval(this.#look, LOOK_MS);
    void this.#look();
  }

  changed(): void {
    void this.#look();
  }

  /** Withdraws everything, and leaves routers the time to take it in. */
  async leaving(): Promise<void> {
    const bgp = this.#bgp;
    const some = this.#announced.length > 0 || this.#inherits;
    this.#phase = "leaving";
    await this.#look();
    if (bgp !== null && some) await sleep(bgp.withdrawDelay * 1000);
  }

  /** One who took over has BIRD and the file as they are; else nothing of us stays. */
  async stop(handedOver: boolean): Promise<void> {
    clearInterval(this.#timer);
    this.#view.board.off("change", this.#look);
    this.#phase = handedOver ? "ended" : "over";
    await this.#looking;
    if (!handedOver && this.#bird !== null) {
      await this.#settleSoon();
      rmSync(snippetPath(this.#view.runtimeDir), { force: true });
    }
    this.#phase = "ended";
    this.#bird?.close();
  }

  /** Makes BIRD what it should be, at once or after what is being done now. Never rejects. */
  #settleSoon(): Promise<void> {
    this.#again = true;
    this.#looking ??= (async () => {
      while (this.#again && this.#phase !== "ended") {
        this.#again = false;
        try {
          await this.#settle();
        } catch (error) {
          this.#sessions = new Map();
          this.#tell([], (error as Error).message, null);
        }
      }
      this.#looking = null;
    })();
    return this.#looking;
  }

  async #settle(): Promise<void> {
    if (this.#phase === "starting") {
      if (!this.#view.board.examined && performance.now() - this.#startedAt < EXAMINED_MS) return;
      this.#phase = "on";
    }
    const bgp = this.#bgp;
    if (this.#bird !== null && !sameProtocols(this.#bird.bgp, bgp)) await this.#leaveBird(this.#bird);
    if (bgp === null) {
      this.#view.board.relieve(false);
      return this.#view.board.announce(null);
    }
    this.#bird ??= new Bird(bgp, this.#look);
    const { protocols, announced, why } = this.#wanted(bgp);
    const file = snippetPath(this.#view.runtimeDir);
    let state: BirdState;
    const text = snippet(protocols, ({ name }) => announced.has(name));
    try {
      state = await this.#bird.settle(protocols, announced, () => replaceFile(file, text));
    } catch (error) {
      // BIRD reads it when it starts again.
      replaceFile(file, text);
      throw error;
    }
    this.#tellSessions(state.sessions);
    const up = protocols.filter(({ name }) => announced.has(name) && (state.ours.get(name)?.routes ?? 0) > 0);
    const trouble = troubleWith(state, protocols, announced, file);
    const sure = trouble === null || trouble === this.#suspected || trouble === this.#trouble;
    this.#suspected = trouble;
    this.#tell(
      up.map(({ prefix }) => prefix),
      sure ? trouble : this.#trouble,
      why,
    );
  }

  /** Withdraws what was announced by the config before. */
  async #leaveBird(before: Bird): Promise<void> {
    this.#bird = null;
    rmSync(snippetPath(this.#view.runtimeDir), { force: true });
    try {
      await before.withdrawAll();
    } catch (error) {
      this.#view.log.warn(
        { err: error },
        `routes: those of the config before may still be announced: ${(error as Error).message}`,
      );
    } finally {
      before.close();
    }
  }

  #wanted(bgp: BgpConfig): Wanted {
    const { place, board } = this.#view;
    const config = this.#view.config();
    const host = config.hosts.find(({ name }) => name === place.host.name) ?? place.host;
    // Only then does it matter how others are.
    const matters = sitesOf(config).length > 1 || board.problems.has(OVERLOAD);
    const reports = matters ? (this.#reports?.latest(config.hosts.length, this.#look) ?? null) : null;
    board.relieve(board.problems.has(OVERLOAD) && othersHaveRoom(config, host, reports));
    const now = announcements(config, host, board, reports);
    if (now.unfit !== null) this.#unfitAt = performance.now();
    const why = this.#reason(now, bgp);
    const device = tunName(place.instance);
    const protocols = [...now.announced, ...now.withheld.map(({ prefix }) => prefix)]
      .map((prefix) => routeProtocol(bgp, prefix, device, host.preference))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const names = why.all === null ? now.announced.map(formatPrefix) : [];
    const announced = new Set(protocols.filter(({ prefix }) => names.includes(prefix)).map(({ name }) => name));
    return { protocols, announced, why: why.all ?? why.some };
  }

  /** Why nothing is announced, or why not all. */
  #reason(now: Announcements, bgp: BgpConfig): { all: string | null; some: string | null } {
    const some = now.withheld[0]?.why ?? null;
    if (this.#phase !== "on") return { all: "the agent stops", some };
    if (now.unfit !== null) return { all: now.unfit, some };
    const held = performance.now() - this.#unfitAt < bgp.holdSeconds * 1000;
    return { all: held ? `the host has not been fit for ${bgp.holdSeconds} s yet` : null, some };
  }

  /** Logs and publishes what is other than before. */
  #tell(announced: readonly string[], trouble: string | null, why: string | null): void {
    const { board, log } = this.#view;
    const gained = announced.filter((prefix) => !this.#announced.includes(prefix));
    const lost = this.#announced.filter((prefix) => !announced.includes(prefix));
    if (gained.length > 0) log.info({ event: "routes", announced: gained }, `routes: announced ${gained.join(", ")}`);
    if (lost.length > 0) {
      const because = why ?? trouble ?? "by the config";
      log.warn({ event: "routes", withdrawn: lost, why: because }, `routes: withdrawn ${lost.join(", ")}: ${because}`);
    }
    if (trouble !== null && trouble !== this.#trouble) log.error({ event: "routes", trouble }, `routes: ${trouble}`);
    if (trouble === null && this.#trouble !== null)
      log.info({ event: "routes", trouble }, "routes: BIRD is as it should be again");
    this.#announced = announced;
    this.#inherits = false;
    this.#trouble = trouble;
    board.announce({ announced, problem: trouble ?? why });
  }

  #tellSessions(sessions: ReadonlyMap<string, string>): void {
    for (const [session, state] of sessions) {
      if (this.#sessions.get(session) === state) continue;
      this.#view.log.info({ event: "bgp", session, state }, `routes: BGP session ${session}: ${state}`);
    }
    this.#sessions = sessions;
  }
}

/** Whether protocols of ours stay where and what they are. All hosts get a config at once: what need not be withdrawn must not be. */
const sameProtocols = (a: BgpConfig, b: BgpConfig | null): boolean => a.socket === b?.socket && a.protocol === b.protocol;

/** Replaces a file at once, if it is to have another text. BIRD, another user mostly, may read it. */
function replaceFile(path: string, text: string): void {
  try {
    if (readFileSync(path, "utf8") === text) return;
  } catch {
    // There is none yet.
  }
  writeFileSync(`${path}.new`, text, { mode: 0o644 });
  renameSync(`${path}.new`, path);
}
