/**
 * Figures of several runs in one report: a part takes minutes, and a machine is rarely left alone for all of them. Each part, with all its
 * rounds and paths, is of one run; measured again it takes the place of what was there.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Failure } from "../control/failure.ts";
import type { Alone } from "./alone.ts";
import { Figures } from "./figures.ts";
import { type LabResult, PARTS, type RunNote } from "./lab.ts";
import type { Part } from "./part.ts";
import { PATH_NAMES, type PathName } from "./paths.ts";

interface Saved {
  readonly runs: readonly RunNote[];
  /** figure: path: numbers, a round each. */
  readonly figures: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
  readonly alone: Alone;
}

/** Writes a result down for readSaved(). */
export function save(file: string, { runs, figures, alone }: LabResult): void {
  const named: Record<string, Record<string, readonly number[]>> = {};
  for (const figure of figures.parts.flatMap((part) => Object.keys(part.figures))) {
    named[figure] = Object.fromEntries(figures.entriesOf(figure).map(({ path, rounds }) => [path, rounds]));
  }
  const saved: Saved = { runs, figures: named, alone };
  writeFileSync(file, `${JSON.stringify(saved, null, 1)}\n`);
}

/** Adds the rounds of a part's figures, which are by figure and path. */
function addPart(to: Figures, part: Part, rounds: (figure: string, path: PathName) => readonly number[]): void {
  for (const figure of Object.keys(part.figures))
    for (const path of PATH_NAMES) for (const n of rounds(figure, path)) to.add(part, figure, path, n);
}

/**
 * The result together with what was saved in `file` by runs before it, of parts that it has not measured. Throws a Failure when those
 * were made on another machine or kernel.
 */
export function withSaved(file: string, result: LabResult): LabResult {
  if (!existsSync(file)) return result;
  const saved = JSON.parse(readFileSync(file, "utf8")) as Saved;
  const [now] = result.runs;
  for (const { machine } of saved.runs) {
    if (machine.host !== now.machine.host || machine.kernel !== now.machine.kernel || machine.processor !== now.machine.processor)
      throw new Failure(`${file}: was measured on another machine (choose another folder with --out)`);
  }
  const isNew = (name: string): boolean => now.measured.includes(name);
  const kept = saved.runs
    .map((run) => ({ ...run, measured: run.measured.filter((name) => !isNew(name)) }))
    .filter(({ measured }) => measured.length > 0);
  const figures = new Figures();
  for (const part of PARTS) {
    if (isNew(part.name)) addPart(figures, part, (figure, path) => result.figures.roundsOf(figure, path));
    else addPart(figures, part, (figure, path) => saved.figures[figure]?.[path] ?? []);
  }
  return { figures, alone: { ...saved.alone, ...result.alone }, runs: [now, ...kept] };
}
