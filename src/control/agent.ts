/** The agent: makes this host a director and a target of its cluster, follows the config file, and leaves no trace. */
import type { Logger } from "pino";
import { formatPrefix } from "../wire/address.ts";
import { type AgentOptions, desiredOf, findPlace, type Place, requireMeans } from "./agent-place.ts";
import type { AgentView } from "./attendant.ts";
import { type Config, effectiveConfig, type Offloads } from "./config.ts";
import type { Wanted } from "./config-source.ts";
import { workersOf } from "./cpus.ts";
import { usableRules } from "./drop-rules.ts";
import { logTables } from "./events.ts";
import type { FitnessBoard } from "./fitness.ts";
import type { GivenPools } from "./generation-history.ts";
import { type Giver, HandoverServer } from "./handover.ts";
import { type Holdings, handOut, infoOf, openHoldings } from "./holdings.ts";
import { readHostState } from "./host-state.ts";
import { describeOffloads, findOffloads } from "./offloads.ts";
import type { EndStep } from "./orderly-end.ts";
import { PathWatch } from "./path-watch.ts";
import { addressChanges, type Desired, vipChanges } from "./plan.ts";
import type { PublishResult } from "./publish.ts";
import { reloadSteps } from "./reload-steps.ts";
import { ownPorts, refusedChanges, sameConfig, samePools, takenOver, trackedFlows } from "./running-config.ts";
import { remainder, tidy, transact } from "./transaction.ts";
import { WorkerPool } from "./worker-pool.ts";

/** What an agent that runs already does for the one that takes over from it, and how that one finds it. */
export interface Before {
  readonly config: Config;
  readonly desired: Desired;
  /** When its older generations leave the chains, ms since 1970. */
  readonly drainAt: number | null;
  /** Path MTUs in its tables. */
  readonly mtus: ReadonlyMap<string, number>;
}

export class Agent implements Giver {
  readonly #options: AgentOptions;
  readonly #log: Logger;
  readonly #place: Place;
  readonly #holdings: Holdings;
  #config: Config;
  /** Generations that were given; undefined: not known, those of the agent before. */
  #pools: GivenPools | null | undefined;
  #desired: Desired | null;
  #pool: WorkerPool | null = null;
  #death: string | null = null;
  #onDeath: (reason: string) => void = () => {};
  #onChange: (config: Config) => void = () => {};
  #server: HandoverServer | null = null;
  #drained: NodeJS.Timeout | undefined;
  #drainAt: number | null;
  #tried: Offloads<boolean> | null = null;
  readonly #paths: PathWatch;
  /** Whether the host is this process's to put back: not before it has taken over, and not after it has handed over. */
  #ours: boolean;
  /** Nothing may change while another process takes over; whether a change was asked for meanwhile. */
  #frozen = false;
  #asked = false;

  private constructor(options: AgentOptions, log: Logger, place: Place, holdings: Holdings, before: Before | null) {
    this.#options = options;
    this.#log = log;
    this.#place = place;
    this.#holdings = holdings;
    this.#config = before?.config ?? place.config;
    this.#desired = before?.desired ?? null;
    this.#drainAt = before?.drainAt ?? null;
    this.#pools = place.pools === null ? null : undefined;
    this.#ours = before === null;
    this.#paths = new PathWatch(place.host, log, before?.mtus ?? new Map());
  }

  /** Takes everything that can be refused; nothing of the host's network has changed afterwards. */
  static open(options: AgentOptions, log: Logger): Agent {
    const place = findPlace(options, readHostState());
    requireMeans(place);
    return new Agent(options, log, place, openHoldings(options, place, log), null);
  }

  /** An agent in the place of one that still runs, with all that it has. */
  static adopt(options: AgentOptions, log: Logger, place: Place, holdings: Holdings, before: Before): Agent {
    return new Agent(options, log, place, holdings, before);
  }

