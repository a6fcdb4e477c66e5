/** What is wrong with a config, as zod reports it or as our own rules do, and how it is put into one line. */
import type { z } from "zod";
import { closest } from "./suggest.ts";

/** Where in the config: keys and list indexes from the top. */
export type Path = readonly (string | number)[];

/** One thing that is wrong, and where. `text` says what and, in brackets, the remedy. */
export interface Problem {
  readonly path: Path;
  readonly text: string;
}

/** How the text for a key that is not there begins. */
export const MISSING = "is missing";

/** The path as one would write it: `services[0].vips[1]`. */
export const formatPath = (path: Path): string =>
  path.map((step, i) => (typeof step === "number" ? `[${step}]` : i === 0 ? step : `.${step}`)).join("");

/** Control characters that JSON leaves as they are, and marks that turn the direction of text: a terminal obeys them. */
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A value from a config, short enough for a line, and nothing but printable characters. Never throws. */
export function show(value: unknown): string {
  let text: string;
  try {
    text = (JSON.stringify(value) ?? String(value)).replace(UNPRINTABLE, "?");
  } catch {
    text = `a ${typeof value} that refers to itself`;
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** The text for a key that nothing reads. */
export function unknownKey(key: string, known: readonly string[]): string {
  const meant = closest(key, known);
  return meant === null ? `unknown key (known here: ${known.join(", ")})` : `unknown key (did you mean "${meant}"?)`;
}

/** Keys of a part, by the key of the map they are in; those of the part itself under "". */
export type KnownKeys = Readonly<Record<string, readonly string[]>>;

/** Zod's issues as problems under `base`. `known` is for suggestions. */
export function fromIssues(base: Path, issues: readonly z.core.$ZodIssue[], known: KnownKeys): Problem[] {
  const problems = issues.flatMap((issue): Problem[] => {
    const path = [...base, ...issue.path.map((step) => (typeof step === "number" ? step : String(step)))];
    if (issue.code !== "unrecognized_keys") return [{ path, text: issue.message }];
    return issue.keys.map((key) => ({
      path: [...path, key],
      text: unknownKey(key, known[String(issue.path.at(-1) ?? "")] ?? []),
    }));
  });
  return withoutMisspelt(problems);
}

/** Leaves out that a key is missing where it is there, misspelt: that is one mistake, and the misspelling names it. */
export function withoutMisspelt(problems: readonly Problem[]): Problem[] {
  const meant = new Set(
    problems.flatMap(({ path, text }) => {
      const key = /^unknown key \(did you mean "(.*)"\?\)$/.exec(text)?.[1];
      return key === undefined ? [] : [formatPath([...path.slice(0, -1), key])];
    }),
  );
  return problems.filter(({ path, text }) => !(text.startsWith(MISSING) && meant.has(formatPath(path))));
}
