/** The agent: makes this host a director and a target of its cluster, follows the config file, and leaves no trace. */
import { resolve } from "node:path";
import type { Logger } from "pino";
import { formatPrefix, type Prefix } from "../wire/address.ts";
import type { Config, HostConfig } from "./config.ts";
import { ConfigWatch } from "./config-watch.ts";
import { Descriptors } from "./descriptors.ts";
import { DropControl } from "./drop-control.ts";
import { usableRules } from "./drop-rules.ts";
import { Failure } from "./failure.ts";
import { type HostState, readHostState } from "./host-state.ts";
import { Claim, runtimeDirOf } from "./instance.ts";
import { Network } from "./network.ts";
import { requireNft } from "./nft.ts";
import { findUplink, outerMtu, ownHost, tunName } from "./own-place.ts";
import { mtuTo, type PathMtus, readPathMtus } from "./path-mtu.ts";
import { addressChanges, chooseTable, type Desired, formatStep, planSetup, vipChanges } from "./plan.ts";
import { requireCapabilities } from "./privileges.ts";
import { Publisher, type PublishResult } from "./publish.ts";
import { loadUsable, ownPorts, refusedChanges, sameConfig, takenOver, trackedFlows } from "./running-config.ts";
import { WorkerPool } from "./worker-pool.ts";

export interface AgentOptions {
  /** Path of the config file. */
  readonly config: string;
  /** Which host of the config this is; undefined: the one whose DIP this machine has. */
  readonly host: string | undefined;
  /** In place of io.uplink. */
  readonly uplink: string | undefined;
  /** undefined: the host's name. */
  readonly instance: string | undefined;
  readonly runtimeDir: string | undefined;
}

/** How often routes are looked at for path MTUs, ms. */
const PATHS_MS = 5_000;

/** Who and where the agent is: all that follows from config, options and the host's state. */
interface Place {
  readonly config: Config;
  readonly host: HostConfig;
  readonly instance: string;
  readonly uplink: ReturnType<typeof findUplink>;
  readonly mtu: number;
}

function findPlace(options: AgentOptions, state: HostState): Place {
  const loaded = loadUsable(options.config);
  if ("errors" in loaded) throw new Failure(loaded.errors, 2);
  const { config } = loaded;
  const host = ownHost(config, options.config, options.host, state);
  const uplink = findUplink(config, options.config, options.uplink, host, state);
  return { config, host, uplink, instance: options.instance ?? host.name, mtu: outerMtu(host, state) };
}

const desiredOf = ({ config, host, uplink, instance }: Place, state: HostState): Desired => ({
  mode: config.io.mode,
  uplink: uplink.device,
  tun: tunName(instance),
  table: chooseTable(instance, state),
  vips: takenOver(config),
  egress: ownPorts(config, host.name),
});

/** The commands that would set up this host's network, in order. Throws a Failure. */
export function dryRun(options: AgentOptions): string[] {
  const state = readHostState();
  const desired = desiredOf(findPlace(options, state), state);
  const tun = `ip tuntap add dev ${desired.tun} mode tun multi_queue vnet_hdr  # by the agent itself: it goes away with it`;
  return [tun, ...planSetup(desired, state).flatMap(({ apply }) => (apply === null ? [] : formatStep(apply)))];
}

class Agent {
  readonly #options: AgentOptions;
  readonly #log: Logger;
  readonly #place: Place;
  readonly #claim: Claim;
  readonly #network: Network;
  readonly #drops: DropControl;
  readonly #descriptors: Descriptors;
  readonly #publisher: Publisher;
  #config: Config;
  #desired: Desired | null = null;
  #pool: WorkerPool | null = null;
  #drained: NodeJS.Timeout | undefined;
  #mtus: PathMtus = new Map();
  #paths: NodeJS.Timeout | undefined;

