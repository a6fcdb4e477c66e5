/** The cluster lab while it is up: its processes and records, and what can be done to them. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { readInstance } from "../../control/instance.ts";
import { readStatus } from "../../control/status.ts";
import { type ClusterKeys, clusterKeys } from "../../store/keys.ts";
import { type RecordName, type RecordOf, readRecord } from "../../store/records.ts";
import { CHURN_PORT } from "../churn-session.ts";
import { LabEtcd } from "../etcd.ts";
import type { Progress } from "../lab.ts";
import { startBirds, waitRouted } from "../lab-bgp.ts";
import { nodeProgram, runScript, spawnDaemon } from "../namespace.ts";
import { startServer, stopProcess, waitReady } from "../node-processes.ts";
import { pollFor } from "../poll.ts";
import { birdSocket, configFile, type LabProcess, labDir, logFile, replaceFile, runtimeDir, writeState } from "../state.ts";
import { addressOf, hostNames, type LabSpec, memberNames, namespaceOf, storePort, VIP } from "../topology.ts";
import { ownConfig, wantedConfig } from "./cluster-config.ts";

const PATIENCE_MS = 30_000;
/** `ip netns exec` has a /sys of its own, without control groups: agents measure load by those of the machine. */
const MACHINE: readonly string[] = ["nsenter", `--mount=/proc/${process.pid}/ns/mnt`];
const CLOCK = new URL("moved-clock.js", import.meta.url);

/** What a lab of this kind wants at first, and what serves it on its hosts. */
export interface ClusterWants {
  readonly wanted: string;
  /** Starts the servers of a host, and waits until they are ready. */
  readonly serve: (host: string) => Promise<readonly LabProcess[]>;
}

/** What of a host's network can be cut. */
export type Cut = "store" | "peers" | "all";

export class ClusterLab {
  readonly spec: LabSpec;
  readonly hosts: readonly string[];
  readonly etcd: LabEtcd;
  readonly keys: ClusterKeys;
  readonly #wants: ClusterWants;
  #processes: LabProcess[] = [];

  private constructor(spec: LabSpec, wants: ClusterWants) {
    this.spec = spec;
    this.#wants = wants;
    this.hosts = hostNames(spec);
    this.etcd = new LabEtcd(spec);
    this.keys = clusterKeys(spec.name);
  }

  /** Raises it in a directory that is claimed. What there is of it when this fails is to be taken down. */
  static async raise(
    spec: LabSpec,
    progress: Progress,
    signal?: AbortSignal,
    wants: ClusterWants = { wanted: wantedConfig(spec), serve: (host) => startServers(spec, host) },
  ): Promise<ClusterLab> {
    const lab = new ClusterLab(spec, wants);
    progress(`network: router, ${spec.clients} clients, ${spec.hosts} hosts, ${spec.members} members of etcd`);
    const vips = spec.bgp === true ? [] : Object.values(VIP);
    await runScript("lab-up.sh", [spec.name, String(spec.hosts), String(spec.clients), ...vips]);
    await runScript("lab-store.sh", [spec.name, String(spec.hosts), String(spec.members)]);
    await lab.etcd.start();
    replaceFile(configFile(spec.name), ownConfig(spec, lab.etcd.endpoints));
    signal?.throwIfAborted();
    progress(`what is wanted goes into the store; ${spec.bgp === true ? "BIRD, " : ""}conductors, agents and servers start`);
    await lab.apply(wants.wanted, "the beginning");
    if (spec.bgp === true) lab.#keep(...(await startBirds(spec)));
    await Promise.all(memberNames(spec).map((member) => lab.startConductor(member)));
    const starts = lab.hosts.flatMap((host) => [lab.startAgent(host), lab.startServers(host)]);
    await Promise.all(starts);
    if (spec.bgp === true) await waitRouted(spec, signal);
    return lab;
  }

