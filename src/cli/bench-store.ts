/** `hafl bench apply` and `hafl bench followers`: how soon a change is where it has to be. */
import type { Command } from "commander";
import { benchApply } from "../bench/apply.ts";
import { benchFollowers } from "../bench/followers.ts";
import type { Latencies } from "../bench/latencies.ts";
import { Failure } from "../control/failure.ts";
import { textTable } from "../lab/text-table.ts";
import type { CliEnv } from "./env.ts";
import { interruptible } from "./interruptible.ts";
import { whole } from "./numbers.ts";

interface Options {
  readonly changes: number;
  readonly hosts: number;
  readonly members: number;
  readonly subscribers: number;
  readonly processes: number;
  readonly json?: true;
}

type Result = Readonly<Record<string, Latencies>>;

const APPLY: Readonly<Record<string, string>> = {
  written: "hafl apply is done (without the start of its process)",
  first: "one host has other tables",
  all: "all hosts have other tables",
};
const FOLLOWERS: Readonly<Record<string, string>> = {
  seen: "a subscriber has the change",
  last: "all subscribers have the change",
  config: "a config is made of it, by each host itself",
};

function render(result: Result, texts: Readonly<Record<string, string>>): string {
  const rows = Object.entries(result).map(([name, { median, p99, most }]) => [
    name,
    ...[median, p99, most].map((ms) => `${ms.toFixed(1)} ms`.padStart(11)),
    texts[name] ?? "",
  ]);
  return textTable(["figure", "     median", "        p99", "       most", "what"], rows);
}

/** Runs something that measures, with its progress on a terminal, and prints what came of it. */
async function show(
  options: Options,
  env: CliEnv,
  texts: Readonly<Record<string, string>>,
  measure: (onRound: (round: number) => void, signal: AbortSignal) => Promise<Result>,
): Promise<void> {
  const tty = env.stderr.isTTY === true;
  await interruptible(async (signal) => {
    const result = await measure((round) => void (tty && env.stderr.write(`\rchange ${round} of ${options.changes}`)), signal);
    if (tty) env.stderr.write("\r\x1b[K");
    env.stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : render(result, texts));
  });
}

/** Adds the commands to `hafl bench`. */
export function registerStore(bench: Command, env: CliEnv): void {
  bench
    .command("apply")
    .description("from hafl apply to tables swapped on all hosts: etcd, conductor and agents in a lab of its own (root)")
    .option("--changes <n>", "how often", whole(1, 10_000), 100)
    .option("--hosts <n>", "hosts", whole(1, 20), 5)
    .option("--members <n>", "members of etcd", whole(1, 5), 3)
    .option("--json", "print JSON: {name: {median, p99, most, unit, rounds}}")
    .action(async (options: Options) => {
      if (process.getuid?.() !== 0) throw new Failure("hafl bench apply: network namespaces need root: run it with sudo");
      const say = (line: string): void => void (env.stderr.isTTY === true && env.stderr.write(`${line}\n`));
      await show(options, env, APPLY, (onRound, signal) => benchApply(options, say, onRound, signal));
    });
  bench
    .command("followers")
    .description(
      "how soon many subscribers of one etcd know of a change; each follows it with an agent's code and a connection of its own",
    )
    .option("--subscribers <n>", "how many", whole(1, 10_000), 1000)
    .option("--changes <n>", "how often", whole(1, 10_000), 50)
    .option("--hosts <n>", "hosts of the config that changes", whole(1, 4000), 100)
    .option("--processes <n>", "processes that they are in", whole(1, 64), 4)
    .option("--json", "print JSON: {name: {median, p99, most, unit, rounds}}")
    .action((options: Options) => show(options, env, FOLLOWERS, (onRound, signal) => benchFollowers(options, onRound, signal)));
}
