/** A run of the benchmark as text: tables for a terminal and for Markdown, and the files in bench/results/. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describeLine, judge } from "./acceptance.ts";
import type { AloneName } from "./alone.ts";
import type { Figures } from "./figures.ts";
import type { LabResult, RunNote } from "./lab.ts";
import { beside, readable } from "./numbers.ts";
import type { Figure, Part } from "./part.ts";
import { LABELS } from "./paths.ts";
import { picture } from "./picture.ts";
import { save, withSaved } from "./saved.ts";

export const RESULTS = fileURLToPath(new URL("../../../bench/results/", import.meta.url));

/** What the picture shows; tables have all. */
const IN_PICTURE = [
  "upload",
  "download",
  "keepalive",
  "connections",
  "small",
  "upload of two",
  "idle p50",
  "idle p99",
  "half load p50",
  "half load p99",
];

const ALONE_TITLES: Readonly<Record<AloneName, string>> = {
  "hot-path": "`hafl bench hot-path`: 64-byte TCP packet, 10,000 flows",
  table: "`hafl bench table`: 1,000 weighted hosts, 65,537 buckets",
  flows: "`hafl bench flows`: established packets, 10,000 and 1,000,000 flows",
  offload: "`hafl bench offload`: a packet of a 64 KB frame",
};

type Row = readonly string[];

const markdownTable = (header: Row, rows: readonly Row[]): string =>
  [header, header.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

const spread = (rounds: readonly number[]): string =>
  rounds.length > 1 ? `${readable(Math.min(...rounds))} - ${readable(Math.max(...rounds))}` : "";

/** Table of a part: of its first figure median, spread and how it compares with the first path; of others the median. */
export function partTable(figures: Figures, { figures: kinds }: Part): { header: string[]; rows: Row[] } {
  const [[main, { unit, better, title }], ...others] = Object.entries(kinds) as [[string, Figure], ...[string, Figure][]];
  const entries = figures.entriesOf(main);
  const reference = entries[0]!.median;
  const rows = entries.map(({ path, median, rounds }, i) => {
    const compared = i === 0 || reference === 0 ? "" : beside(median, reference, better);
    const more = others.map(([name]) => readable(figures.medianOf(name, path)!));
    return [LABELS[path], readable(median), spread(rounds), compared, ...more];
  });
  const first = title === undefined ? unit : `${title}, ${unit}`;
  const header = ["", first, "rounds", "beside the first", ...others.map(([, figure]) => `${figure.title}, ${figure.unit}`)];
  // With one path there is nothing to be beside, with one round no spread.
  const empty = [2, 3].filter((column) => rows.every((row) => row[column] === ""));
  const without = (row: Row): string[] => row.filter((_, column) => !empty.includes(column));
  return { header: without(header), rows: rows.map(without) };
}

/** Lines of acceptance, as rows. */
export const acceptanceRows = ({ figures, alone }: LabResult): Row[] =>
  judge(figures, alone).map((line) => {
    const { figure, bound, met } = describeLine(line);
    return [line.what, figure, bound, met];
  });

const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`;

function runText({ machine, measured, rounds, seconds, workers, minutes, loads }: RunNote): string {
  const before = machine.loadBefore.map((n) => n.toFixed(2)).join(", ");
  const load = loads.length === 0 ? "" : `; just before each part: ${loads.map((n) => n.toFixed(2)).join(", ")}`;
  return [
    `- ${measured.join(", ")}: Haflinger ${machine.commit ?? "outside a git tree"}, agents with ${plural(workers, "worker")}`,
    `${rounds} interleaved rounds, ${seconds} s for each measurement`,
    `${machine.date.slice(0, 16)}Z, ${minutes.toFixed(1)} minutes; load average before the run: ${before} (1 and 5 minutes)${load}`,
  ].join("; ");
}

function machineText(runs: LabResult["runs"]): string {
  const [{ machine }] = runs;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const leftOut = new Set(runs.flatMap((run) => run.leftOut));
  return [
    `- ${machine.processors} processors (${machine.processor}), ${machine.memory}; Linux ${machine.kernel}, TCP with ${machine.congestion}; ${versions.join(", ")}`,
    ...runs.map(runText),
    ...[...leftOut].map((line) => `- left out: ${line}`),
  ].join("\n");
}

/** The whole report. `image` is the picture's file name. */
export function markdown(result: LabResult, image: string): string {
  const [{ machine }] = result.runs;
  const sections = result.figures.parts.map((part) => {
    const { header, rows } = partTable(result.figures, part);
    return `${part.title}\n\n${markdownTable(header, rows)}`;
  });
  const alone = (Object.keys(result.alone) as AloneName[]).map((name) => {
    const rows = Object.entries(result.alone[name]!).map(([figure, { median, unit, rounds }]) => [
      figure,
      `${readable(median)} ${unit}`,
      spread(rounds),
    ]);
    return `${ALONE_TITLES[name]}\n\n${markdownTable(["figure", "median", "rounds"], rows)}`;
  });
  return `${[
    `# Benchmark of ${machine.date.slice(0, 10)} on ${machine.host}`,
    "Everything (client, router, balancer, servers) on one machine, as `hafl bench lab` does it; how to read it: [bench/README.md](../README.md).",
    machineText(result.runs),
    ...(sections.length === 0 ? [] : [`![the figures as bars](${image})`]),
    "## Acceptance",
    "Ratios of medians. What is set beside each other was measured in one run, round by round.",
    markdownTable(["what", "figure", "bound", ""], acceptanceRows(result)),
    "## Figures",
    ...sections,
    ...alone,
  ].join("\n\n")}\n`;
}

/** Name of the files of a report, without what follows the dot. */
export const reportName = ({ runs: [{ machine }] }: LabResult): string =>
  `${machine.date.slice(0, 10)}-${machine.host.replace(/[^\w.-]/g, "_")}`;

/** Writes report, picture and figures; `add`: with the parts that are in the folder from runs before. Returns their paths. */
export function writeReport(measured: LabResult, folder: string, add: boolean): string[] {
  const name = reportName(measured);
  mkdirSync(folder, { recursive: true });
  const files = [join(folder, `${name}.md`), join(folder, `${name}.svg`), join(folder, `${name}.json`)] as const;
  const result = add ? withSaved(files[2], measured) : measured;
  const { figures, runs } = result;
  const [{ machine }] = runs;
  const groups = IN_PICTURE.map((figure) => figures.entriesOf(figure)).filter((entries) => entries.length > 0);
  const title = `${machine.date.slice(0, 10)}, ${machine.processors} processors for everything, Linux ${machine.kernel.split("-")[0]}`;
  writeFileSync(files[0], markdown(result, `${name}.svg`));
  writeFileSync(files[1], picture(groups, title));
  save(files[2], result);
  return [...files];
}