  /** Takes everything that can be refused; nothing of the host's network has changed afterwards. */
  constructor(options: AgentOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
    this.#place = findPlace(options, readHostState());
    const { config, host, instance, uplink } = this.#place;
    this.#config = config;
    requireCapabilities();
    if (ownPorts(config, host.name).some(({ ranges }) => ranges.length > 0)) requireNft();
    this.#claim = Claim.take(options.runtimeDir ?? runtimeDirOf(instance));
    try {
      this.#claim.write({
        instance,
        host: host.name,
        pid: process.pid,
        cluster: config.cluster,
        config: resolve(options.config),
        started: new Date().toISOString(),
      });
      this.#network = new Network(this.#claim.dir);
      if (this.#network.dirty) log.info("an agent that died had left its rules and addresses: they are taken over as they are");
      const wiring = {
        file: options.config,
        instance,
        mode: config.io.mode,
        uplink: uplink.device,
        link: uplink.link,
        tun: tunName(instance),
        workers: config.io.workers,
      };
      const vips = takenOver(config);
      this.#drops = new DropControl({ ...wiring, runtimeDir: this.#claim.dir });
      this.#drops.use(usableRules(config, options.config), vips);
      const filter = (prefixes: readonly Prefix[]): Uint8Array => this.#drops.filter(prefixes);
      this.#descriptors = new Descriptors({ ...wiring, dips: host.dips, guePort: config.gue.port, vips, filter });
    } catch (error) {
      this.#claim.release();
      throw error;
    }
    try {
      this.#drops.count(takenOver(config));
      this.#publisher = Publisher.open(this.#claim.dir, config.io.workers, trackedFlows(config));
    } catch (error) {
      this.#drops.close();
      this.#descriptors.close();
      this.#claim.release();
      throw error;
    }
  }

  /** Starts the workers and takes the VIPs over. Resolves with the generation; `onDeath` is called if a worker dies later on. */
  async start(onDeath: (reason: string) => void): Promise<number> {
    const { config, uplink } = this.#place;
    const { dir } = this.#claim;
    const result = this.#publish(config);
    const { workers, senders4, senders6, rawFd4, rawFd6 } = this.#descriptors;
    const shared = {
      workers: workers.length,
      runtimeDir: dir,
      link: uplink.link,
      uplinkKind: config.io.mode === "tun" ? "tun" : "packet",
      senders4,
      senders6,
      rawFd4,
      rawFd6,
      guePort: config.gue.port,
      flows: trackedFlows(config),
      directorFlows: config.flowTable !== null,
    };
    let started = false;
    this.#pool = new WorkerPool(
      workers.map((own, index) => ({ ...shared, ...own, index })),
      (reason) => started && onDeath(reason),
    );
    // The threads load their code while this one runs `ip`.
    this.#desired = this.#network.setUp((state) => desiredOf(this.#place, state));
    await this.#pool.ready();
    started = true;
    this.#paths = setInterval(() => this.#watchPaths(), PATHS_MS);
    this.#paths.unref();
    return result.generation;
  }

  /** What the log says of a running agent. */
  get facts(): object {
    const { config, host, uplink, instance, mtu } = this.#place;
    const where = { instance, host: host.name, cluster: config.cluster, runtimeDir: this.#claim.dir, pid: process.pid };
    const how = { mode: config.io.mode, uplink: uplink.device, workers: config.io.workers, mtu, hosts: config.hosts.length };
    return { ...where, ...how, vips: this.#desired?.vips.map(formatPrefix) };
  }

  /** Reads the config file again and, if it is good, makes it the current one; else nothing changes but the log. */
  reload(): void {
    const file = this.#options.config;
    const loaded = loadUsable(file);
    const errors = "errors" in loaded ? loaded.errors : refusedChanges(this.#config, loaded.config, this.#place.host.name, file);
    if ("errors" in loaded || errors.length > 0) {
      const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
      this.#log.error({ file, errors }, `config refused, nothing changed: ${errors[0]}${more}`);
      return;
    }
    if (sameConfig(this.#config, loaded.config)) {
      this.#log.info({ file }, "config read again: nothing changed in it");
      return;
    }
    try {
      this.#change(loaded.config);
    } catch (error) {
      this.#log.error({ file, err: error }, `config refused, nothing changed: ${(error as Error).message}`);
    }
  }

  /** Adds before, removes after: at no time is there a VIP that the tables do not know or that is filtered out. */
  #change(config: Config): void {
    const before = this.#desired!;
    const vips = takenOver(config);
    const after: Desired = { ...before, vips, egress: ownPorts(config, this.#place.host.name) };
    const { added, removed } = vipChanges(before.vips, vips);
    const { gained, lost, meanwhile } = addressChanges(before, after);
    const rulesBefore = this.#drops.rules;
    let result: PublishResult;
    try {
      this.#descriptors.setFilter([...before.vips, ...added]);
      this.#network.setPorts(meanwhile);
      this.#network.addVips(added, after);
      this.#network.addAddresses(gained);
      this.#drops.use(usableRules(config, this.#options.config), [...before.vips, ...added]);
      result = this.#publish(config);
    } catch (error) {
      this.#drops.use(rulesBefore, before.vips);
      this.#network.removeVips(added);
      this.#network.removeAddresses(gained);
      this.#network.setPorts(before);
      this.#descriptors.setFilter(before.vips);
      throw error;
    }
    this.#config = config;
    this.#desired = after;
    const problems = [...this.#network.removeVips(removed), ...this.#network.removeAddresses(lost)];
    this.#network.setPorts(after);
    this.#descriptors.setFilter(vips);
    problems.push(...this.#drops.tryCount(vips));
    const { generation, movedBuckets, buckets, pools } = result;
    const changes = { added: added.map(formatPrefix), removed: removed.map(formatPrefix) };
    const moves = pools.map(
      ({ name, moved, share }) => `${name} ${moved} of ${buckets} buckets moved (${(share * 100).toFixed(2)} %)`,
    );
    this.#log.info(
      { generation, movedBuckets, buckets, pools, vips: changes, problems: problems.length > 0 ? problems : undefined },
      `generation ${generation}: ${moves.join(", ") || "no pools"}`,
    );
  }

  /** Publishes, and once more when the generations before have had their time and leave the chains. */
  #publish(config: Config): PublishResult {
    this.#mtus = readPathMtus(config, this.#place.host);
    const result = this.#publisher.publish(config, this.#place.host.name, this.#mtus);
    this.#descriptors.wake();
    clearTimeout(this.#drained);
    this.#drained = setTimeout(() => this.#drain(), (config.table.drainSeconds + 1) * 1000);
    this.#drained.unref();
    return result;
  }

  /** Takes up what has changed of the routes to other hosts. */
  #watchPaths(): void {
    try {
      const mtus = readPathMtus(this.#config, this.#place.host);
      const changed = [...mtus].filter(([host, mtu]) => mtuTo(this.#mtus, host) !== mtu);
      if (changed.length === 0) return;
      this.#mtus = mtus;
      this.#publisher.publish(this.#config, this.#place.host.name, mtus);
      this.#descriptors.wake();
      this.#log.info({ mtus: Object.fromEntries(changed) }, `path MTU of ${changed.length} hosts changed`);
    } catch (error) {
      this.#log.warn({ err: error }, `path MTUs stay what they were: ${(error as Error).message}`);
    }
  }

  #drain(): void {
    try {
      const { generation } = this.#publisher.publish(this.#config, this.#place.host.name, this.#mtus);
      this.#descriptors.wake();
      this.#log.info({ generation }, `generation ${generation}: drain time over, hosts that left are out of the chains`);
    } catch (error) {
      this.#log.error({ err: error }, `hosts that left stay in the chains: ${(error as Error).message}`);
    }
  }

  /** Stops the workers and puts the host back as it was. Never throws. */
  async stop(): Promise<void> {
    clearTimeout(this.#drained);
    clearInterval(this.#paths);
    // VIPs go first, while there still is someone who takes the packets that are under way.
    this.undo();
    await this.#pool?.stop(() => {
      this.#publisher.stop();
      this.#descriptors.wake();
    });
    this.#drops.close();
    this.#descriptors.close();
    this.#claim.release();
  }

  /** Puts the host's network back as it was, at once; for when there is no time for more. */
  undo(): void {
    try {
      const problems = this.#network.undo();
      if (problems.length > 0) this.#log.warn({ problems }, `not everything could be undone: ${problems[0]}`);
    } catch (error) {
      this.#log.error({ err: error }, `the network could not be put back: ${(error as Error).message} (run \`hafl down\`)`);
    }
  }
}

/**
 * Runs an agent until it is told to stop (SIGINT, SIGTERM) or cannot go on. Resolves with the exit code; throws a Failure
 * when it does not get as far as being ready, with the host's network as it was.
 */
export async function runAgent(options: AgentOptions, log: Logger): Promise<number> {
  let end: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    end = resolve;
  });
  let agent: Agent | null = null;
  // What is asked for while the agent starts is done when it has started.
  let [ready, asked] = [false, false];
  const reload = (): void => {
    if (ready) agent?.reload();
    else asked = true;
  };
  const signals: Record<string, () => void> = { SIGINT: () => end(0), SIGTERM: () => end(0), SIGHUP: reload };
  const crash = (error: Error): void => {
    log.fatal({ err: error }, `unexpected: ${error.message}`);
    agent?.undo();
    process.exit(1);
  };
  for (const [signal, handler] of Object.entries(signals)) process.on(signal, handler);
  process.on("uncaughtException", crash);
  // Watched from before it is read: no change is missed.
  const watch = new ConfigWatch(options.config, reload);
  try {
    agent = new Agent(options, log);
    const generation = await agent.start((reason) => {
      log.fatal(reason);
      end(1);
    });
    ready = true;
    watch.onFailure((error) =>
      log.warn({ err: error }, `the config file is not watched, send SIGHUP after changes: ${error.message}`),
    );
    log.info({ ready: true, ...agent.facts, generation }, "ready");
    if (asked) reload();
    const code = await ended;
    log.info({ code }, "stopping");
    return code;
  } finally {
    watch.close();
    await agent?.stop();
    for (const [signal, handler] of Object.entries(signals)) process.off(signal, handler);
    process.off("uncaughtException", crash);
    if (agent !== null) log.info("stopped, the host's network is as it was");
  }
}
