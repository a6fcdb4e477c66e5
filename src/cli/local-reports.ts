/** What agents on this machine do, for clusters whose hosts tell nobody: read from their runtime directories. */
import { join } from "node:path";
import type { Config } from "../control/config.ts";
import { instanceNames, RUN_ROOT, readInstance } from "../control/instance.ts";
import { OwnedFlows } from "../control/owned-flows.ts";
import { readStatus } from "../control/status.ts";
import { VERSION } from "../control/version.ts";
import type { Reported } from "./hosts-view.ts";

/** What the agents of a cluster that run here do, by host, as far as files tell: nothing of health, load and routes. */
export async function localReports({ cluster }: Config, change: number): Promise<Map<string, Reported>> {
  const reports = new Map<string, Reported>();
  for (const name of instanceNames()) {
    const dir = join(RUN_ROOT, name);
    if (readInstance(dir)?.cluster !== cluster) continue;
    const { host, generation, running } = readStatus(dir);
    if (!running) continue;
    const flows = await new OwnedFlows(dir, host).count();
    const unknown = { serials: {}, refused: null, problems: {}, announced: [], ageSeconds: 0, load: null };
    reports.set(host, { version: VERSION, change, generation, flows, ...unknown });
  }
  return reports;
}
