/** Which routes a host should announce now, and why not. Pure. */
import type { Config, HostConfig } from "../control/config.ts";
import { type FitnessBoard, OVERLOAD } from "../control/fitness.ts";
import { takenOver } from "../control/running-config.ts";
import type { HostReport } from "../store/records.ts";
import { contains, type Prefix } from "../wire/address.ts";

/** What hosts say of themselves in the store, by name; null: nobody knows, there is no store or it is away. */
export type Reports = ReadonlyMap<string, HostReport> | null;

/** Use of the CPUs that others may come to when they take over what an overloaded host lets go. */
const ROOM = 0.8;

export interface Announcements {
  readonly announced: readonly Prefix[];
  /** With the reason of each. */
  readonly withheld: readonly { readonly prefix: Prefix; readonly why: string }[];
  /** Why the host announces nothing; null: it is fit. */
  readonly unfit: string | null;
}

/** A host whose load is not known has no room. */
const cpuOf = (report: HostReport): number => report.load?.cpu ?? 1;

/**
 * Whether others would carry what this host lets go: only of the busiest of those that have too much, as long as at least half of the
 * site's hosts announce, and none of them comes near to having too much itself. Where nothing is known of others there is no room.
 */
export function othersHaveRoom(config: Config, host: HostConfig, reports: Reports): boolean {
  const own = reports?.get(host.name);
  if (own === undefined) return false;
  const site = config.hosts.filter((other) => other.site === host.site && other.state === "active");
  const announcing = site.flatMap((other) => {
    const report = other.name === host.name ? undefined : reports!.get(other.name);
    return report !== undefined && report.announced.length > 0 ? [report] : [];
  });
  const busier = (other: HostReport): boolean =>
    OVERLOAD in other.problems && (cpuOf(other) > cpuOf(own) || (cpuOf(other) === cpuOf(own) && other.host < own.host));
  if (announcing.length * 2 < site.length || announcing.some(busier)) return false;
  const carried = announcing.reduce((sum, other) => sum + cpuOf(other), cpuOf(own));
  return carried / announcing.length <= ROOM;
}

/** Why this host should get no packets at all; null: it should. */
function unfitness(config: Config, host: HostConfig, board: FitnessBoard, reports: Reports): string | null {
  if (host.state === "down") return "the host is down by the config";
  for (const [source, text] of board.problems) {
    if (source !== OVERLOAD) return `${source}: ${text}`;
    if (othersHaveRoom(config, host, reports)) return `${source}: ${text}, and others have room`;
  }
  return null;
}

/**
 * Why packets for a prefix should rather come to another site; null: they may come here. A host whose own service is sick goes on
 * passing packets to those where it is not; but when no host of the site can serve and another site can, that is the place to go.
 */
function elsewhere(config: Config, host: HostConfig, board: FitnessBoard, reports: Reports, vip: Prefix): string | null {
  const services = config.services.filter(({ vips }) => vips.some((other) => isWithin(vip, other)));
  if (services.some(({ sites }) => sites === "all")) return null;
  const able = ({ name, state }: HostConfig, service: string): boolean => {
    if (state !== "active") return false;
    if (name === host.name) return board.services.get(service)?.healthy !== false;
    if (reports === null) return true;
    const report = reports.get(name);
    return report !== undefined && report.services[service]?.healthy !== false;
  };
  const serving = services.flatMap((service) =>
    config.hosts.filter((other) => {
      const weight = service.pool.find((member) => member.host === other.name)?.weight ?? 0;
      return weight > 0 && able(other, service.name);
    }),
  );
  if (serving.length === 0 || serving.some(({ site }) => site === host.site)) return null;
  const there = [...new Set(serving.map(({ site }) => site ?? "none"))].join(", ");
  return `no host of site ${host.site ?? "none"} serves it, hosts of site ${there} do`;
}

const isWithin = (inner: Prefix, outer: Prefix): boolean => outer.length <= inner.length && contains(outer, inner.address);

/** What this host should announce. `host` is of `config`. */
export function announcements(config: Config, host: HostConfig, board: FitnessBoard, known: Reports): Announcements {
  // Where its own report is missing nothing can be made of another's that is.
  const reports = known?.has(host.name) ? known : null;
  const all = takenOver(config);
  const distinct = [...new Map(all.map((prefix) => [JSON.stringify(prefix), prefix])).values()];
  const unfit = unfitness(config, host, board, reports);
  if (unfit !== null) return { announced: [], withheld: distinct.map((prefix) => ({ prefix, why: unfit })), unfit };
  const announced: Prefix[] = [];
  const withheld: { prefix: Prefix; why: string }[] = [];
  for (const prefix of distinct) {
    const why = elsewhere(config, host, board, reports, prefix);
    if (why === null) announced.push(prefix);
    else withheld.push({ prefix, why });
  }
  return { announced, withheld, unfit };
}
