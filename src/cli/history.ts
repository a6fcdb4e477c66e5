/** `hafl history`, `hafl show`, `hafl rollback`: what was wanted, and wanting it again. */
import { type Command, Option } from "commander";
import { Failure } from "../control/failure.ts";
import type { WantedRecord } from "../store/records.ts";
import { type Current, readCurrent, readHistory } from "../store/wanted.ts";
import { differences, refusedByAgents, writeOnce } from "./change.ts";
import { differenceText, historyText } from "./change-text.ts";
import {
  type Cluster,
  type ClusterOptions,
  checkWanted,
  clusterOptions,
  configNow,
  requireForward,
  withCluster,
} from "./cluster.ts";
import type { CliEnv } from "./env.ts";
import { whole } from "./numbers.ts";

interface Options extends ClusterOptions {
  readonly number: number;
  readonly message?: string;
  readonly force?: true;
  readonly json?: true;
}

/** All changes that can be had, oldest first: also the current one where nobody has remembered it. */
async function changesOf(cluster: Cluster): Promise<{ current: Current; records: WantedRecord[] }> {
  const [current, history] = await Promise.all([
    readCurrent(cluster.store, cluster.keys),
    readHistory(cluster.store, cluster.keys),
  ]);
  const { record } = current;
  const isKnown = record === null || history.some(({ change }) => change === record.change);
  return { current, records: isKnown ? history : [...history, record].sort((a, b) => a.change - b.change) };
}

function pick(records: readonly WantedRecord[], change: number): WantedRecord {
  const found = records.find((record) => record.change === change);
  if (found !== undefined) return found;
  const numbers = records.map((record) => record.change);
  const there = numbers.length === 0 ? "none is remembered" : `${numbers[0]} to ${numbers.at(-1)} are remembered`;
  throw new Failure(`no change ${change} (${there}, see \`hafl history\`)`, 2);
}

async function rollback(change: number, options: Options, env: CliEnv): Promise<void> {
  await withCluster(options, async (cluster) => {
    const { current, records } = await changesOf(cluster);
    if (options.force !== true) requireForward(cluster, current);
    const old = pick(records, change);
    if (current.record?.config === old.config && options.force !== true) {
      env.stdout.write(`change ${current.record.change} says the same as change ${change}: nothing to write\n`);
      return;
    }
    const config = checkWanted(cluster, old.config, `change ${change}`, env);
    const before = configNow(cluster, current);
    const refused = refusedByAgents(before, config, `change ${change}`);
    if (refused.length > 0 && options.force !== true) throw new Failure(refused, 2);
    const tell = await differences(cluster);
    const why = [`back to change ${change}`, ...(options.message === undefined ? [] : [options.message])].join(": ");
    const record = await writeOnce(cluster, current, { config: old.config, why });
    const difference = tell(before, config);
    if (options.json === true) env.stdout.write(`${JSON.stringify({ change: record.change, ...difference })}\n`);
    else
      env.stdout.write(
        `${differenceText(difference)}change ${record.change} is written: what was wanted with change ${change}\n`,
      );
  });
}

export function register(program: Command, env: CliEnv): void {
  const change = whole(1, Number.MAX_SAFE_INTEGER);
  clusterOptions(program.command("history"))
    .description("the changes of what is wanted: who made them, when and why")
    .option("-n, --number <n>", "how many, the newest first", whole(1, 10_000), 20)
    .option("--json", "print a list as JSON, with the configs")
    .action((options: Options) =>
      withCluster(options, async (cluster) => {
        const { records, current } = await changesOf(cluster);
        const newest = records.reverse().slice(0, options.number);
        if (current.broken !== null) env.stderr.write(`${current.broken}\n`);
        env.stdout.write(options.json === true ? `${JSON.stringify(newest)}\n` : historyText(newest));
      }),
    );
  clusterOptions(program.command("show"))
    .description("what is wanted, or was with an earlier change, as YAML")
    .argument("[change]", "number of the change (default: the current one)", change)
    .option("--json", "print the change as JSON, with who, when and why")
    .action((number: number | undefined, options: Options) =>
      withCluster(options, async (cluster) => {
        const { records, current } = await changesOf(cluster);
        if (number === undefined && current.record === null)
          throw new Failure(current.broken ?? `${cluster.wanted}: there is nothing (put it there with \`hafl apply FILE\`)`);
        const record = number === undefined ? current.record! : pick(records, number);
        env.stdout.write(options.json === true ? `${JSON.stringify(record)}\n` : record.config);
      }),
    );
  clusterOptions(program.command("rollback"))
    .description("want again what was wanted with an earlier change; that is a new change")
    .argument("<change>", "number of the change (see hafl history)", change)
    .option("-m, --message <why>", "why, for the history")
    .addOption(new Option("--force", "also when the store was turned back, or agents that run would refuse it"))
    .option("--json", "print {change, changes, pools} as JSON")
    .action((number: number, options: Options) => rollback(number, options, env));
}