  #keep(...processes: readonly LabProcess[]): void {
    const place = ({ node, role }: LabProcess): string => `${node} ${role}`;
    const kept = new Map([...this.#processes, ...processes].map((one) => [place(one), one]));
    this.#processes = [...kept.values()];
    writeState({ spec: this.spec, processes: this.#processes });
  }

  process(node: string, role: LabProcess["role"]): LabProcess {
    const found = this.#processes.find((one) => one.node === node && one.role === role);
    if (found === undefined) throw new Error(`there is no ${role} on ${node}`);
    return found;
  }

  /** A program of ours whose clock can be moved. */
  async #start(node: string, role: LabProcess["role"], args: readonly string[]): Promise<LabProcess> {
    const environment = [`NODE_OPTIONS=--import=${CLOCK.href}`, `HAFL_LAB_CLOCK=${this.clockFile(node)}`];
    const command = [...MACHINE, "env", ...environment, ...nodeProgram("cli/main.ts", args)];
    const pid = await spawnDaemon(this.spec.name, node, command, logFile(this.spec.name, node, role));
    const started: LabProcess = { node, role, pid };
    this.#keep(started);
    return started;
  }

  clockFile(node: string): string {
    return join(labDir(this.spec.name), `${node}.clock`);
  }

  /** Starts the agent of a host, and waits until it is ready; it may be one of several that ran there. */
  async startAgent(host: string, more: readonly string[] = []): Promise<void> {
    const dir = runtimeDir(this.spec.name, host);
    const where = ["--config", configFile(this.spec.name), "--host", host, "--runtime-dir", dir];
    const bird = this.spec.bgp === true ? ["--bird", birdSocket(this.spec.name, host)] : [];
    const agent = await this.#start(host, "agent", ["run", ...where, ...bird, ...more]);
    const log = logFile(this.spec.name, host, "agent");
    const ready = (): true | null =>
      readInstance(dir)?.pid === agent.pid && this.says(host, "agent", '"ready":true', agent.pid) ? true : null;
    if ((await pollFor(ready, PATIENCE_MS, 20)) === null) throw new Error(`the agent of ${host} did not get ready (${log})`);
  }

  /** Whether a line of the log of a process has a text; `pid`: in a line that names that process. */
  says(node: string, role: LabProcess["role"], text: string, pid: number | null = null): boolean {
    const log = logFile(this.spec.name, node, role);
    if (!existsSync(log)) return false;
    const lines = readFileSync(log, "utf8").split("\n");
    return lines.some((line) => line.includes(text) && (pid === null || line.includes(`"pid":${pid}`)));
  }

  async startConductor(node: string): Promise<void> {
    await this.#start(node, "conductor", ["conductor", "--config", configFile(this.spec.name), "--name", node]);
  }

  async startServers(host: string): Promise<void> {
    this.#keep(...(await this.#wants.serve(host)));
  }

  async end(node: string, role: LabProcess["role"], signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
    await stopProcess(this.spec.name, this.process(node, role), signal);
  }

  /** Cuts a host off, or puts it back. */
  async cut(host: string, what: Cut): Promise<void> {
    if (what !== "peers") await this.#link(storePort(host), "down");
    if (what === "all") await this.#link(host, "down");
    if (what !== "peers") return;
    const others = this.hosts.filter((one) => one !== host);
    const [v4, v6] = [others.map((one) => addressOf(one, 4)), others.map((one) => addressOf(one, 6))];
    const chain = (hook: string, at: string): string =>
      `chain ${hook} {\n type filter hook ${hook} priority -300;\n ip ${at} { ${v4.join(", ")} } drop;\n ip6 ${at} { ${v6.join(", ")} } drop;\n}`;
    const table = `table inet cut {\n${chain("input", "saddr")}\n${chain("output", "daddr")}\n}`;
    await this.exec(host, ["nft", table]);
  }

  async heal(host: string, what: Cut): Promise<void> {
    if (what === "peers") await this.exec(host, ["nft", "delete table inet cut"]);
    if (what !== "peers") await this.#link(storePort(host), "up");
    if (what === "all") await this.#link(host, "up");
  }

  async #link(port: string, state: "up" | "down"): Promise<void> {
    await this.exec("r", ["ip", "link", "set", port, state]);
  }

  /** Runs a program on a node; gives what it prints. Rejects with what it says when it fails. */
  async exec(node: string, command: readonly string[]): Promise<string> {
    const line = ["netns", "exec", namespaceOf(this.spec.name, node), ...command];
    return (await promisify(execFile)("ip", line, { maxBuffer: 1 << 24 })).stdout;
  }

  /** Runs `hafl` on a member's node, with the lab's config. */
  hafl(...args: string[]): Promise<string> {
    return this.exec("e1", [...nodeProgram("cli/main.ts", args), "--config", configFile(this.spec.name)]);
  }

  async apply(config: string, why: string, more: readonly string[] = []): Promise<void> {
    const file = join(labDir(this.spec.name), "wanted.yaml");
    replaceFile(file, config);
    await this.hafl("apply", file, "-m", why, ...more);
  }

  /** Records of a kind below a prefix, by the last part of their keys. */
  async records<N extends RecordName>(name: N, prefix: string): Promise<Map<string, RecordOf<N>>> {
    const found = new Map<string, RecordOf<N>>();
    for (const [key, value] of await this.etcd.get(prefix)) {
      const read = readRecord(name, key, value);
      if ("record" in read) found.set(key.split("/").at(-1)!, read.record);
    }
    return found;
  }

  /** Who conducts; null: nobody. */
  async conductor(): Promise<string | null> {
    return (await this.records("conductor", this.keys.conductor)).get("conductor")?.host ?? null;
  }

  /** Hosts with a weight in the newest generation of the churn service, as the store has it. */
  async serving(): Promise<string[]> {
    const generations = (await this.records("generations", this.keys.generations("churn"))).get("churn")?.generations;
    return (generations?.[0]?.hosts ?? []).filter(({ weight, gone }) => weight > 0 && !gone).map(({ name }) => name);
  }

  /** Generation of the tables of a host's agent. */
  tables(host: string): number {
    return readStatus(runtimeDir(this.spec.name, host)).generation;
  }

  /** Waits until it is so; gives how long that took, ms. Throws with `what` when it does not come to it. */
  async until(what: string, so: () => Promise<boolean> | boolean, ms = PATIENCE_MS): Promise<number> {
    const begun = performance.now();
    const done = await pollFor(async () => ((await so()) ? true : null), ms, 50);
    if (done === null) throw new Error(`not within ${(ms / 1000).toFixed(0)} s: ${what}`);
    return performance.now() - begun;
  }
}

async function startServers(spec: LabSpec, host: string): Promise<readonly LabProcess[]> {
  const program = nodeProgram("lab/churn-server.ts", [host, String(CHURN_PORT), ...Object.values(VIP)]);
  const log = logFile(spec.name, host, "churn");
  const [server, pid] = await Promise.all([startServer(spec, host), spawnDaemon(spec.name, host, program, log)]);
  const started: readonly LabProcess[] = [server, { node: host, role: "churn", pid }];
  await Promise.all(started.map((one) => waitReady(spec.name, one)));
  return started;
}
