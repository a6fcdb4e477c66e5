/** The hosts of a cluster as all that lies in its store tells of them. Pure. */
import { judge, opinions, type Sightings } from "../conductor/evidence.ts";
import type { Config, HostConfig } from "../control/config.ts";
import { poolName } from "../control/site.ts";
import { type Cause, diagnose } from "../health/diagnose.ts";
import type { ClusterKeys } from "../store/keys.ts";
import {
  type ConductorRecord,
  type DecisionsRecord,
  type GenerationsRecord,
  type HostReport,
  type ProbesRecord,
  type RecordName,
  type RecordOf,
  readRecord,
} from "../store/records.ts";
import type { Entry } from "../store/store.ts";

export interface ServiceView {
  readonly name: string;
  /** null: nobody can tell. */
  readonly healthy: boolean | null;
  /** What is wrong, in a word or two. */
  readonly cause: Cause;
  /** Why not; what else is to be known; empty: nothing. */
  readonly reason: string;
  /** Whether it gets new flows by the newest generation; null: there is none yet. */
  readonly takes: boolean | null;
}

/** What a host reports of itself, or what can be seen of it here. */
export interface Reported
  extends Pick<HostReport, "change" | "generation" | "ageSeconds" | "serials" | "refused" | "problems" | "flows" | "announced"> {
  readonly version: string;
  /** null: nobody says. */
  readonly load: HostReport["load"] | null;
}

export interface HostView {
  readonly name: string;
  readonly state: HostConfig["state"];
  readonly weight: number;
  readonly site: string | null;
  /** null: it does not report. */
  readonly report: Reported | null;
  readonly services: readonly ServiceView[];
}

export interface ClusterOverview {
  readonly cluster: string;
  /** The change that is wanted; 0: none that can be read. */
  readonly change: number;
  readonly conductor: { readonly host: string; readonly pid: number; readonly since: number } | null;
  readonly frozen: Readonly<Record<string, string>>;
  readonly alarms: readonly string[];
  /** Hosts report to the store; else only those of this machine can be seen. */
  readonly shared: boolean;
  /** What of the store cannot be read. */
  readonly refused: readonly string[];
  readonly hosts: readonly HostView[];
}

/** What was read, by what it is. */
export class Findings {
  readonly reports = new Map<string, HostReport>();
  readonly probes = new Map<string, ProbesRecord>();
  readonly pools = new Map<string, GenerationsRecord>();
  decisions: DecisionsRecord | null = null;
  conductor: ConductorRecord | null = null;
  readonly refused: string[] = [];

  constructor(keys: ClusterKeys, entries: readonly Entry[]) {
    for (const { key, value } of entries) {
      if (key.startsWith(keys.allHosts)) this.#take("hostReport", key, value, (one) => this.reports.set(one.host, one));
      else if (key.startsWith(keys.allProbes)) this.#take("probes", key, value, (one) => this.probes.set(one.host, one));
      else if (key.startsWith(keys.allGenerations))
        this.#take("generations", key, value, (one) => this.pools.set(one.service, one));
      else if (key === keys.decisions)
        this.#take("decisions", key, value, (one) => {
          this.decisions = one;
        });
      else if (key === keys.conductor)
        this.#take("conductor", key, value, (one) => {
          this.conductor = one;
        });
    }
  }

  #take<N extends RecordName>(name: N, key: string, value: string, take: (record: RecordOf<N>) => void): void {
    const read = readRecord(name, key, value);
    if ("record" in read) take(read.record);
    else this.refused.push(read.error);
  }

  /** All as if it was written just now: what is leased is there as long as its writer is. */
  get sightings(): Sightings {
    const now = <T>(all: ReadonlyMap<string, T>) => new Map([...all].map(([host, record]) => [host, { record, at: 0 }] as const));
    return { reports: now(this.reports), probes: now(this.probes) };
  }
}

/** Puts the view together. `change` is that of the config; `local` is what can be seen here where hosts do not report, else null. */
export function overview(
  config: Config,
  change: number,
  found: Findings,
  local: ReadonlyMap<string, Reported> | null = null,
): ClusterOverview {
  const { sightings } = found;
  const others = opinions(sightings, new Set(config.hosts.map(({ name }) => name)), 0);
  const { decisions, conductor } = found;
  const frozen = Object.entries(decisions?.pools ?? {}).flatMap(([pool, one]) =>
    one.frozen === null ? [] : [[pool, one.frozen.why]],
  );
  const servicesOf = (host: HostConfig): ServiceView[] =>
    config.services
      .filter(({ pool }) => pool.some((member) => member.host === host.name))
      .map((service) => {
        const { healthy, reason } = judge(host.name, service.name, sightings, others, 0);
        const pool = poolName(config, service, host.site);
        const standing = decisions?.pools[pool]?.hosts[host.name];
        const newest = found.pools.get(pool)?.generations[0];
        const takes = newest === undefined ? null : newest.hosts.some(({ name, weight }) => name === host.name && weight > 0);
        const probes = others.get(host.name)?.get(service.name) ?? [];
        const { cause, text } = diagnose(service.name, found.reports.get(host.name) ?? null, probes);
        const held = healthy !== false && standing?.up === false ? `held down: ${standing.reason}` : "";
        return { name: service.name, healthy, cause, reason: (healthy === false && text) || reason || held, takes };
      });
  return {
    cluster: config.cluster,
    change,
    conductor: conductor === null ? null : { host: conductor.host, pid: conductor.pid, since: conductor.since },
    frozen: Object.fromEntries(frozen),
    alarms: decisions?.alarms ?? [],
    shared: local === null,
    refused: found.refused,
    hosts: config.hosts.map((host) => ({
      name: host.name,
      state: host.state,
      weight: host.weight,
      site: host.site,
      report: reportOf(found.reports.get(host.name)) ?? local?.get(host.name) ?? null,
      services: servicesOf(host),
    })),
  };
}

function reportOf(report: HostReport | undefined): Reported | null {
  if (report === undefined) return null;
  const { format: _format, host: _host, when: _when, services: _services, ...rest } = report;
  return rest;
}
