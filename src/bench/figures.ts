/** What was measured: figures by name, each of several paths, a number a round. */
import { type Measurement, median } from "./measure.ts";
import type { Part } from "./part.ts";
import { PATH_NAMES, type PathName } from "./paths.ts";

/** A figure of a path. */
export interface Entry extends Measurement {
  readonly part: Part;
  readonly figure: string;
  readonly path: PathName;
}

const idOf = (figure: string, path: PathName): string => `${figure}: ${path}`;
const place = ({ path }: Entry): number => PATH_NAMES.indexOf(path);

export class Figures {
  readonly #entries = new Map<string, Entry>();

  /** Adds a round's number. */
  add(part: Part, figure: string, path: PathName, value: number): void {
    const id = idOf(figure, path);
    const rounds = [...(this.#entries.get(id)?.rounds ?? []), value];
    const { unit } = part.figures[figure]!;
    this.#entries.set(id, { part, figure, path, unit, rounds, median: median(rounds) });
  }

  /** Median of a figure of a path; undefined when it was not measured. */
  medianOf(figure: string, path: PathName): number | undefined {
    return this.#entries.get(idOf(figure, path))?.median;
  }

  roundsOf(figure: string, path: PathName): readonly number[] {
    return this.#entries.get(idOf(figure, path))?.rounds ?? [];
  }

  /** Parts in the order they were measured. */
  get parts(): readonly Part[] {
    return [...new Set([...this.#entries.values()].map(({ part }) => part))];
  }

  /** A figure of all paths that have it, in the order of PATH_NAMES. */
  entriesOf(figure: string): Entry[] {
    return [...this.#entries.values()].filter((entry) => entry.figure === figure).sort((a, b) => place(a) - place(b));
  }

  /** As `hafl bench --json` has them: {name: {median, unit, rounds}}. */
  toJSON(): Record<string, Measurement> {
    return Object.fromEntries([...this.#entries].map(([id, { median, unit, rounds }]) => [id, { median, unit, rounds }]));
  }
}
