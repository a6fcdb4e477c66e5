/** `hafl apply` and `hafl diff`: a file becomes what is wanted, or is compared with that. */
import type { Command } from "commander";
import { Failure } from "../control/failure.ts";
import type { WantedRecord } from "../store/records.ts";
import { readCurrent } from "../store/wanted.ts";
import { type Difference, differences, refusedByAgents, writeOnce } from "./change.ts";
import { differenceText } from "./change-text.ts";
import { type ClusterOptions, clusterOptions, configNow, readWish, requireForward, withCluster } from "./cluster.ts";
import type { CliEnv } from "./env.ts";

interface ApplyOptions extends ClusterOptions {
  readonly message?: string;
  readonly dryRun?: true;
  readonly force?: true;
  readonly quiet?: true;
  readonly json?: true;
}

/** Makes a file what is wanted. Gives the change, null when it says what is wanted already or nothing is to be written. */
async function apply(file: string, options: ApplyOptions, env: CliEnv): Promise<WantedRecord | null> {
  return await withCluster(options, async (cluster) => {
    const wish = readWish(cluster, file, env);
    const current = await readCurrent(cluster.store, cluster.keys);
    const force = options.force === true;
    if (!force) requireForward(cluster, current);
    const before = configNow(cluster, current);
    const refused = refusedByAgents(before, wish.config, file);
    if (refused.length > 0 && !force)
      throw new Failure([...refused, `${file}: agents that run would refuse it (--force writes it all the same)`], 2);
    const tell = options.quiet === true ? null : await differences(cluster);
    const change = current.record?.change ?? 0;
    const isSame = current.record?.config === wish.text && !force;
    const say = (record: WantedRecord | null, text: string): void => {
      if (tell !== null) show(record, tell(before, wish.config), text, options, env);
    };
    if (isSame) say(null, `change ${change} says the same: nothing to write`);
    else if (options.dryRun === true) say(null, `nothing is written: this would be a change of change ${change}`);
    else {
      const record = await writeOnce(cluster, current, { config: wish.text, why: options.message ?? "" });
      say(record, `change ${record.change} is written to ${cluster.store.name}`);
      return record;
    }
    return null;
  });
}

function show(record: WantedRecord | null, difference: Difference, text: string, { json }: ApplyOptions, env: CliEnv): void {
  if (json === true) env.stdout.write(`${JSON.stringify({ change: record?.change ?? null, ...difference })}\n`);
  else env.stdout.write(`${differenceText(difference)}${text}\n`);
}

async function diff(file: string, options: ApplyOptions, env: CliEnv): Promise<void> {
  await withCluster(options, async (cluster) => {
    const wish = readWish(cluster, file, env);
    const current = await readCurrent(cluster.store, cluster.keys);
    const difference = (await differences(cluster))(configNow(cluster, current), wish.config);
    if (current.broken !== null) env.stderr.write(`${current.broken}\n`);
    env.stdout.write(options.json === true ? `${JSON.stringify(difference)}\n` : differenceText(difference));
  });
}

export function register(program: Command, env: CliEnv): void {
  clusterOptions(program.command("apply"))
    .description("make a file what is wanted of the cluster, after it was checked in full")
    .argument("<file>", "config file with the parts that all hosts share")
    .option("-m, --message <why>", "why, for the history")
    .option("--dry-run", "say what it would change, and write nothing")
    .option("--force", "also when the store was turned back, or agents that run would refuse it")
    .option("-q, --quiet", "do not say what it changes")
    .option("--json", "print {change, changes, pools} as JSON")
    .action(async (file: string, options: ApplyOptions) => {
      await apply(file, options, env);
    });
  clusterOptions(program.command("diff"))
    .description("what a file would change of what is wanted, and which buckets would change their owner")
    .argument("<file>", "config file with the parts that all hosts share")
    .option("--json", "print {changes, pools} as JSON")
    .action((file: string, options: ApplyOptions) => diff(file, options, env));
}
