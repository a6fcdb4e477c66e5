/** Whether a host is fit for a service, as far as the cluster can tell: what it says of itself, and what the others find when they probe it. Pure. */
import { type HostReport, type Probed, type ProbesRecord, RENEW_MS } from "../store/records.ts";

/** A record, and when the conductor saw it written last, by the cluster's clock. What time its writer thought it was does not count. */
export interface Seen<T> {
  readonly record: T;
  readonly at: number;
}

export interface Sightings {
  readonly reports: ReadonlyMap<string, Seen<HostReport>>;
  readonly probes: ReadonlyMap<string, Seen<ProbesRecord>>;
}

export interface Verdict {
  /** null: nobody can tell. */
  readonly healthy: boolean | null;
  /** Why not; else empty. */
  readonly reason: string;
}

/** A record that was not written anew for so long says nothing any more, ms. */
export const STALE_MS = 3 * RENEW_MS;

/** Problems of a host that concern it as a director only: what it owns it can serve. */
const OF_DIRECTORS: readonly string[] = ["store", "overload"];

const HEALTHY: Verdict = { healthy: true, reason: "" };
const UNKNOWN: Verdict = { healthy: null, reason: "" };
const sick = (reason: string): Verdict => ({ healthy: false, reason });

/** The record, if it is recent; also one that seems to come from later than `now`: it cannot be older. */
export const recent = <T>(seen: Seen<T> | undefined, now: number): T | null =>
  seen !== undefined && now - seen.at < STALE_MS ? seen.record : null;

/** What a host says is wrong with itself as a target; null: nothing. */
function ownProblem({ problems }: HostReport): string | null {
  const found = Object.entries(problems).find(([source]) => !OF_DIRECTORS.includes(source));
  return found === undefined ? null : `${found[0]}: ${found[1]}`;
}

/** What the others found: by host, by service. */
export type Opinions = ReadonlyMap<string, ReadonlyMap<string, readonly Probed[]>>;

/** Of hosts whose probes count: in the cluster, heard of lately, and not broken themselves. Nobody is asked about itself. */
export function opinions(sightings: Sightings, hosts: ReadonlySet<string>, now: number): Opinions {
  const all = new Map<string, Map<string, Probed[]>>();
  for (const [prober, seen] of sightings.probes) {
    const record = recent(seen, now);
    const report = recent(sightings.reports.get(prober), now);
    if (record === null || !hosts.has(prober) || (report !== null && ownProblem(report) !== null)) continue;
    for (const [host, services] of Object.entries(record.hosts)) {
      if (host === prober) continue;
      const found = all.get(host) ?? new Map<string, Probed[]>();
      all.set(host, found);
      for (const [service, health] of Object.entries(services)) found.set(service, [...(found.get(service) ?? []), health]);
    }
  }
  return all;
}

/**
 * Judges a host for a service at `now`. Its own word counts when it says that it is not fit. Else the others outvote it by a majority of
 * those who probe it: who is cut off from its peers finds all of them dead, and they find one. Half of them are enough where the host
 * says nothing any more; without its word, but with good probes, it is only cut off from the store.
 */
export function judge(host: string, service: string, sightings: Sightings, others: Opinions, now: number): Verdict {
  const report = recent(sightings.reports.get(host), now);
  const own = report?.services[service];
  const problem = report === null ? null : ownProblem(report);
  if (problem !== null) return sick(`the host: ${problem}`);
  if (own?.healthy === false) return sick(own.reason || "its own check fails");
  const probes = others.get(host)?.get(service) ?? [];
  const bad = probes.filter(({ healthy }) => !healthy);
  const outvoted = report === null ? bad.length > 0 && 2 * bad.length >= probes.length : 2 * bad.length > probes.length;
  if (outvoted) {
    const silent = report === null ? "no report, and " : "";
    return sick(`${silent}${bad.length} of ${probes.length} probes: ${commonest(bad.map(({ reason }) => reason)) || "failed"}`);
  }
  return report === null && probes.length === 0 ? UNKNOWN : HEALTHY;
}

function commonest(texts: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].reduce((best, one) => (one[1] > best[1] ? one : best), ["", 0] as [string, number])[0];
}
