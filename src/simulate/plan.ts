/** What befalls the hosts of a modelled cluster, and when. */
import type { Random } from "./random.ts";

export const SCENARIOS = ["uneven", "failures", "upgrade"] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** What is said of hosts: no new flows; nothing any more; everything again. `dies`: it is dead, and nobody knows yet. */
export type Act = "drain" | "down" | "up" | "dies";

export interface PlannedEvent {
  /** Seconds from the beginning. */
  readonly time: number;
  readonly act: Act;
  /** Numbers of the hosts. */
  readonly hosts: readonly number[];
}

export interface PlanSpec {
  readonly hosts: number;
  /** Seconds before the first event: the time in which weights settle. */
  readonly lead: number;
  /** Of failures: how many hosts die, one after the other. */
  readonly failures: number;
  /** Of a rolling upgrade: how many hosts at a time. */
  readonly batch: number;
  readonly drainSeconds: number;
}

/** From a host's death to the table without it, and from then until it is back. */
export const DETECT_SECONDS = 3;
const REPAIR_SECONDS = 300;
/** How long an upgraded host is away, and from its return to the next batch. */
const RESTART_SECONDS = 60;
const PAUSE_SECONDS = 60;

/** The events of a scenario in order of time. `uneven` has none: hosts are different, and that is all. */
export function planOf(scenario: Scenario, spec: PlanSpec, random: Random): readonly PlannedEvent[] {
  if (scenario === "failures") return failures(spec, random);
  return scenario === "upgrade" ? upgrade(spec) : [];
}

function failures({ hosts, lead, failures: count }: PlanSpec, random: Random): PlannedEvent[] {
  return Array.from({ length: count }, (_, i): PlannedEvent[] => {
    const time = lead + i * 2 * REPAIR_SECONDS;
    const host = [random.below(hosts)];
    return [
      { time, act: "dies", hosts: host },
      { time: time + DETECT_SECONDS, act: "down", hosts: host },
      { time: time + DETECT_SECONDS + REPAIR_SECONDS, act: "up", hosts: host },
    ];
  }).flat();
}

/** Batch by batch: drained, stopped when the drain time is over whatever flows are left, and back in its new version. */
function upgrade({ hosts, lead, batch, drainSeconds }: PlanSpec): PlannedEvent[] {
  const cycle = drainSeconds + RESTART_SECONDS + PAUSE_SECONDS;
  return Array.from({ length: Math.ceil(hosts / batch) }, (_, i): PlannedEvent[] => {
    const time = lead + i * cycle;
    const group = Array.from({ length: Math.min(batch, hosts - i * batch) }, (_, k) => i * batch + k);
    return [
      { time, act: "drain", hosts: group },
      { time: time + drainSeconds, act: "down", hosts: group },
      { time: time + drainSeconds + RESTART_SECONDS, act: "up", hosts: group },
    ];
  }).flat();
}
