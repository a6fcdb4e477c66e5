/** The tables, flows and rules of an agent, as they are at this moment. Everything is a copy: the agent notices nothing. */
import { readFileSync, statSync } from "node:fs";
import { limitsPath, readRules } from "../io/rule-files.ts";
import { bankPath, controlPath, flowsPath, synsPath } from "../io/runtime-files.ts";
import { BUCKETS_BYTES, BUCKETS_LAYOUT } from "../shm/bucket-layout.ts";
import { bankOf, bankSerial, CONTROL_LAYOUT, controlWords, currentGeneration } from "../shm/control-block.ts";
import { FLOWS_LAYOUT, type FlowTable, viewFlows } from "../shm/flow-table.ts";
import { createTables, FORWARDING_LAYOUT, load, type Names, readNames, type Tables } from "../shm/forwarding-table.ts";
import { isRegion, type Layout } from "../shm/region.ts";
import type { RuleSpec } from "../shm/rules.ts";
import { SYNS_BYTES, SYNS_LAYOUT, viewSyns } from "../shm/syn-memory.ts";
import { Failure } from "./failure.ts";
import { readTablesOrigin } from "./history-file.ts";

export interface LiveTables {
  readonly tables: Tables;
  readonly names: Names;
  readonly flows: FlowTable;
  /** SYNs of the last minute. */
  readonly syns: Int32Array;
  readonly rules: readonly RuleSpec[];
  /** Token buckets of rules with limits, see shm/bucket-layout.ts. */
  readonly limits: ArrayBuffer;
  /** What the tables were made from; null when the agent is of an earlier version, which did not write it down. */
  readonly origin: ReturnType<typeof readTablesOrigin>;
}

/** How often reading begins anew when the tables are replaced meanwhile. */
const ATTEMPTS = 5;

/** A copy of a shared file. */
function copyOf(path: string): ArrayBuffer {
  const buffer = new ArrayBuffer(statSync(path).size);
  new Uint8Array(buffer).set(readFileSync(path));
  return buffer;
}

/** A copy of a region, or an empty one where there is none of this layout: an agent without rules has no limits. */
function copyOrEmpty(path: string, bytes: number, layout: Layout): ArrayBuffer {
  try {
    const buffer = copyOf(path);
    if (buffer.byteLength === bytes && isRegion(buffer, layout)) return buffer;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return new ArrayBuffer(bytes);
}

function readControl(dir: string): Int32Array {
  const control = copyOf(controlPath(dir));
  if (!isRegion(control, CONTROL_LAYOUT)) throw new Failure(`${dir}: written by another version of hafl (restart the agent)`);
  return controlWords(control);
}

/** One reading of all files; null when the tables were replaced while it lasted. The origin may be of the next generation. */
function tryRead(dir: string): LiveTables | null {
  const words = readControl(dir);
  const generation = currentGeneration(words);
  const bank = bankOf(generation);
  const buffer = copyOf(bankPath(dir, bank, bankSerial(words, bank)));
  const origin = readTablesOrigin(dir);
  const { rules } = readRules(dir);
  const flows = copyOf(flowsPath(dir));
  if (currentGeneration(readControl(dir)) !== generation) return null;
  if (!isRegion(buffer, FORWARDING_LAYOUT) || !isRegion(flows, FLOWS_LAYOUT)) return null;
  const tables = createTables();
  load(tables, buffer);
  return {
    tables,
    names: readNames(buffer),
    flows: viewFlows(flows, 0),
    syns: viewSyns(copyOrEmpty(synsPath(dir), SYNS_BYTES, SYNS_LAYOUT)),
    rules,
    limits: copyOrEmpty(limitsPath(dir), BUCKETS_BYTES, BUCKETS_LAYOUT),
    origin,
  };
}

/** Reads a runtime directory. Throws a Failure when no agent has left tables there, or one of another version. */
export function readLiveTables(dir: string): LiveTables {
  try {
    let last: LiveTables | null = null;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      last = tryRead(dir);
      // The history is written a moment before its tables become current.
      if (last !== null && (last.origin === null || last.origin.generation === last.tables.generation)) return last;
    }
    // Who was killed in that moment has left it so.
    if (last !== null) return { ...last, origin: null };
    throw new Failure(`${dir}: the tables are being replaced, or are of another version of hafl (try again)`);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${dir}: no agent's tables can be read here: ${(error as Error).message}`);
  }
}
