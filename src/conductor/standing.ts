/** How a host of a pool stands: up or down, and how long what is seen of it has to last until it turns. Pure; times by the cluster's clock, ms. */
import type { ConductorConfig } from "../control/config-conductor.ts";
import type { Standing } from "../store/records.ts";
import type { Verdict } from "./evidence.ts";

export const UP: Standing = { up: true, since: 0, turned: null, flaps: 0, reason: "" };

/** Flaps that are not forgotten: one is with every decay time that the host is up. */
export function flapsLeft({ up, since, flaps }: Standing, now: number, { flapDecaySeconds }: ConductorConfig): number {
  return up ? Math.max(0, flaps - Math.floor((now - since) / (flapDecaySeconds * 1000))) : flaps;
}

/** Takes note of what is seen now. Nobody being able to tell breaks off what was about to happen: things stay as they are. */
export function observe(standing: Standing, verdict: Verdict, now: number, patience: ConductorConfig): Standing {
  const contrary = verdict.healthy !== null && verdict.healthy !== standing.up;
  const flaps = flapsLeft(standing, now, patience) === 0 ? 0 : standing.flaps;
  const reason = verdict.reason !== "" ? verdict.reason : standing.up ? "" : standing.reason;
  return { ...standing, turned: contrary ? (standing.turned ?? now) : null, flaps, reason };
}

/**
 * When it may turn if what is seen of it goes on; null: it agrees with how it stands. Going down takes the hold time; coming back the
 * rise time, and twice as long down with every flap. One that never was up has nothing to make up for.
 */
export function ripeAt({ up, since, turned, flaps }: Standing, patience: ConductorConfig): number | null {
  if (turned === null) return null;
  if (up) return turned + patience.holdMs;
  if (flaps === 0) return turned;
  const rise = patience.riseSeconds * 1000;
  return Math.max(turned + rise, since + heldDown(flaps, patience));
}

/** How long a host is down at least after it went down so many times, ms. */
export const heldDown = (flaps: number, { riseSeconds, riseMaxSeconds }: ConductorConfig): number =>
  1000 * Math.min(riseMaxSeconds, riseSeconds * 2 ** Math.min(flaps - 1, 32));

/** The other way round, from now on. */
export function turn(standing: Standing, now: number, patience: ConductorConfig): Standing {
  const flaps = flapsLeft(standing, now, patience) + (standing.up ? 1 : 0);
  return { up: !standing.up, since: now, turned: null, flaps, reason: standing.up ? standing.reason : "" };
}

/** Whether there is nothing to remember. */
export const isPlain = ({ up, turned, flaps }: Standing): boolean => up && turned === null && flaps === 0;
