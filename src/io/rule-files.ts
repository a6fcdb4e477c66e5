/** Files of drop rules in a runtime directory: the rules themselves, their counters, their limits, the samples taken for them. */
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeRules, encodeRules, type RulesFile } from "../shm/rules.ts";

const rulesPath = (dir: string): string => join(dir, "rules.json");
export const ruleCountersPath = (dir: string): string => join(dir, "rule-counters");
export const limitsPath = (dir: string): string => join(dir, "limits");
export const samplesPath = (dir: string): string => join(dir, "samples");

/** Replaces the rules at once. Workers take them up with the next generation. */
export function writeRules(dir: string, rules: RulesFile): void {
  const path = rulesPath(dir);
  writeFileSync(`${path}.new`, encodeRules(rules), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Something that differs when the file is another: most generations have the rules of the one before, and looking costs less than reading. */
export function rulesStamp(dir: string): bigint {
  const status = statSync(rulesPath(dir), { bigint: true, throwIfNoEntry: false });
  return status === undefined ? 0n : status.mtimeNs ^ (status.ino << 64n);
}

/** The rules' text, the empty string when there is no such file. */
export function readRulesText(dir: string): string {
  try {
    return readFileSync(rulesPath(dir), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** The rules; none when there is no such file or it cannot be understood. */
export function readRules(dir: string): RulesFile {
  try {
    const text = readRulesText(dir);
    return text === "" ? { rules: [], slots: [] } : decodeRules(text);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return { rules: [], slots: [] };
    throw error;
  }
}
