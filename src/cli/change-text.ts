/** Changes of the wanted state for people. */
import type { PoolMove } from "../conductor/forecast.ts";
import { textTable } from "../lab/text-table.ts";
import type { WantedRecord } from "../store/records.ts";
import type { FieldChange } from "../store/wanted-diff.ts";
import type { Difference } from "./change.ts";

const LONGEST = 100;
const MOVES = 6;

function value(what: unknown): string {
  const text = typeof what === "string" ? what : JSON.stringify(what);
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 3)}...` : text;
}

/** `+` for what is new, `-` for what goes, `~` for what is another. */
function changeLine({ path, before, after }: FieldChange): string {
  if (before === null) return `+ ${path}: ${value(after)}`;
  return after === null ? `- ${path}: ${value(before)}` : `~ ${path}: ${value(before)} -> ${value(after)}`;
}

function moveLine({ pool, buckets, moved, moves }: PoolMove): string {
  const shown = moves.slice(0, MOVES).map((move) => {
    return `${move.from ?? "nobody"} -> ${move.to ?? "nobody"} ${move.buckets.toLocaleString("en")}`;
  });
  const more = moves.length > MOVES ? [`${moves.length - MOVES} more`] : [];
  const share = ((100 * moved) / buckets).toFixed(2);
  return `  ${pool}: ${moved.toLocaleString("en")} of ${buckets.toLocaleString("en")} buckets (${share} %): ${[...shown, ...more].join(", ")}`;
}

/** What differs, and what of the tables moves. */
export function differenceText({ changes, pools }: Difference): string {
  if (changes.length === 0) return "no difference\n";
  const moves =
    pools.length === 0 ? ["no bucket changes its owner"] : ["buckets that change their owner:", ...pools.map(moveLine)];
  return `${[...changes.map(changeLine), ...moves].join("\n")}\n`;
}

export const timeText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

/** Changes, newest first. */
export function historyText(records: readonly WantedRecord[]): string {
  if (records.length === 0) return "no change is remembered\n";
  return textTable(
    ["change", "when", "who", "why"],
    records.map(({ change, when, who, why }) => [String(change), timeText(when), who, why]),
  );
}
