/** How soon many subscribers of one etcd know of a change: each follows the store as an agent does, with a connection of its own. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { hostClock } from "../shm/host-clock.ts";
import { EtcdStore } from "../store/etcd-store.ts";
import { clusterKeys } from "../store/keys.ts";
import { changeWanted, readCurrent } from "../store/wanted.ts";
import type { Told } from "./followers-worker.ts";
import { type Latencies, latencies } from "./latencies.ts";
import { withEtcd } from "./own-etcd.ts";

export interface FollowersOptions {
  readonly subscribers: number;
  readonly changes: number;
  readonly processes: number;
  /** Hosts of the config that is wanted. */
  readonly hosts: number;
}

const CLUSTER = "bench";
const SEED = "0123456789abcdef0123456789abcdef";
const WORKER = fileURLToPath(new URL("followers-worker.js", import.meta.url));
/** A change that not all have heard of within so long will not be. */
const PATIENCE_MS = 120_000;

/** A cluster of which one host has another weight. */
const config = (hosts: number, weight: number): string =>
  stringify(
    {
      hosts: Array.from({ length: hosts }, (_, i) => {
        return { name: `s${i + 1}`, dip: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, weight: i === 0 ? weight : 10 };
      }),
      services: [{ name: "web", vips: ["192.0.2.10"], ports: { tcp: [80, 443] } }],
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );

/** The next message of a process. Rejects when it ends instead, or says nothing for too long. */
async function next(worker: ChildProcess): Promise<Told> {
  const over = new AbortController();
  const late = setTimeout(() => over.abort(new Error("a process of subscribers says nothing")), PATIENCE_MS);
  const { signal } = over;
  const ended = once(worker, "exit", { signal }).then(() => Promise.reject(new Error("a process of subscribers has ended")));
  ended.catch(() => {});
  try {
    const [message] = await Promise.race([once(worker, "message", { signal }), ended]);
    return message as Told;
  } finally {
    clearTimeout(late);
    over.abort();
  }
}

/**
 * Changes what is wanted again and again. `seen`: from the call that writes it until a subscriber has it as good, of every subscriber and
 * change; `last`: until all have; `config`: making a config of it, which each host does by itself, and here each process once.
 */
export async function benchFollowers(
  { subscribers, changes, processes, hosts }: FollowersOptions,
  onRound: (round: number) => void,
  signal?: AbortSignal,
): Promise<Record<"seen" | "last" | "config", Latencies>> {
  const dir = mkdtempSync(join(tmpdir(), "hafl-followers-"));
  const file = join(dir, "own.yaml");
  const workers: ChildProcess[] = [];
  try {
    return await withEtcd(async (endpoint) => {
      writeFileSync(file, stringify({ cluster: CLUSTER, seed: SEED, store: { kind: "etcd", endpoints: [endpoint] } }));
      const store = new EtcdStore({
        endpoints: [endpoint],
        tls: { ca: null, cert: null, key: null },
        user: null,
        passwordFile: null,
      });
      const keys = clusterKeys(CLUSTER);
      const change = async (weight: number): Promise<void> => {
        const wish = { config: config(hosts, weight), who: "bench", why: "" };
        if ((await changeWanted(store, keys, await readCurrent(store, keys), wish)) === null)
          throw new Error("somebody else wrote");
      };
      await change(1);
      for (let i = 0; i < processes; i++) {
        const count = Math.floor(subscribers / processes) + (i < subscribers % processes ? 1 : 0);
        workers.push(fork(WORKER, [JSON.stringify({ endpoint, cluster: CLUSTER, count, file })]));
      }
      await Promise.all(workers.map(next));
      const [seen, last, loaded]: number[][] = [[], [], []];
      for (let round = 1; round <= changes; round++) {
        signal?.throwIfAborted();
        const told = Promise.all(workers.map(next));
        const begun = hostClock();
        await Promise.all([change(1 + round), told]);
        const all = (await told).flatMap((one) => ("seen" in one ? one.seen.map((at) => at - begun) : []));
        seen!.push(...all);
        last!.push(all.reduce((a, b) => Math.max(a, b)));
        loaded!.push(...(await told).flatMap((one) => ("seen" in one ? [one.loaded] : [])));
        onRound(round);
      }
      await store.close();
      return { seen: latencies(seen!), last: latencies(last!), config: latencies(loaded!) };
    }, signal);
  } finally {
    for (const worker of workers) worker.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
}
