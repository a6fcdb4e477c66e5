/** BGP in a lab, from host to router: who is announced when, and that nobody notices when a host goes in order. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parse, stringify } from "yaml";
import { MAX_PREFERENCE } from "../control/config-bgp.ts";
import { readInstance } from "../control/instance.ts";
import { readStatus } from "../control/status.ts";
import { guardLab } from "./guard.ts";
import { labDown, type Progress, raiseLab, recordProcess } from "./lab.ts";
import { birdOfHost, HOSTS_AS, waitRouted } from "./lab-bgp.ts";
import { labConfig } from "./lab-config.ts";
import { ended, spawnIn } from "./namespace.ts";
import { startAgent, startBird, stopProcess } from "./node-processes.ts";
import { pollFor } from "./poll.ts";
import { claimLab, configFile, type LabProcess, type LabState, logFile, replaceFile, runtimeDir } from "./state.ts";
import { failures, type SteadyLoad, slowDownloads, steadyLoad } from "./steady-load.ts";
import { hostNames, type LabSpec } from "./topology.ts";
import { expect, type Verdict, Verdicts } from "./verdicts.ts";

/** What a route may take to be withdrawn from a host that is not fit, ms. */
const WITHDRAWN_MS = 1_000;
/** How long anything else may take on a machine that is busy. */
const PATIENCE_MS = 20_000;
const CONCURRENCY = 2;
/** Downloads that are under way while a host stops. */
const DOWNLOADS = 6;
const DOWNLOAD_BYTES = 300_000;
const DOWNLOAD_RATE = 60_000;

export const bgpSpec = (name: string): LabSpec => ({
  name,
  hosts: 3,
  clients: 2,
  io: "af-packet",
  workers: 1,
  weights: [1, 1, 1],
  dips: "both",
  bgp: true,
});

class BgpScenario {
  #state: LabState;
  readonly #verdicts: Verdicts;
  readonly #hosts: readonly string[];

  constructor(state: LabState, verdicts: Verdicts) {
    this.#state = state;
    this.#verdicts = verdicts;
    this.#hosts = hostNames(state.spec);
  }