  /** Starts the workers and takes the VIPs over; `onDeath` is called if a worker dies later on. */
  async start(onDeath: (reason: string) => void): Promise<void> {
    this.#publish(this.#config, this.#place.pools);
    this.#pools = this.#place.pools;
    this.#options.source.taken([]);
    const pool = this.#startWorkers();
    pool.begin();
    // The threads load their code while this one runs `ip`.
    this.#desired = this.#holdings.network.setUp((state) => desiredOf(this.#place, state));
    await pool.running();
    this.#mind(onDeath);
    this.#watchRoutes();
  }

  /** A worker's death, also one before now, is the agent's from now on. */
  #mind(onDeath: (reason: string) => void): void {
    this.#onDeath = onDeath;
    if (this.#death !== null) onDeath(this.#death);
  }

  /** Tried once, when the workers are started. */
  get #offloads(): Offloads<boolean> {
    if (this.#tried === null) {
      const wanted = this.#place.config.io.offloads;
      this.#tried = findOffloads(wanted);
      this.#log.info(`many packets at a time: ${describeOffloads(wanted, this.#tried)}`);
    }
    return this.#tried;
  }

  #startWorkers(): WorkerPool {
    const { config, uplink } = this.#place;
    const { claim, descriptors } = this.#holdings;
    const { senders4, senders6, rawFd4, rawFd6 } = descriptors.set;
    const offloads = this.#offloads;
    const shared = {
      workers: descriptors.workers.length,
      runtimeDir: claim.dir,
      link: uplink.link,
      uplinkKind: config.io.mode === "tun" ? "tun" : "packet",
      senders4,
      senders6,
      rawFd4,
      rawFd6,
      guePort: config.gue.port,
      flows: trackedFlows(config),
      directorFlows: config.flowTable !== null,
      segmentation: offloads.sendTrains,
      coalesceTcp: offloads.joinTcp,
      coalesceUdp: offloads.joinUdp,
    };
    const { cpus, busyPollUs } = config.io;
    const cpuOf = (index: number): number => (cpus === null ? -1 : cpus[index % cpus.length]!);
    const options = descriptors.workers.map((own, index) => ({ ...shared, ...own, cpu: cpuOf(index), busyPollUs }));
    const died = (reason: string): void => {
      this.#death = reason;
      this.#onDeath(reason);
    };
    this.#pool = new WorkerPool(claim.dir, options, () => descriptors.wake(), died);
    return this.#pool;
  }

  /** Makes all ready to run in the place of the agent that still does. */
  async standBy(): Promise<void> {
    await this.#startWorkers().ready();
  }

  /**
   * Lets the workers run now that those of the other agent do not; `asked`: it has said so, else it is gone. Resolves with the time
   * when all did, ms of the monotonic clock. Throws when the other one has taken its place back.
   */
  async takePlace(asked: boolean): Promise<number> {
    const pool = this.#pool!;
    if (!asked) pool.begin();
    else if (!pool.beginAfter()) throw new Error("it did not wait any longer");
    const at = await pool.running();
    this.#holdings.claim.write(infoOf(this.#options, this.#place));
    return at;
  }

  /** Whether it is this agent's workers that may run. */
  get runs(): boolean {
    return this.#pool?.allowed ?? false;
  }

  /**
   * The other agent is gone for good: from now on this one does all that an agent does, and its own config counts. `onDeath` is called
   * if a worker has died meanwhile or dies later on.
   */
  settle(onDeath: (reason: string) => void): void {
    this.#ours = true;
    this.#mind(onDeath);
    const { drops, network } = this.#holdings;
    drops.resume();
    this.#watchRoutes();
    this.#drainBy(this.#drainAt);
    try {
      network.renew(this.#desired!);
    } catch (error) {
      this.#log.error({ err: error }, `the network stays as the agent before had set it up: ${(error as Error).message}`);
    }
    if (this.#pools === undefined || !sameConfig(this.#config, this.#place.config)) this.reload();
    else this.#options.source.taken([]);
  }

  /** Lets another process take over from now on; `handedOver` is called when one has. */
  listen(handedOver: () => void): void {
    this.#server = HandoverServer.listen(this.#holdings.claim.dir, this, this.#log, () => {
      this.#ours = false;
      handedOver();
    });
  }

  freeze(): ReturnType<Giver["freeze"]> {
    this.#frozen = true;
    clearTimeout(this.#drained);
    this.#paths.stop();
    const { instance, host, uplink } = this.#place;
    const { list, ...handed } = handOut(this.#holdings, this.#holdings.drops.suspend());
    const who = { pid: process.pid, instance, host: host.name, uplink: uplink.device };
    const state = { config: effectiveConfig(this.#config), drainAt: this.#drainAt, mtus: Object.fromEntries(this.#paths.mtus) };
    const offer = { ...who, table: this.#desired!.table, ...state, ...handed };
    return { offer, descriptors: list };
  }

  async pause(): ReturnType<Giver["pause"]> {
    const dropped = this.#holdings.descriptors.dropped();
    return { at: await this.#pool!.pause(), dropped };
  }

  goOn(): void {
    const { claim, drops } = this.#holdings;
    if (!this.runs) this.#pool!.begin();
    this.#frozen = false;
    drops.resume();
    try {
      claim.write(infoOf(this.#options, this.#place));
    } catch (error) {
      this.#log.error({ err: error }, `what others read of this agent may be wrong: ${(error as Error).message}`);
    }
    this.#watchRoutes();
    this.#drainBy(this.#drainAt);
    if (this.#asked) this.reload();
  }

  /** Packets that the kernel had no room for until now; null when it does not say. */
  get dropped(): number | null {
    return this.#holdings.descriptors.dropped();
  }

  get generation(): number {
    return this.#holdings.publisher.generation;
  }

  /** What those beside the data plane see of it. */
  view(board: FitnessBoard): AgentView {
    const [log, place, runtimeDir] = [this.#log, this.#place, this.#holdings.claim.dir];
    const now = { config: () => this.#config, network: () => this.#desired!, generation: () => this.generation };
    return { log, place, runtimeDir, board, ...now };
  }

  /** Who is told of each config that has become current. */
  onChange(changed: (config: Config) => void): void {
    this.#onChange = changed;
  }

  /** What the log says of a running agent. */
  get facts(): object {
    const { config, host, uplink, instance, mtu } = this.#place;
    const where = { instance, host: host.name, cluster: config.cluster, runtimeDir: this.#holdings.claim.dir, pid: process.pid };
    const how = { mode: config.io.mode, uplink: uplink.device, workers: workersOf(config.io), mtu, hosts: config.hosts.length };
    return { ...where, ...how, offloads: this.#offloads, vips: this.#desired?.vips.map(formatPrefix) };
  }

  /** Loads the config again and, if it is good, makes it the current one; else nothing changes but the log. */
  reload(): void {
    this.#asked = this.#frozen;
    if (this.#frozen) return;
    const { source } = this.#options;
    const { name: file } = source;
    const loaded = source.load();
    const errors = "errors" in loaded ? loaded.errors : refusedChanges(this.#config, loaded.config, this.#place.host.name, file);
    if ("errors" in loaded || errors.length > 0) {
      const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
      this.#log.error({ event: "config", file, errors }, `config refused, nothing changed: ${errors[0]}${more}`);
      source.taken(errors);
      return;
    }
    try {
      if (!sameConfig(this.#config, loaded.config)) this.#change(loaded);
      else if (!samePools(this.#pools, loaded.pools)) this.#steer(loaded.pools);
      else this.#log.info({ file }, "config read again: nothing changed in it");
      source.taken([]);
    } catch (error) {
      const { message } = error as Error;
      this.#log.error({ event: "config", file, err: error }, `config refused, ${remainder(error)}: ${message}`);
      source.taken([message]);
    }
  }

  /** Takes up generations of pools that were given. */
  #steer(pools: GivenPools | null): void {
    const result = this.#publish(this.#config, pools);
    this.#pools = pools;
    logTables(this.#log, result, { added: [], removed: [] }, []);
  }

  /** Adds before, removes after: at no time is there a VIP that the tables do not know or that is filtered out. */
  #change({ config, pools: given }: Wanted): void {
    const { network, drops, descriptors } = this.#holdings;
    const before = this.#desired!;
    const vips = takenOver(config);
    const after: Desired = { ...before, vips, egress: ownPorts(config, this.#place.host.name) };
    const { added, removed } = vipChanges(before.vips, vips);
    const { gained, lost, meanwhile } = addressChanges(before, after);
    const rules = (): ReturnType<typeof usableRules> => usableRules(config, this.#options.config);
    let result: PublishResult | undefined;
    transact([
      ...reloadSteps(this.#holdings, { before, after, added, gained, meanwhile, rules }),
      {
        what: "forwarding tables",
        apply: () => {
          result = this.#publish(config, given);
        },
        // Tables become current at the end of all that may fail.
        undo: () => undefined,
      },
    ]);
    this.#config = config;
    this.#pools = given;
    this.#desired = after;
    const problems = tidy([
      () => network.removeVips(removed),
      () => network.removeAddresses(lost),
      () => network.setPorts(after),
      () => descriptors.setFilter(vips),
      () => drops.tryCount(vips),
    ]);
    logTables(this.#log, result!, { added: added.map(formatPrefix), removed: removed.map(formatPrefix) }, problems);
    this.#onChange(config);
  }

  /** Publishes, and once more when the generations before have had their time and leave the chains. */
  #publish(config: Config, pools: GivenPools | null): PublishResult {
    this.#paths.read(config);
    const result = this.#write(config, pools);
    this.#drainBy(result.drainAt);
    return result;
  }

  #write(config = this.#config, pools = this.#pools ?? null): PublishResult {
    const { publisher, descriptors } = this.#holdings;
    const result = publisher.publish(config, this.#place.host.name, this.#paths.mtus, Date.now(), pools);
    descriptors.wake();
    return result;
  }

  #drainBy(at: number | null): void {
    clearTimeout(this.#drained);
    this.#drainAt = at;
    if (at === null) return;
    this.#drained = setTimeout(() => this.#drain(), Math.max(0, at - Date.now()));
    this.#drained.unref();
  }

  #watchRoutes(): void {
    this.#paths.start(
      () => this.#config,
      () => void this.#write(),
    );
  }

  #drain(): void {
    this.#drainAt = null;
    try {
      const { generation, drainAt } = this.#write();
      this.#drainBy(drainAt);
      const fields = { event: "table", generation };
      this.#log.info(fields, `generation ${generation}: drain time over, hosts that left are out of the chains`);
    } catch (error) {
      this.#log.error({ err: error }, `hosts that left stay in the chains: ${(error as Error).message}`);
    }
  }

  /** The end: workers stop, and the host is put back as it was unless another agent has it. `why` is said to one who takes over. */
  endSteps(why: string): EndStep[] {
    const { claim, drops, descriptors } = this.#holdings;
    return [
      { what: "end a takeover", work: () => this.#server?.close(why).finally(() => clearTimeout(this.#drained)) },
      { what: "stop watching routes", work: () => this.#paths.stop() },
      // VIPs go first, while there still is someone who takes the packets that are under way.
      { what: "put the network back", work: () => this.undo() },
      { what: "stop the workers", work: () => this.#pool?.stop() },
      { what: "stop counting drop rules", work: () => (this.#ours ? drops.close() : drops.leave()) },
      { what: "close the sockets", work: () => descriptors.close() },
      { what: "release the runtime directory", work: () => (this.#ours ? claim.release() : claim.leave()) },
    ];
  }

  /** Whether the host is this agent's to put back. */
  get owns(): boolean {
    return this.#ours;
  }

  /** Puts the host's network back as it was, at once, unless another agent has it; for when there is no time for more. */
  undo(): void {
    if (!this.#ours) return;
    try {
      const problems = this.#holdings.network.undo();
      if (problems.length > 0) this.#log.warn({ problems }, `not everything could be undone: ${problems[0]}`);
    } catch (error) {
      this.#log.error({ err: error }, `the network could not be put back: ${(error as Error).message} (run \`hafl down\`)`);
    }
  }
}
