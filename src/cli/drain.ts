/** `hafl drain`, `undrain` and `weight`: small changes of what is wanted of one host, and seeing a drain through. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { Config, HostConfig } from "../control/config.ts";
import { mergeConfig } from "../control/config-split.ts";
import { Failure } from "../control/failure.ts";
import { closest } from "../control/suggest.ts";
import type { WantedRecord } from "../store/records.ts";
import { readHistory } from "../store/wanted.ts";
import { type Edited, editHost, editPool, type Field } from "../store/wanted-edit.ts";
import { writeEdit } from "./change.ts";
import { type Cluster, type ClusterOptions, checkWanted, clusterOptions, withCluster } from "./cluster.ts";
import { type Left, leftOn } from "./drain-left.ts";
import { duration, durationText } from "./durations.ts";
import type { CliEnv } from "./env.ts";
import { interruptible } from "./interruptible.ts";
import { whole } from "./numbers.ts";
import { Patience } from "./patience.ts";

interface Options extends ClusterOptions {
  readonly message?: string;
  readonly for?: number;
  readonly wait: boolean;
  readonly service?: string;
  readonly json?: true;
}

const LOOK_MS = 1000;

function hostOf(config: Config, name: string, where: string): HostConfig {
  const host = config.hosts.find((one) => one.name === name);
  if (host !== undefined) return host;
  const names = config.hosts.map((one) => one.name);
  const meant = closest(name, names);
  throw new Failure(
    `${where}: no host is named "${name}" (${meant === null ? "see hafl hosts" : `did you mean "${meant}"?`})`,
    2,
  );
}

/** The edited document, which is a good config. */
function good(cluster: Cluster, edited: Edited, env: CliEnv): string {
  if ("error" in edited) throw new Failure(`${cluster.wanted}: ${edited.error}`);
  checkWanted(cluster, edited.text, cluster.wanted, env);
  return edited.text;
}

/** Has a host get no new flows. Gives the change, and for how long the host stays in the chains. */
async function startDrain(
  cluster: Cluster,
  name: string,
  options: Options,
  env: CliEnv,
): Promise<{ record: WantedRecord; changed: boolean; drainSeconds: number }> {
  let drainSeconds = 0;
  const why = `drain ${name}${options.message === undefined ? "" : `: ${options.message}`}`;
  const done = await writeEdit(cluster, why, async ({ record, config }) => {
    const host = hostOf(config, name, cluster.wanted);
    if (host.state === "down")
      throw new Failure(`${name}: is down, it has nothing to drain (hafl undrain ${name} brings it back)`);
    const usual = host.drainSeconds ?? config.table.drainSeconds;
    // What it has when its time is over is cut off: the chains must remember it for as long as it may take.
    drainSeconds = Math.max(usual, options.for ?? 0);
    if (host.state === "draining" && drainSeconds === usual) return null;
    const fields: Record<string, Field> = { state: "draining" };
    if (drainSeconds > usual) fields.drainSeconds = drainSeconds;
    return good(cluster, editHost(record.config, name, fields), env);
  });
  return { ...done, drainSeconds };
}

async function drain(name: string, options: Options, env: CliEnv): Promise<void> {
  await withCluster(options, async (cluster) => {
    const { record, changed, drainSeconds } = await startDrain(cluster, name, options, env);
    const say = (text: string): void => void (options.json === true || env.stdout.write(`${text}\n`));
    say(changed ? `change ${record.change}: ${name} gets no new flows` : `${name} is being drained already`);
    say(`what it has stays its own for ${durationText(drainSeconds)}`);
    if (!options.wait) return;
    const seconds = options.for ?? drainSeconds;
    await interruptible(async (signal) => {
      const left = await watch(cluster, name, record.change, seconds, options, env, signal);
      if (left === null) say(`${name}: nothing is left`);
      else
        throw new Failure(
          `${name}: ${left.text} after ${durationText(seconds)} (it goes on draining; hafl undrain ${name} ends that)`,
        );
    });
  });
}

/** Looks how many flows are left until none are (null) or the time is over: what was seen last then. */
async function watch(
  cluster: Cluster,
  name: string,
  change: number,
  seconds: number,
  options: Options,
  env: CliEnv,
  signal: AbortSignal,
): Promise<Left | null> {
  const begin = performance.now();
  const elapsed = (): number => (performance.now() - begin) / 1000;
  const tty = env.stdout.isTTY === true && options.json !== true;
  const patience = new Patience(cluster.store.name, env);
  let last = "";
  // A count that was written before nobody sent new flows any more may lack the last of them.
  let from = Number.POSITIVE_INFINITY;
  for (;;) {
    const left = await patience.bear(() => leftOn(cluster, name, change, options));
    if (left === null) {
      await sleep(LOOK_MS, undefined, { signal });
      continue;
    }
    const seen = Math.round(elapsed());
    if (options.json === true)
      env.stdout.write(`${JSON.stringify({ host: name, seconds: seen, flows: left.flows, applied: left.applied })}\n`);
    else if (tty) env.stdout.write(`\r\x1b[K${name}: ${left.text}, ${seen} of ${seconds} s`);
    else if (left.text !== last) env.stdout.write(`${name}: ${left.text}, after ${seen} s\n`);
    last = left.text;
    const isOver = elapsed() >= seconds;
    const isDone = left.flows === 0 && left.applied && (left.counted > from || isOver);
    if (left.applied) from = Math.min(from, left.seen);
    if (isDone || isOver) {
      if (tty) env.stdout.write("\n");
      return isDone ? null : left;
    }
    await sleep(Math.min(LOOK_MS, Math.max(50, (seconds - elapsed()) * 1000)), undefined, { signal });
  }
}