  get #spec(): LabSpec {
    return this.#state.spec;
  }

  async run(signal?: AbortSignal): Promise<void> {
    const load = steadyLoad(this.#spec, CONCURRENCY);
    try {
      await this.#verdicts.step("every host is announced, the router spreads packets over all", () => this.#spread());
      signal?.throwIfAborted();
      await this.#verdicts.step("a host of less preference stands by", () => this.#preference());
      signal?.throwIfAborted();
      await this.#verdicts.step("BIRD of s1 is killed and starts again", () => this.#birdKilled());
      signal?.throwIfAborted();
      await this.#verdicts.step("s3 stops under load", () => this.#stopped());
      signal?.throwIfAborted();
      await this.#verdicts.step("s3 comes back", () => this.#back());
      signal?.throwIfAborted();
    } finally {
      await load.stop();
    }
    await this.#verdicts.step("no request is lost in all of this", () => unharmed(load));
    await this.#verdicts.step("the agent of s2 is killed", () => this.#agentKilled());
    await this.#verdicts.step("the TUN of s1 goes down", () => this.#tunDown());
  }

  #process(node: string, role: LabProcess["role"]): LabProcess {
    return this.#state.processes.find((p) => p.node === node && p.role === role)!;
  }

  async #spread(): Promise<string> {
    const taken = (): number[] =>
      this.#hosts.map((host) =>
        readStatus(runtimeDir(this.#spec.name, host)).workers.reduce((sum, w) => sum + w.uplinkPackets, 0),
      );
    const before = taken();
    const all = await pollFor(() => (taken().every((n, i) => n - before[i]! > 20) ? taken() : null), PATIENCE_MS, 50);
    expect(all !== null, `packets from the router: ${taken().map((n, i) => `${this.#hosts[i]} ${n - before[i]!}`)}`);
    return `packets from the router: ${all!.map((n, i) => `${this.#hosts[i]} ${n - before[i]!}`).join(", ")}`;
  }

  /** Gives all agents a config in which hosts have other fields than before, and waits until they have it. */
  async #configure(fields: Readonly<Record<string, object>>): Promise<void> {
    const config = parse(labConfig(this.#spec)) as { hosts: { name: string }[]; bgp: object };
    config.hosts = config.hosts.map((host) => ({ ...host, ...fields[host.name] }));
    config.bgp = { ...config.bgp, as: HOSTS_AS };
    const running = this.#state.processes.filter(({ role }) => role === "agent").map(({ node }) => node);
    const generations = (): number[] => running.map((host) => readStatus(runtimeDir(this.#spec.name, host)).generation);
    const before = generations();
    replaceFile(configFile(this.#spec.name), stringify(config, { lineWidth: 0, aliasDuplicateObjects: false }));
    const all = await pollFor(() => (generations().every((g, i) => g > before[i]!) ? true : null), PATIENCE_MS);
    expect(all !== null, "not all agents took the config");
  }

  async #preference(): Promise<string> {
    await this.#configure({ s1: { preference: MAX_PREFERENCE - 2 } });
    const away = await waitRouted(this.#spec, undefined, ["s2", "s3"], PATIENCE_MS);
    await this.#configure({});
    const back = await waitRouted(this.#spec, undefined, this.#hosts, PATIENCE_MS);
    return `s1 without packets ${ms(away)} after the config, with packets again ${ms(back)} after the next`;
  }

  /** Kills BIRD, which leaves its neighbours without a word from it. */
  async #killBird(host: string): Promise<void> {
    await stopProcess(this.#spec.name, this.#process(host, "bird"), "SIGKILL");
  }

  async #startBird(host: string, restarting: boolean): Promise<void> {
    const bird = await startBird(this.#spec.name, host, birdOfHost(this.#spec.name, host, restarting));
    this.#state = recordProcess(this.#state, bird);
  }

  async #birdKilled(): Promise<string> {
    const log = logFile(this.#spec.name, "s1", "agent");
    await this.#killBird("s1");
    const gone = await waitRouted(this.#spec, undefined, ["s2", "s3"], PATIENCE_MS);
    const said = await pollFor(() => (readFileSync(log, "utf8").includes("BIRD is not running") ? true : null), PATIENCE_MS);
    expect(said !== null, "its agent does not say that BIRD is not running");
    await this.#startBird("s1", false);
    const back = await waitRouted(this.#spec, undefined, this.#hosts, PATIENCE_MS);
    return `its routes gone after ${ms(gone)}, there again ${ms(back)} after its start, the agent told both`;
  }

  /** Drained, so that nothing new begins on it; then it stops, while the router still sends it packets of connections with others. */
  async #stopped(): Promise<string> {
    // This one promises its neighbours that it will be back, and that they may go on sending meanwhile: not so when it leaves.
    await this.#killBird("s3");
    await waitRouted(this.#spec, undefined, ["s1", "s2"], PATIENCE_MS);
    await this.#startBird("s3", true);
    await waitRouted(this.#spec, undefined, this.#hosts, PATIENCE_MS);
    await this.#configure({ s3: { state: "draining" } });
    await sleep(500);
    const downloads = slowDownloads(this.#spec.name, "c1", DOWNLOADS, DOWNLOAD_BYTES, DOWNLOAD_RATE);
    await sleep(1_000);
    const agent = this.#process("s3", "agent");
    process.kill(agent.pid, "SIGTERM");
    const withdrawn = await waitRouted(this.#spec, undefined, ["s1", "s2"], PATIENCE_MS);
    const stopped = await stopProcess(this.#spec.name, agent);
    expect(stopped, `its agent did not end in order; its last line: ${lastLine(logFile(this.#spec.name, "s3", "agent"))}`);
    this.#state = { ...this.#state, processes: this.#state.processes.filter((p) => p !== agent) };
    const wrong = (await downloads).filter((text) => text !== "");
    expect(wrong.length === 0, `${wrong.length} of ${DOWNLOADS} downloads that were under way broke: ${wrong[0]}`);
    const [first, last] = this.#leaveTimes();
    await this.#killBird("s3");
    await waitRouted(this.#spec, undefined, ["s1", "s2"], PATIENCE_MS);
    return `withdrawn after ${ms(withdrawn)}, the VIPs gone ${ms(last - first)} later, ${DOWNLOADS} downloads went on; nothing of it at the router after its BIRD, which had announced graceful restart, was killed too`;
  }

  /** When the agent of s3 had withdrawn its routes, and when it had put the host back. */
  #leaveTimes(): [number, number] {
    const lines = readFileSync(logFile(this.#spec.name, "s3", "agent"), "utf8")
      .trim()
      .split("\n");
    const at = (text: string): number => {
      const line = lines.findLast((one) => one.includes(text));
      expect(line !== undefined, `the agent of s3 does not say "${text}"`);
      return Date.parse((JSON.parse(line!) as { time: string }).time);
    };
    return [at("routes: withdrawn"), at("stopped, the host's network")];
  }

  async #back(): Promise<string> {
    await this.#startBird("s3", false);
    const agent = await startAgent(this.#spec, "s3");
    // Its log begins with that of the agent before.
    const runs = await pollFor(() => readInstance(runtimeDir(this.#spec.name, "s3"))?.pid === agent.pid || null, PATIENCE_MS);
    expect(runs !== null, "its agent does not start");
    this.#state = recordProcess(this.#state, agent);
    await this.#configure({});
    await waitRouted(this.#spec, undefined, this.#hosts, PATIENCE_MS);
    return "announced and active again";
  }

  async #agentKilled(): Promise<string> {
    process.kill(this.#process("s2", "agent").pid, "SIGKILL");
    return `no packets from the router ${ms(await this.#soonOnly(["s1", "s3"]))} later: BIRD saw the TUN go`;
  }

  async #tunDown(): Promise<string> {
    const code = await ended(spawnIn(this.#spec.name, "s1", ["ip", "link", "set", "hafl-s1", "down"], { stdio: "ignore" }));
    expect(code === 0, "the TUN could not be set down");
    return `no packets from the router ${ms(await this.#soonOnly(["s3"]))} later`;
  }

  async #soonOnly(hosts: readonly string[]): Promise<number> {
    const took = await waitRouted(this.#spec, undefined, hosts, PATIENCE_MS);
    expect(took <= WITHDRAWN_MS, `only after ${ms(took)}`);
    return took;
  }
}

const ms = (n: number): string => `${n.toFixed(0)} ms`;

function unharmed({ results }: SteadyLoad): string {
  const wrong = failures(results);
  expect(results.length > 0, "there were no requests");
  expect(wrong.length === 0, `${wrong.length} of ${results.length} requests: ${wrong.slice(0, 3).join("; ")}`);
  return `${results.length} requests, slowest ${ms(Math.max(...results.map(({ took }) => took)))}`;
}

/** Raises a lab of its own, goes through it all, takes it down. Throws when the lab cannot be raised; what fails then is a verdict. */
export async function runBgpScenario(spec: LabSpec, progress: Progress, signal?: AbortSignal): Promise<readonly Verdict[]> {
  claimLab(spec.name);
  const guard = guardLab(spec.name);
  const verdicts = new Verdicts(progress);
  try {
    await new BgpScenario(await raiseLab(spec, progress, signal), verdicts).run(signal);
    return verdicts.list;
  } finally {
    progress("taking the lab down");
    await labDown(spec.name);
    await guard.release();
  }
}

const lastLine = (file: string): string => readFileSync(file, "utf8").trimEnd().split("\n").at(-1) ?? "";
