/** The tables and flows of a running agent, as they are at this moment. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { bankPath, flowsPath } from "../io/runtime-files.ts";
import { bankOf, bankSerial, CONTROL_LAYOUT, controlWords, currentGeneration } from "../shm/control-block.ts";
import { FLOWS_LAYOUT, type FlowTable, viewFlows } from "../shm/flow-table.ts";
import { createTables, FORWARDING_LAYOUT, load, type Names, readNames, type Tables } from "../shm/forwarding-table.ts";
import { isRegion } from "../shm/region.ts";
import { Failure } from "./failure.ts";

export interface LiveTables {
  readonly tables: Tables;
  readonly names: Names;
  readonly flows: FlowTable;
}

/** A copy of a shared file, so that the agent is not disturbed and what is read stays as it is. */
function copyOf(path: string): ArrayBuffer {
  const buffer = new ArrayBuffer(statSync(path).size);
  new Uint8Array(buffer).set(readFileSync(path));
  return buffer;
}

/** Reads the tables in a runtime directory. Throws a Failure when there are none, or of another version. */
export function readLiveTables(dir: string): LiveTables {
  try {
    const control = copyOf(join(dir, "control"));
    if (!isRegion(control, CONTROL_LAYOUT)) throw new Failure(`${dir}: written by another version of hafl (restart the agent)`);
    const words = controlWords(control);
    const bank = bankOf(currentGeneration(words));
    const buffer = copyOf(bankPath(dir, bank, bankSerial(words, bank)));
    const flows = copyOf(flowsPath(dir));
    if (!isRegion(buffer, FORWARDING_LAYOUT) || !isRegion(flows, FLOWS_LAYOUT)) {
      throw new Failure(`${dir}: the tables are being replaced, or are of another version of hafl (try again)`);
    }
    const tables = createTables();
    load(tables, buffer);
    return { tables, names: readNames(buffer), flows: viewFlows(flows, 0) };
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${dir}: no agent's tables can be read here: ${(error as Error).message}`);
  }
}
