/** The churn lab: sessions that must live on while hosts are drained, removed, added and re-weighted and the router changes its mind. */
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { readStatus } from "../control/status.ts";
import { type Change, changes, churnConfig, fullCluster, type HostState, routedHosts } from "./churn-plan.ts";
import { type Break, ChurnRecord, type Outcome } from "./churn-record.ts";
import { CHURN_PORT, type Place, type SessionEvent } from "./churn-session.ts";
import { guardLab } from "./guard.ts";
import { labDown, type Progress, raiseLab, routeVips } from "./lab.ts";
import { ended, nodeProgram, spawnDaemon, spawnIn } from "./namespace.ts";
import { pollFor } from "./poll.ts";
import { SERVER_READY } from "./server.ts";
import { claimLab, configFile, type LabState, logFile, replaceFile, runtimeDir } from "./state.ts";
import { addressOf, clientNames, FAMILIES, hostNames, type LabSpec, VIP } from "./topology.ts";

export interface ChurnOptions {
  readonly seconds: number;
  /** TCP connections, and as many UDP sessions. */
  readonly connections: number;
  readonly everySeconds: number;
  readonly drainSeconds: number;
  /** Whether directors remember flows. */
  readonly flowTable: boolean;
}

export interface ChangeReport {
  /** Seconds since the begin. */
  readonly at: number;
  readonly what: string;
  readonly moved: number;
  readonly buckets: number;
  /** Until the last agent had it, ms. */
  readonly tookMs: number;
}

/** Sessions of a host when it began to drain, and those of them that were open when its drain time was over. */
export interface DrainReport {
  readonly host: string;
  readonly sessions: number;
  readonly lived: number;
}

export interface ChurnReport extends ChurnOptions {
  readonly opened: number;
  readonly answered: number;
  /** Datagrams that were sent, and those of them without an answer. */
  readonly datagrams: number;
  readonly lostDatagrams: number;
  readonly broken: { readonly staying: number; readonly early: number; readonly drained: number; readonly down: number };
  readonly failedToOpen: number;
  /** The same by protocol. */
  readonly sessions: { readonly tcp: Outcome; readonly udp: Outcome };
  readonly drains: readonly DrainReport[];
  readonly changes: readonly ChangeReport[];
  /** How often the router got another set of hosts. */
  readonly routed: number;
  /** Packets that went from host to host once, twice, three times and more often. */
  readonly hops: readonly [number, number, number, number];
  /** Packets of all agents, by verdict. */
  readonly verdicts: Readonly<Record<string, number>>;
  /** A line for each session that broke without a right to, or could not be opened. */
  readonly faults: readonly string[];
}

/** Whether nothing broke that had no right to. */
export const unbroken = (r: ChurnReport): boolean => r.broken.staying === 0 && r.broken.early === 0 && r.answered > 0;

const FIRST_PORT = 10_000;
/** A third of the sessions begin anew after that time, so that hosts which are added get some. */
const LIFE_MS = 10_000;
const APPLY_MS = 5_000;
const READY_MS = 20_000;
/** Sessions begin within two seconds, and have a second more. */
const OPENING_MS = 3_000;
/** How long a message may be without an answer; TCP has sent it again five times by then. */
const PATIENCE_MS = 7_000;

/** Who keeps which sessions: both protocols and families in turn, spread over the clients. */
export function churnPlaces(spec: LabSpec, connections: number): Record<string, Place[]> {
  const clients = clientNames(spec);
  const places: Record<string, Place[]> = Object.fromEntries(clients.map((client) => [client, []]));
  for (const protocol of ["tcp", "udp"] as const) {
    for (let i = 0; i < connections; i++) {
      const client = clients[i % clients.length]!;
      const family = FAMILIES[Math.trunc(i / clients.length) % 2]!;
      const source = addressOf(client, family);
      places[client]!.push({
        protocol,
        family,
        target: VIP[family],
        source,
        port: FIRST_PORT + i,
        step: connections,
        lifeMs: i % 3 === 0 ? LIFE_MS : null,
      });
    }
  }
  return places;
}

/** Client programs that keep sessions open. */
export interface ChurnClients {
  readonly done: Promise<unknown>;
  stop(): void;
}

