/** The cluster that a command is about: its store, and what of the config is this host's own. */
import { hostname, userInfo } from "node:os";
import { resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Command } from "commander";
import { type Config, readText } from "../control/config.ts";
import { LOCAL_PARTS } from "../control/config-schema.ts";
import { loadLocal, mergeConfig, type Named } from "../control/config-split.ts";
import { readYaml } from "../control/config-yaml.ts";
import { compileRules } from "../control/drop-rules.ts";
import { Failure } from "../control/failure.ts";
import { findRuntimeDir, readInstance } from "../control/instance.ts";
import type { ClusterKeys } from "../store/keys.ts";
import { openStore } from "../store/open-store.ts";
import { type Store, StoreAway, StoreRefused } from "../store/store.ts";
import type { Current } from "../store/wanted.ts";
import { withoutParts } from "../store/wanted-edit.ts";
import type { CliEnv } from "./env.ts";

export interface ClusterOptions {
  readonly config?: string;
  readonly instance?: string;
  readonly runtimeDir?: string;
}

/** Adds the options that name the cluster. */
export const clusterOptions = (command: Command): Command =>
  command
    .option("--config <file>", "config file on this host, which names cluster and store (default: that of the running instance)")
    .option("--instance <name>", "name of the instance (default: the only one there is)")
    .option("--runtime-dir <dir>", "its directory, when it is not /run/hafl/<instance>");

export interface Cluster {
  readonly name: string;
  /** The config file on this host. */
  readonly file: string;
  /** This host's own parts of it. */
  readonly own: Named;
  readonly store: Store;
  readonly keys: ClusterKeys;
  /** What is wanted, as errors name it. */
  readonly wanted: string;
  /** Whether hosts and the conductor tell each other what they do in the store. */
  readonly shared: boolean;
}

/** What somebody wants, read and checked. */
export interface Checked {
  /** The wanted parts as text. */
  readonly text: string;
  readonly config: Config;
}

/** Runs something with the cluster that the options name. A store that cannot be reached, or refuses, is a Failure. */
export async function withCluster<T>(options: ClusterOptions, run: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = await open(options);
  try {
    return await run(cluster);
  } catch (error) {
    const { message } = error as Error;
    const { name } = cluster.store;
    if (error instanceof StoreAway)
      throw new Failure(`store ${name}: cannot be reached: ${message} (see \`store\` in ${cluster.file})`);
    if (error instanceof StoreRefused) throw new Failure(`store ${name}: ${message}`);
    throw error;
  } finally {
    await cluster.store.close();
  }
}

async function open(options: ClusterOptions): Promise<Cluster> {
  const file = options.config ?? configOfInstance(options);
  const loaded = loadLocal(file);
  if ("errors" in loaded) throw new Failure(loaded.errors, 2);
  const { local, text } = loaded;
  const yaml = readYaml(text, file);
  const others = "errors" in yaml ? [] : Object.keys(yaml.raw).filter((part) => !LOCAL_PARTS.includes(part));
  const own = textOr(withoutParts(text, others), file);
  const shared = local.store.kind !== "file";
  const opened = await openStore(local, file);
  const wanted = shared ? opened.keys.wanted : file;
  return { name: local.cluster, file, own: { text: own, name: file }, wanted, shared, ...opened };
}

function configOfInstance({ instance, runtimeDir }: ClusterOptions): string {
  const dir = findRuntimeDir(runtimeDir, instance);
  const info = readInstance(dir);
  if (info === null) throw new Failure(`${dir}: no agent is running here (name the config file with --config)`);
  return resolve(info.config);
}

const textOr = (edited: { text: string } | { error: string }, file: string): string => {
  if ("text" in edited) return edited.text;
  throw new Failure(`${file}: ${edited.error}`, 2);
};

/** Reads the wanted parts as a config of this host. Throws a Failure with every error; what cannot be checked here is warned of. */
export function checkWanted(cluster: Cluster, text: string, name: string, env: CliEnv): Config {
  const merged = mergeConfig(cluster.own, { text, name });
  if ("errors" in merged) throw new Failure(merged.errors, 2);
  const { errors, missing } = compileRules(merged.config);
  if (errors.length > 0)
    throw new Failure(
      errors.map((line) => `${name}: ${line}`),
      2,
    );
  if (missing !== null) env.stderr.write(`${name}: warning: not checked: ${missing}\n`);
  return merged.config;
}

/** Reads a file that is to be wanted: it may hold a host's own parts as well if they are those of this host. Throws a Failure. */
export function readWish(cluster: Cluster, file: string, env: CliEnv): Checked {
  const read = readText(file);
  const yaml = "errors" in read ? read : readYaml(read.text, file);
  const own = readYaml(cluster.own.text, cluster.file);
  if ("errors" in read) throw new Failure(read.errors, 2);
  if ("errors" in yaml) throw new Failure(yaml.errors, 2);
  if ("errors" in own) throw new Failure(own.errors, 2);
  const others = Object.keys(yaml.raw).filter(
    (part) => LOCAL_PARTS.includes(part) && !isDeepStrictEqual(yaml.raw[part], own.raw[part]),
  );
  if (others.length > 0) {
    const remedy = `take it out, or change it in ${cluster.file} of each host`;
    throw new Failure(
      others.map(
        (part) =>
          `${file}: ${part}: is a part that each host has of its own, and differs from that in ${cluster.file} (${remedy})`,
      ),
      2,
    );
  }
  const text = textOr(withoutParts(read.text, LOCAL_PARTS), file);
  return { text, config: checkWanted(cluster, text, file, env) };
}

/** The config that is wanted now; null where nothing is, or nothing that can be used. */
export function configNow(cluster: Cluster, { record }: Current): Config | null {
  if (record === null) return null;
  const merged = mergeConfig(cluster.own, { text: record.config, name: cluster.wanted });
  return "config" in merged ? merged.config : null;
}

/** Who does it: `user@host`, also through sudo. */
export function whoIsIt(): string {
  let user = process.env.SUDO_USER;
  try {
    user ??= userInfo().username;
  } catch {
    // A user without a name.
  }
  return `${user ?? process.getuid?.() ?? "?"}@${hostname()}`;
}

/** Throws a Failure when what the store has is not what hosts go by: a change of it would move more than it says. */
export function requireForward(cluster: Cluster, { record, broken, applied, disputed }: Current): void {
  const remedy = "look at `hafl diff`; `hafl apply --force FILE` says what is to hold from here on";
  if (broken !== null) throw new Failure(`${broken} (${remedy})`);
  const change = record?.change ?? 0;
  if (applied > change) {
    const text = `is at change ${change}, but hosts have applied ${applied}: the store was turned back`;
    throw new Failure(`${cluster.wanted}: ${text} (${remedy})`);
  }
  if (disputed !== null) throw new Failure(`hosts refuse what the store has: ${disputed.replace(/ \(.*\)$/, "")} (${remedy})`);
}
