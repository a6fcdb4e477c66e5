/** What an agent did and does, read from the files of its runtime directory; the agent notices nothing of it. */
import { readFileSync } from "node:fs";
import { readRules, ruleCountersPath } from "../io/rule-files.ts";
import { bankPath, controlPath, countersPath } from "../io/runtime-files.ts";
import { bankOf, bankSerial, CONTROL_LAYOUT, controlWords, currentGeneration } from "../shm/control-block.ts";
import { COUNTERS_LAYOUT, type CounterSnapshot, readCounters } from "../shm/counters.ts";
import { readNames } from "../shm/forwarding-table.ts";
import { isRegion } from "../shm/region.ts";
import { RULE_COUNTERS_LAYOUT, type RuleCounts, readRuleCounts } from "../shm/rules.ts";
import { type EgressUse, egressUse } from "./egress-use.ts";
import { Failure } from "./failure.ts";
import { type InstanceInfo, readInstance } from "./instance.ts";
import { tunName } from "./own-place.ts";

export interface Status extends CounterSnapshot, InstanceInfo {
  readonly running: boolean;
  readonly generation: number;
  /** What drop rules did, by name. */
  readonly rules: Readonly<Record<string, RuleCounts>>;
  /** How much of its slices the host uses, by egress IP. */
  readonly egress: Readonly<Record<string, EgressUse>>;
}

/** A mapped file's bytes as they are now; the page cache is what the agent writes to. */
function bytesOf(path: string): ArrayBuffer {
  const file = readFileSync(path);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) as ArrayBuffer;
}

/** Reads a runtime directory. Throws a Failure when no agent has run there. */
export function readStatus(dir: string): Status {
  const info = readInstance(dir);
  if (info === null)
    throw new Failure(
      `${dir}: no agent is running here (start one with \`hafl run\`, or name another with --instance or --runtime-dir)`,
    );
  try {
    const control = bytesOf(controlPath(dir));
    const counters = bytesOf(countersPath(dir));
    if (!isRegion(control, CONTROL_LAYOUT) || !isRegion(counters, COUNTERS_LAYOUT)) {
      throw new Failure(`${dir}: written by another version of hafl (use that one, or restart the agent)`);
    }
    const words = controlWords(control);
    const generation = currentGeneration(words);
    const bank = bankOf(generation);
    const names = readNames(bytesOf(bankPath(dir, bank, bankSerial(words, bank))));
    const egress = egressUse(names, info.host, info.pid, tunName(info.instance));
    const rules = rulesOf(dir);
    return {
      ...info,
      running: isAlive(info.pid),
      generation,
      ...readCounters(counters, names.hosts, names.services),
      rules,
      egress,
    };
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${dir}: cannot be read: ${(error as Error).message}`);
  }
}

function rulesOf(dir: string): Record<string, RuleCounts> {
  const { rules } = readRules(dir);
  if (rules.length === 0) return {};
  const counters = bytesOf(ruleCountersPath(dir));
  return isRegion(counters, RULE_COUNTERS_LAYOUT) ? readRuleCounts(counters, rules) : {};
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
