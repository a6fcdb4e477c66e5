/** An etcd cluster in a lab: one member on each of its store nodes. */
import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { spawnDaemon } from "./namespace.ts";
import { stopProcess } from "./node-processes.ts";
import { pollFor } from "./poll.ts";
import { type LabProcess, labDir, logFile } from "./state.ts";
import { type LabSpec, memberAddress, memberNames, namespaceOf } from "./topology.ts";

const CLIENT_PORT = 2379;
const PEER_PORT = 2380;
const READY_MS = 30_000;

export const endpointOf = (member: string): string => `http://${memberAddress(member)}:${CLIENT_PORT}`;
const peerOf = (member: string): string => `http://${memberAddress(member)}:${PEER_PORT}`;

const run = promisify(execFile);

export class LabEtcd {
  readonly #lab: string;
  readonly members: readonly string[];
  /** Counts the times that it was restored: each has data and a cluster of its own. */
  #life = 0;
  #processes: LabProcess[] = [];

  constructor(spec: Pick<LabSpec, "name" | "members">) {
    this.#lab = spec.name;
    this.members = memberNames(spec);
  }

  get endpoints(): string[] {
    return this.members.map(endpointOf);
  }

  get #cluster(): string {
    return this.members.map((member) => `${member}=${peerOf(member)}`).join(",");
  }

  #data(member: string): string {
    return join(labDir(this.#lab), `${member}.etcd${this.#life}`);
  }

  /** Starts all members, with the data they have, and waits until they answer. */
  async start(): Promise<void> {
    this.#processes = await Promise.all(this.members.map((member) => this.#startMember(member)));
    const healthy = await pollFor(
      () =>
        this.ctl("endpoint", "health").then(
          () => true,
          () => null,
        ),
      READY_MS,
      100,
    );
    if (healthy === null) throw new Error(`etcd did not get ready (${logFile(this.#lab, "e1", "etcd")})`);
  }

  async #startMember(member: string): Promise<LabProcess> {
    const near = endpointOf(member);
    const line = [
      ...["etcd", "--name", member, "--data-dir", this.#data(member), "--initial-cluster-token", `${this.#lab}-${this.#life}`],
      ...["--listen-client-urls", near, "--advertise-client-urls", near, "--initial-cluster", this.#cluster],
      ...["--listen-peer-urls", peerOf(member), "--initial-advertise-peer-urls", peerOf(member)],
    ];
    const pid = await spawnDaemon(this.#lab, member, line, logFile(this.#lab, member, "etcd"));
    return { node: member, role: "etcd", pid };
  }

  /** Ends all members as a power cut would. */
  async kill(): Promise<void> {
    await Promise.all(this.#processes.map((member) => stopProcess(this.#lab, member, "SIGKILL")));
  }

  /** Runs etcdctl against all members; gives what it prints. Rejects when it fails. */
  async ctl(...args: string[]): Promise<string> {
    const options = { env: { ...process.env, ETCDCTL_API: "3" }, maxBuffer: 1 << 26 };
    const where = ["netns", "exec", namespaceOf(this.#lab, this.members[0]!), "etcdctl", "--endpoints", this.endpoints.join(",")];
    return (await run("ip", [...where, ...args], options)).stdout;
  }

  /** The values below a prefix, by key, as the store has them now. */
  async get(prefix: string): Promise<Map<string, string>> {
    const text = await this.ctl("get", "--prefix", prefix, "-w", "json");
    const { kvs } = JSON.parse(text) as { kvs?: { key: string; value: string }[] };
    const plain = (base64: string): string => Buffer.from(base64, "base64").toString();
    return new Map((kvs ?? []).map(({ key, value }) => [plain(key), plain(value)]));
  }

  /** Saves what the first member has in a file. */
  async snapshot(file: string): Promise<void> {
    rmSync(file, { force: true });
    const options = { env: { ...process.env, ETCDCTL_API: "3" } };
    const where = ["netns", "exec", namespaceOf(this.#lab, this.members[0]!), "etcdctl", "--endpoints", this.endpoints[0]!];
    await run("ip", [...where, "snapshot", "save", file], options);
  }

  /** Makes the members, which must not run, those of a new cluster with the content of a snapshot. */
  async restore(file: string): Promise<void> {
    this.#life++;
    for (const member of this.members) {
      const names = ["--name", member, "--data-dir", this.#data(member), "--initial-cluster-token", `${this.#lab}-${this.#life}`];
      const peers = ["--initial-cluster", this.#cluster, "--initial-advertise-peer-urls", peerOf(member)];
      const options = { env: { ...process.env, ETCDCTL_API: "3" } };
      await run("etcdctl", ["snapshot", "restore", file, ...names, ...peers], options);
    }
  }
}
