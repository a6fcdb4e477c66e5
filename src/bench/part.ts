/** What every part of the benchmark in the lab is. */
import type { Path, PathName } from "./paths.ts";
import type { Stand } from "./stand.ts";
import type { ToolName } from "./tools.ts";

/** What a measurement gives, by the names of the part's figures. */
export type Sample = Readonly<Record<string, number>>;

export interface Figure {
  /** Head of its column; the first figure of a part needs none. */
  readonly title?: string;
  readonly unit: string;
  /** Which way is better. */
  readonly better: "more" | "less";
}

export interface Run {
  readonly stand: Stand;
  /** How long a measurement lasts. */
  readonly seconds: number;
  /** Only to see that everything works. */
  readonly smoke: boolean;
  /** The median so far of a figure of a path, or undefined. */
  readonly medianOf: (figure: string, path: PathName) => number | undefined;
}

export interface Part {
  /** What --only calls it. */
  readonly name: string;
  /** What tables and pictures call it. */
  readonly title: string;
  /** The first is the one that matters. Names are unique over all parts. */
  readonly figures: Readonly<Record<string, Figure>>;
  readonly needs: readonly ToolName[];
  /** In the order of tables and pictures. */
  readonly paths: readonly Path[];
  /** Done once, whatever number of rounds is asked for. */
  readonly once?: true;
  /** Seconds that are measured and thrown away before the first round, by path. */
  readonly warmUp: number;
  measure(run: Run, path: Path, seconds: number): Promise<Sample>;
}

/** Paths of a table, in this order. */
export const pick = (paths: Readonly<Partial<Record<PathName, Path>>>, ...names: PathName[]): Path[] =>
  names.map((name) => paths[name]!);
