/** `hafl bench lab`: Haflinger beside plain routing, HAProxy, nginx and others, in a lab of its own. */
import { type Command, InvalidArgumentError } from "commander";
import { describeLine, judge } from "../bench/acceptance.ts";
import { type LabResult, PART_NAMES, PEERS, runBenchLab } from "../bench/lab.ts";
import { acceptanceRows, partTable, RESULTS, writeReport } from "../bench/report.ts";
import { fetchTools } from "../bench/tools.ts";
import { Failure } from "../control/failure.ts";
import { textTable } from "../lab/text-table.ts";
import type { CliEnv } from "./env.ts";
import { interruptible } from "./interruptible.ts";
import { whole } from "./numbers.ts";

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly workers?: number;
  readonly only: readonly string[];
  readonly peers: readonly string[];
  readonly out?: string;
  readonly add?: true;
  readonly smoke?: true;
  readonly install?: true;
  readonly json?: true;
}

/** A list of some of these words. */
const listOf = (known: readonly string[]) => (text: string) => {
  const words = text.split(",").filter((word) => word !== "");
  const strange = words.find((word) => !known.includes(word));
  if (strange !== undefined) throw new InvalidArgumentError(`${strange} is none of ${known.join(", ")}`);
  return words;
};

function seconds(text: string): number {
  const n = Number(text);
  if (!(n >= 0.1 && n <= 60)) throw new InvalidArgumentError("0.1 to 60 seconds");
  return n;
}

function render(result: LabResult): string {
  const figures = result.figures.parts.map((part) => {
    const { header, rows } = partTable(result.figures, part);
    return textTable([part.title, ...header.slice(1)], rows);
  });
  const alone = Object.entries(result.alone).flatMap(([name, part]) =>
    Object.entries(part!).map(([figure, { median, unit }]) => [`${name}: ${figure}`, `${median.toFixed(2)} ${unit}`]),
  );
  return [
    ...figures,
    ...(alone.length === 0 ? [] : [textTable(["without network", "median"], alone)]),
    textTable(["acceptance", "figure", "bound", ""], acceptanceRows(result)),
  ].join("\n");
}

const asJson = ({ figures, alone, runs: [{ machine, leftOut }] }: LabResult): unknown => ({
  ...figures.toJSON(),
  ...Object.fromEntries(
    Object.entries(alone).flatMap(([name, part]) => Object.entries(part!).map(([f, m]) => [`${name}: ${f}`, m])),
  ),
  acceptance: judge(figures, alone).map((line) => ({ ...line, text: describeLine(line) })),
  machine,
  leftOut,
});

/** Smoke: everything once and briefly; its figures mean nothing. */
const SMOKE = { rounds: 1, seconds: 0.1 };

/** Adds the command to `hafl bench`. */
export function registerLab(bench: Command, env: CliEnv): void {
  bench
    .command("lab")
    .description("Haflinger beside plain routing, HAProxy, nginx, cap with raw-socket and a C floor, in a lab of its own (root)")
    .option("--rounds <n>", "interleaved rounds to take medians of", whole(1, 100), 5)
    .option("--seconds <n>", "how long a measurement lasts", seconds, 2)
    .option("--workers <n>", "data-plane threads of each agent (default: what it chooses by itself)", whole(1, 64))
    .option("--only <list>", `some of ${PART_NAMES.join(",")}`, listOf(PART_NAMES), [...PART_NAMES])
    .option("--peers <list>", `some of ${PEERS.join(",")}`, listOf(PEERS), [...PEERS])
    .option("--install", "fetch what is missing first: unpacked below dist/, nothing is installed in the system")
    .option("--out <dir>", "where report and picture go (default: bench/results, for whole runs)")
    .option(
      "--add",
      "into the report that is there: parts measured now take the place of older ones (default --out: bench/results)",
    )
    .option("--smoke", "everything once and briefly, to see that it works; the figures mean nothing")
    .option("--json", "print JSON: {name: {median, unit, rounds}}, with acceptance and machine")
    .action(async (options: Options) => {
      if (process.getuid?.() !== 0) throw new Failure("hafl bench lab: network namespaces need root: run it with sudo");
      const say = (line: string): void => void env.stderr.write(`${line}\n`);
      if (options.install) {
        say("fetching what is missing");
        fetchTools();
      }
      const smoke = options.smoke === true;
      await interruptible(async (signal) => {
        const result = await runBenchLab(
          { ...options, workers: options.workers ?? null, smoke, ...(smoke ? SMOKE : {}) },
          signal,
          say,
        );
        const isWhole = !smoke && options.only.length === PART_NAMES.length && options.peers.length === PEERS.length;
        const add = options.add === true;
        const folder = options.out ?? (isWhole || add ? RESULTS : null);
        if (folder !== null) for (const file of writeReport(result, folder, add)) say(`wrote ${file}`);
        env.stdout.write(options.json ? `${JSON.stringify(asJson(result))}\n` : render(result));
      });
    });
}