/** Starts the clients of a lab; `take` is called with each event. A session that waits longer than `patienceMs` is broken. */
export function startClients(
  lab: string,
  places: Readonly<Record<string, readonly Place[]>>,
  take: (event: SessionEvent) => void,
  patienceMs = PATIENCE_MS,
): ChurnClients {
  const children = Object.entries(places).map(([client, list]) => {
    const command = nodeProgram("lab/churn-client.ts", [JSON.stringify(list), `${patienceMs}`]);
    const child = spawnIn(lab, client, command, { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin!.on("error", () => {});
    const lines = createInterface({ input: child.stdout! });
    lines.on("line", (line) => take(JSON.parse(line) as SessionEvent));
    const drained = new Promise((resolve) => lines.once("close", resolve));
    return { child, done: Promise.all([ended(child), drained]) };
  });
  return {
    done: Promise.all(children.map(({ done }) => done)),
    stop: () => children.forEach(({ child }) => void child.stdin!.end()),
  };
}

/** Starts the churn server on every host and waits until all are ready. */
export async function startServers(spec: LabSpec, signal?: AbortSignal): Promise<void> {
  const start = async (host: string): Promise<void> => {
    const log = logFile(spec.name, host, "churn");
    await spawnDaemon(
      spec.name,
      host,
      nodeProgram("lab/churn-server.ts", [host, String(CHURN_PORT), ...Object.values(VIP)]),
      log,
    );
    const ready = (): true | null => (existsSync(log) && readFileSync(log, "utf8").includes(SERVER_READY) ? true : null);
    if (!(await pollFor(ready, READY_MS, 20, signal))) throw new Error(`churn server on ${host} did not get ready (${log})`);
  };
  await Promise.all(hostNames(spec).map(start));
}

class Churn {
  readonly record: ChurnRecord;
  readonly changes: ChangeReport[] = [];
  readonly drains: DrainReport[] = [];
  readonly #spec: LabSpec;
  readonly #options: ChurnOptions;
  readonly #progress: Progress;
  routed = 0;
  readonly begun = Date.now();
  #states: Record<string, HostState>;

  constructor(spec: LabSpec, options: ChurnOptions, progress: Progress) {
    this.#spec = spec;
    this.#options = options;
    this.#progress = progress;
    this.record = new ChurnRecord(options.drainSeconds);
    this.#states = Object.fromEntries(hostNames(spec).map((host) => [host, "active"]));
  }

  /** Verdicts of all agents, and how far packets went. */
  packets(): Pick<ChurnReport, "verdicts" | "hops"> {
    const verdicts: Record<string, number> = {};
    const sent = [0, 0, 0];
    for (const host of hostNames(this.#spec)) {
      const status = readStatus(runtimeDir(this.#spec.name, host));
      for (const [name, n] of Object.entries(status.verdicts)) verdicts[name] = (verdicts[name] ?? 0) + n;
      for (const { secondHops, thirdHops, furtherHops } of status.workers) {
        for (const [i, n] of [secondHops, thirdHops, furtherHops].entries()) sent[i]! += n;
      }
    }
    const [second, third, further] = sent as [number, number, number];
    return { verdicts, hops: [(verdicts.forwarded ?? 0) - second, second - third, third - further, further] };
  }

  /** Makes changes until the time is over. */
  async run(signal?: AbortSignal): Promise<void> {
    const { everySeconds, seconds } = this.#options;
    const until = performance.now() + seconds * 1000;
    const plan = changes(this.#spec);
    const pause = async (share: number): Promise<void> => {
      const left = Math.max(0, until - performance.now());
      await sleep(Math.min(left, everySeconds * 1000 * share), undefined, { signal });
    };
    await sleep(OPENING_MS, undefined, { signal });
    for (let n = 0; performance.now() < until; n++) {
      await this.#apply(plan.next().value as Change);
      await pause(0.5);
      if (performance.now() < until) {
        await routeVips(this.#spec.name, routedHosts(this.#spec, n));
        this.routed++;
      }
      await pause(0.5);
    }
  }

  async #apply({ what, cluster }: Change): Promise<void> {
    const { name } = this.#spec;
    const hosts = hostNames(this.#spec);
    const generations = (): number[] => hosts.map((host) => readStatus(runtimeDir(name, host)).generation);
    const before = generations();
    const at = Date.now();
    for (const [host, { state }] of Object.entries(cluster)) {
      if (state === this.#states[host]) continue;
      this.#states[host] = state;
      this.record.turn(host, state, at);
      if (state === "draining") this.#watchDrain(host);
    }
    const { drainSeconds, flowTable } = this.#options;
    replaceFile(configFile(name), churnConfig(this.#spec, cluster, drainSeconds, flowTable));
    const applied = await pollFor(() => (generations().every((g, i) => g > before[i]!) ? true : null), APPLY_MS);
    if (!applied) throw new Error(`${what}: not taken up by every agent within ${APPLY_MS / 1000} s`);
    const tookMs = Date.now() - at;
    const said = await pollFor(() => moveSince(name, hosts[0]!, at), APPLY_MS);
    const { moved, buckets } = said ?? { moved: 0, buckets: 0 };
    const report = { at: (at - this.begun) / 1000, what, moved, buckets, tookMs };
    this.changes.push(report);
    const broken = this.record.breaks.filter(({ excuse }) => excuse === null || excuse === "early").length;
    this.#progress(
      `${report.at.toFixed(1).padStart(6)} s  ${what.padEnd(20)} ${moved} of ${buckets} buckets moved, on every agent after ${report.tookMs} ms; open ${this.record.openOn().length}, broken without a right to ${broken}`,
    );
  }

  /** Looks at the sessions of a host that drains again when its time is over, a moment before the agents do. */
  #watchDrain(host: string): void {
    const sessions = this.record.openOn(host);
    const look = (): void => {
      const lived = sessions.filter((session) => this.record.isWhole(session)).length;
      this.drains.push({ host, sessions: sessions.length, lived });
      this.#progress(`          ${host}: ${lived} of ${sessions.length} sessions lived to the drain time`);
    };
    setTimeout(look, this.#options.drainSeconds * 1000 - 20).unref();
  }
}

/** What a change made at `since` moved, by a host's log; null while it does not say. */
function moveSince(lab: string, host: string, since: number): { moved: number; buckets: number } | null {
  const lines = readFileSync(logFile(lab, host, "agent"), "utf8").split("\n");
  const line = lines.findLast((text) => text.includes('"movedBuckets"'));
  if (line === undefined) return null;
  const { time, movedBuckets, buckets } = JSON.parse(line) as { time: string; movedBuckets: number; buckets: number };
  return Date.parse(time) < since ? null : { moved: movedBuckets, buckets };
}

const describe = (b: Break, begun: number, done: readonly ChangeReport[]): string => {
  const at = (b.at - begun) / 1000;
  const before = done.findLast((change) => change.at <= at);
  const since = before === undefined ? "before any change" : `${(at - before.at).toFixed(1)} s after "${before.what}"`;
  return `${b.session} of ${b.host}, open for ${((b.at - b.opened) / 1000).toFixed(1)} s: ${b.why}, ${since}${b.excuse === "early" ? " (draining)" : ""}`;
};

/** Raises a lab of its own, lets hosts come and go under load, takes the lab down. Throws when the lab fails; what breaks is a result. */
export async function runChurn(
  spec: LabSpec,
  options: ChurnOptions,
  progress: Progress,
  signal?: AbortSignal,
): Promise<ChurnReport> {
  claimLab(spec.name);
  const guard = guardLab(spec.name);
  try {
    const config = churnConfig(spec, fullCluster(spec), options.drainSeconds, options.flowTable);
    const state = await raiseLab(spec, progress, signal, config);
    await startServers(spec, signal);
    return await churn(state, options, progress, signal);
  } finally {
    progress("taking the lab down");
    await labDown(spec.name);
    await guard.release();
  }
}

async function churn({ spec }: LabState, options: ChurnOptions, progress: Progress, signal?: AbortSignal): Promise<ChurnReport> {
  const run = new Churn(spec, options, progress);
  const { record } = run;
  progress(`${options.connections} TCP connections, ${options.connections} UDP sessions, a message each every 100 ms`);
  const clients = startClients(spec.name, churnPlaces(spec, options.connections), (event) => record.take(event));
  try {
    await run.run(signal);
  } finally {
    clients.stop();
    await clients.done;
  }
  const count = (excuse: Break["excuse"]): number => record.breaks.filter((b) => b.excuse === excuse).length;
  const faulty = record.breaks.filter(({ excuse }) => excuse === null || excuse === "early");
  return {
    ...options,
    opened: record.opened,
    answered: record.answered,
    datagrams: record.datagrams,
    lostDatagrams: record.lost,
    broken: { staying: count(null), early: count("early"), drained: count("drained"), down: count("down") },
    failedToOpen: record.failed.length,
    sessions: { tcp: record.outcome("tcp"), udp: record.outcome("udp") },
    drains: run.drains,
    changes: run.changes,
    routed: run.routed,
    ...run.packets(),
    faults: [
      ...faulty.map((b) => describe(b, run.begun, run.changes)),
      ...record.failed.map(
        ({ session, why, at }) => `${session} could not be opened: ${why}, at ${((at - run.begun) / 1000).toFixed(1)} s`,
      ),
    ],
  };
}
