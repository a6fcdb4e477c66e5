/** `hafl bench table`, `flows`, `offload`: what parts of the program cost by themselves, without network and without root. */
import type { Command } from "commander";
import { benchFlows } from "../bench/flows.ts";
import type { Measurement } from "../bench/measure.ts";
import { benchTable } from "../bench/table.ts";
import type { Config } from "../control/config.ts";
import { textTable } from "../lab/text-table.ts";
import type { CliEnv } from "./env.ts";
import { whole } from "./numbers.ts";
import { pipeline } from "./pipeline.ts";

type Result = Readonly<Record<string, Measurement>>;
type OnRound = (round: number) => void;

interface Options {
  readonly rounds: number;
  readonly hosts: number;
  readonly flows: number;
  readonly json?: true;
}

/** What a figure is, for people. */
type Texts = Readonly<Record<string, string>>;

const TABLE: Texts = {
  first: "table built, the first of the process",
  build: "table built",
  publish: "new generation published, chains and all",
  usual: "burst of 128 packets",
  burst: "longest of 20 bursts",
  swap: "longest of 20 that took up new tables",
  delay: "... over a usual burst",
};
const FLOWS: Texts = {
  few: "packet, 10,000 flows",
  many: "packet, all flows",
  ratio: "... over 10,000 flows",
  tracked: "flows in the table",
};
const OFFLOAD: Texts = {
  headers: "director, packet of a super-segment: headers and gather lists",
  segment: "... and checksums summed",
  deliver: "target, packet of a train: unwrapped and queued for the kernel",
};

const shown = (n: number): string => (n >= 1000 ? Math.round(n).toLocaleString("en") : n.toFixed(n < 10 ? 2 : 1));

function render(result: Result, texts: Texts): string {
  const rows = Object.entries(result).map(([name, { median, unit, rounds }]) => [
    name,
    `${shown(median).padStart(9)} ${unit}`,
    rounds.length > 1 ? `${shown(Math.min(...rounds))} - ${shown(Math.max(...rounds))}` : "",
    texts[name] ?? "",
  ]);
  return textTable(["figure", "median", "rounds", "what"], rows);
}

/** Adds the commands to `hafl bench`. `config` is what is measured where one is needed. */
export function registerParts(bench: Command, env: CliEnv, config: () => Config): void {
  const add = (
    name: string,
    description: string,
    texts: Texts,
    rounds: number,
    run: (options: Options, onRound: OnRound) => Promise<Result>,
  ): Command =>
    bench
      .command(name)
      .description(description)
      .option("--rounds <n>", "rounds to take the median of", whole(1, 1_000), rounds)
      .option("--json", "print JSON: {name: {median, unit, rounds}}")
      .action(async (options: Options) => {
        const progress = env.stderr.isTTY === true;
        const result = await run(options, (round) => {
          if (progress) env.stderr.write(`\rround ${round} of ${options.rounds}`);
        });
        if (progress) env.stderr.write("\r\x1b[K");
        env.stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : render(result, texts));
      });

  add("table", "forwarding tables: building, publishing, and what taking them up delays", TABLE, 5, (options, onRound) =>
    benchTable(options.hosts, options.rounds, onRound),
  ).option("--hosts <n>", "hosts, with weights from 1 to 10", whole(2, 4000), 1000);

  add("flows", "nanoseconds per packet with many flows in the flow table", FLOWS, 15, (options, onRound) =>
    benchFlows(config(), options.flows, options.rounds, onRound),
  ).option("--flows <n>", "flows", whole(10_000, 1_000_000), 1_000_000);

  add(
    "offload",
    "nanoseconds per packet of a super-segment, taken apart and delivered",
    OFFLOAD,
    15,
    async (options, onRound) => {
      const { benchOffload } = await pipeline<typeof import("../bench/offload.ts")>("bench/offload.ts");
      return benchOffload(config(), options.rounds, onRound);
    },
  );
}
