/** What one check or probe found, and what is held of a service after several of them. */
import type { Rhythm } from "../control/config-health.ts";
import type { Outcome } from "../store/records.ts";

export interface Finding {
  readonly outcome: Outcome;
  /** What is wrong, in a few words; empty when nothing is. */
  readonly reason: string;
}

export const FINE: Finding = { outcome: "answered", reason: "" };

export const failed = (outcome: Exclude<Outcome, "answered">, reason: string): Finding => ({ outcome, reason });

/** Of a check that is given up; it is not looked at. */
export const GIVEN_UP = failed("slow", "the check was given up");

/** What is held of something that is checked again and again. */
export interface Standing {
  /** null: it has not been checked yet. */
  readonly healthy: boolean | null;
  /** Findings in a row that say the opposite. */
  readonly against: number;
  /** The last finding that counts: of one that is healthy a good one, else a bad one. */
  readonly finding: Finding;
}

export const UNKNOWN: Standing = { healthy: null, against: 0, finding: FINE };

/** What is held after one more finding. The first one decides by itself: waiting would leave it unknown even longer. */
export function weigh(before: Standing, finding: Finding, { rise, fall }: Pick<Rhythm, "rise" | "fall">): Standing {
  const good = finding.outcome === "answered";
  if (before.healthy === null || before.healthy === good) return { healthy: good, against: 0, finding };
  const against = before.against + 1;
  if (against >= (good ? rise : fall)) return { healthy: good, against: 0, finding };
  return { ...before, against };
}

/** Whether the last finding contradicts what is held: the next one should not be long. */
export const inDoubt = ({ against }: Standing): boolean => against > 0;
