/** Trouble of a whole site is no sick host: when too much of a pool turns unhealthy at once nothing moves, and somebody has to look. Pure. */
import type { ConductorConfig } from "../control/config-conductor.ts";
import type { PoolDecisions, Standing } from "../store/records.ts";
import type { Verdict } from "./evidence.ts";

/** A host of a pool that is to take new connections, as it stands and as it is seen. */
export interface PoolMember {
  readonly host: string;
  readonly standing: Standing;
  readonly verdict: Verdict;
}

export type Frozen = PoolDecisions["frozen"];

/** Hosts that turn unhealthy within this time belong together, ms. */
const WINDOW_MS = 60_000;

/** One host is never a site, however small the pool. */
const isTooMany = (count: number, of: number, share: number): boolean => count >= 2 && count > share * of + 1e-9;

/** It turned unhealthy, or was taken out for that, within the window. One that never was up has not turned. */
function fellLately({ standing: { up, since, turned, flaps } }: PoolMember, now: number): boolean {
  const fell = up ? turned : flaps > 0 ? since : null;
  return fell !== null && now - fell < WINDOW_MS;
}

/**
 * Whether the pool is frozen at `now`, when `leaving` of its members are about to be taken out. It is, when more than the share fell within
 * a minute; until no more than that are seen to be sick for as long as a host that comes back has to be healthy. Hosts that the operator
 * takes out are no members: that is how the rest of the pool is set free when the sick ones will not recover.
 */
export function freeze(
  before: Frozen,
  members: readonly PoolMember[],
  leaving: number,
  now: number,
  patience: ConductorConfig,
): Frozen {
  const taking = members.filter(({ standing: { up, flaps } }) => up || flaps > 0);
  const tooMany = (count: number): boolean => isTooMany(count, taking.length, patience.freezeShare);
  if (before === null) {
    const fallen = taking.filter((member) => fellLately(member, now));
    if (leaving === 0 || !tooMany(fallen.length)) return null;
    const names = fallen.map(({ host }) => host).sort();
    const shown = names.length > 5 ? `${names.slice(0, 5).join(", ")}, ...` : names.join(", ");
    return {
      since: now,
      why: `${names.length} of ${taking.length} hosts turned unhealthy within a minute: ${shown}`,
      calm: null,
    };
  }
  const sick = taking.filter(({ verdict }) => verdict.healthy === false).length;
  if (tooMany(sick)) return { ...before, calm: null };
  const calm = before.calm ?? now;
  return now - calm >= patience.riseSeconds * 1000 ? null : { ...before, calm };
}