/** The drain time that a host had of its own when it last was not drained; null: none. */
async function formerDrainTime(cluster: Cluster, name: string): Promise<number | null> {
  for (const { config: text, change } of (await readHistory(cluster.store, cluster.keys)).reverse()) {
    const merged = mergeConfig(cluster.own, { text, name: `change ${change}` });
    const host = "config" in merged ? merged.config.hosts.find((one) => one.name === name) : undefined;
    if (host?.state === "active") return host.drainSeconds;
  }
  return null;
}

async function undrain(name: string, options: Options, env: CliEnv): Promise<void> {
  await withCluster(options, async (cluster) => {
    const why = `undrain ${name}${options.message === undefined ? "" : `: ${options.message}`}`;
    const { record, changed } = await writeEdit(cluster, why, async ({ record, config }) => {
      if (hostOf(config, name, cluster.wanted).state === "active") return null;
      const drainSeconds = await formerDrainTime(cluster, name);
      return good(cluster, editHost(record.config, name, { state: null, drainSeconds }), env);
    });
    report(record, changed, `${name} gets new flows`, `${name} is not drained: nothing to write`, options, env);
  });
}

async function weigh(name: string, weight: number, options: Options, env: CliEnv): Promise<void> {
  await withCluster(options, async (cluster) => {
    const { service } = options;
    const where = service === undefined ? "" : ` in ${service}`;
    const why = `weight of ${name}${where}: ${weight}${options.message === undefined ? "" : `: ${options.message}`}`;
    let unmoved: string[] = [];
    const { record, changed } = await writeEdit(cluster, why, async ({ record, config }) => {
      const host = hostOf(config, name, cluster.wanted);
      if (service !== undefined) {
        const pool = config.services.find((one) => one.name === service)?.pool;
        if (pool === undefined) throw new Failure(`${cluster.wanted}: no service is named "${service}"`, 2);
        if (pool.find((member) => member.host === name)?.weight === weight) return null;
        return good(cluster, editPool(record.config, service, name, weight), env);
      }
      if (host.weight === weight) return null;
      const text = good(cluster, editHost(record.config, name, { weight }), env);
      unmoved = withOwnWeights(config, checkWanted(cluster, text, cluster.wanted, env), name);
      return text;
    });
    report(
      record,
      changed,
      `${name} weighs ${weight}${where}`,
      `${name} weighs ${weight}${where} already: nothing to write`,
      options,
      env,
    );
    if (unmoved.length > 0)
      env.stderr.write(
        `hafl: the pool of ${unmoved.join(", ")} has a weight of its own for ${name}: it stays (--service changes it)\n`,
      );
  });
}

/** Services that have the host with a weight which did not follow that of the host. */
const withOwnWeights = (before: Config, after: Config, host: string): string[] =>
  after.services.flatMap(({ name, pool }, i) => {
    const weightIn = (members: typeof pool): number | undefined => members.find((member) => member.host === host)?.weight;
    const now = weightIn(pool);
    return now !== undefined && now === weightIn(before.services[i]!.pool) ? [name] : [];
  });

function report({ change }: WantedRecord, changed: boolean, done: string, same: string, { json }: Options, env: CliEnv): void {
  if (json === true) env.stdout.write(`${JSON.stringify({ change, changed })}\n`);
  else env.stdout.write(changed ? `change ${change}: ${done}\n` : `${same}\n`);
}

export function register(program: Command, env: CliEnv): void {
  const host = (name: string): Command =>
    clusterOptions(program.command(name))
      .argument("<host>", "name of the host")
      .option("-m, --message <why>", "why, for the history");
  host("drain")
    .description("have a host get no new flows, and wait until those that it has are over")
    .option("--for <time>", "how long that may take: 90s, 10m, 2h (default: the drain time of the config)", duration)
    .option("--no-wait", "do not wait for the flows that it has")
    .option("--json", "print one object a line: {host, seconds, flows, applied}")
    .action((name: string, options: Options) => drain(name, options, env));
  host("undrain")
    .description("have a host get new flows again, after hafl drain or state: down")
    .option("--json", "print {change, changed} as JSON")
    .action((name: string, options: Options) => undrain(name, options, env));
  host("weight")
    .description("change the weight of a host")
    .argument("<weight>", "a host with twice the weight gets twice the flows", whole(0, 65535))
    .option("--service <name>", "in the pool of this service, which has weights of its own")
    .option("--json", "print {change, changed} as JSON")
    .action((name: string, weight: number, options: Options) => weigh(name, weight, options, env));
}
