/** What an agent holds in memory when it tracks a million flows. */
import { readFileSync } from "node:fs";
import { readInstance } from "../control/instance.ts";
import { readLiveTables } from "../control/live-tables.ts";
import { runtimeDir } from "../lab/state.ts";
import { countFlows } from "../shm/flow-table.ts";
import { hostClock } from "../shm/host-clock.ts";
import { startOn } from "./namespace-process.ts";
import { type Part, pick, type Sample } from "./part.ts";
import { SMALL_PACKETS } from "./paths.ts";
import { generate } from "./small.ts";
import { GUE_PORT, SERVER } from "./stand.ts";

const FLOWS = 1_000_000;
const FLOWS_SMOKE = 20_000;
/** Flows a second: below what two workers enter into a table of a million, each of which has its share of a budget. */
const FLOWS_A_SECOND = 80_000;

/** Megabytes (10^6) that a process holds, with files it has mapped. */
function residentMegabytes(pid: number): number {
  const kilobytes = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return (kilobytes * 1024) / 1e6;
}

export const memory: Part = {
  name: "memory",
  title: "Agent with 1,000,000 flows: resident memory",
  figures: {
    resident: { unit: "MB", better: "less" },
    tracked: { title: "flows it tracks", unit: "flows", better: "more" },
  },
  needs: [],
  paths: pick(SMALL_PACKETS, "haflinger"),
  once: true,
  warmUp: 0,
  async measure({ stand, smoke }, path): Promise<Sample> {
    const [director] = path.through as [string];
    const flows = smoke ? FLOWS_SMOKE : FLOWS;
    // Somebody has to take the packets: else each of them brings an ICMP error back.
    const sink = await startOn(stand, SERVER, "sink", [GUE_PORT, 120]);
    await generate(stand, director, flows, FLOWS_A_SECOND, 60, true);
    await generate(stand, director, flows, FLOWS_A_SECOND, flows / FLOWS_A_SECOND);
    await sink.stop();
    const dir = runtimeDir(stand.lab, director);
    const { pid } = readInstance(dir)!;
    const { established } = countFlows(readLiveTables(dir).flows, Math.trunc(hostClock() / 1000));
    return { resident: residentMegabytes(pid), tracked: established };
  },
};
