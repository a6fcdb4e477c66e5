/** What is wrong with a host that its agent can see for itself, by source and with the remedy. Pure. */
import { belongsHere, type Desired, isLocal, isOurs } from "../control/plan.ts";
import { type Address, formatAddress, formatPrefix, type Prefix } from "../wire/address.ts";
import type { HostFacts, Route } from "./host-facts.ts";

/** Who says so on the board. */
export const SOURCES = ["tun", "uplink", "rp_filter", "vips", "rules", "gue", "workers", "store"] as const;
export type Source = (typeof SOURCES)[number];
export type Problems = ReadonlyMap<Source, string>;

/** Names of a few of many. */
function few(names: readonly string[]): string {
  return names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
}

function device(name: string, { devices }: HostFacts): string | null {
  const up = devices.get(name);
  if (up === undefined) return `${name} is gone`;
  return up ? null : `${name} is down (ip link set ${name} up)`;
}

const uplinks = (desired: Desired, facts: HostFacts): string | null =>
  desired.uplinks.map((uplink) => device(uplink, facts)).find((text) => text !== null) ?? null;

const isWhole = ({ address, length }: Prefix): boolean => length === (address.family === 4 ? 32 : 128);

function vips(desired: Desired, { addresses, families }: HostFacts): string | null {
  const missing = desired.vips.filter((vip) => {
    if (!belongsHere(vip, desired)) return false;
    if (isWhole(vip)) return !addresses.has(formatAddress(vip.address));
    const local = families.get(vip.address.family)?.local ?? [];
    return !local.some(({ dst, type }) => type === "local" && dst === formatPrefix(vip));
  });
  const [first] = missing;
  if (first === undefined) return null;
  const text = formatPrefix(first);
  const remedy = isWhole(first) ? `ip addr add ${text}/${first.length} dev lo` : `ip route add local ${text} dev lo`;
  return `${few(missing.map(formatPrefix))} missing on lo (${remedy})`;
}

/** The rule that leads to our table, before the local one, and what is to be in the table. */
function rules(desired: Desired, { families }: HostFacts): string | null {
  const { uplinks, table, mode, tun } = desired;
  for (const [family, facts] of families) {
    const ours = desired.vips.filter(({ address }) => address.family === family);
    if (ours.length === 0) continue;
    const local = Math.min(...facts.rules.filter(isLocal).map(({ priority }) => priority));
    for (const uplink of uplinks) {
      const rule = facts.rules.find((one) => isOurs(one) && one.iif === uplink && one.table === String(table));
      if (rule === undefined)
        return `no rule leads IPv${family} packets from ${uplink} to table ${table} (start the agent again)`;
      if (local <= rule.priority)
        return `IPv${family}: the local table is looked up at ${local}, before rule ${rule.priority} (start the agent again)`;
    }
    const has = (vip: Prefix, wanted: (route: Route) => boolean): boolean =>
      facts.routes.some((route) => route.dst === formatPrefix(vip) && wanted(route));
    const open = ours.filter((vip) => !has(vip, ({ type }) => type === "blackhole"));
    if (open.length > 0)
      return `the blackhole route of ${few(open.map(formatPrefix))} is missing in table ${table} (start the agent again)`;
    const lost = mode === "tun" ? ours.filter((vip) => !has(vip, ({ dev }) => dev === tun)) : [];
    if (lost.length > 0)
      return `the route of ${few(lost.map(formatPrefix))} to ${tun} is missing in table ${table} (start the agent again)`;
  }
  return null;
}

function gue(dips: readonly Address[], port: number, workers: number, { addresses, gueSockets }: HostFacts): string | null {
  for (const dip of dips.map(formatAddress)) {
    if (!addresses.has(dip)) return `${dip}, where GUE is sent, is not an address of this host`;
    const count = gueSockets.get(dip) ?? 0;
    if (count < workers) return `${count} of ${workers} sockets listen on ${dip} UDP port ${port} (start the agent again)`;
  }
  return null;
}

/** What is wrong with the host's network. */
export function networkProblems(
  desired: Desired,
  { dips, port, workers }: { readonly dips: readonly Address[]; readonly port: number; readonly workers: number },
  facts: HostFacts,
): Problems {
  const { tun } = desired;
  const ipv4 = desired.vips.some(({ address }) => address.family === 4);
  const strict = ipv4 && facts.reversePath === 1;
  const found: [Source, string | null][] = [
    ["tun", device(tun, facts)],
    ["uplink", uplinks(desired, facts)],
    [
      "rp_filter",
      strict
        ? `rp_filter of ${tun} is 1: the kernel drops what is delivered (sysctl -w net.ipv4.conf.{all,${tun}}.rp_filter=0)`
        : null,
    ],
    ["vips", vips(desired, facts)],
    ["rules", rules(desired, facts)],
    ["gue", gue(dips, port, workers, facts)],
  ];
  return new Map(found.filter((one): one is [Source, string] => one[1] !== null));
}

/** What is wrong when the store has been out of reach for `age` seconds; null: nothing. The same words all the time: each change is logged. */
export function tooOld(age: number | null, maxAge: number | null): string | null {
  if (maxAge === null || age === null || age <= maxAge) return null;
  return `the tables are too old: the store has been out of reach for more than ${maxAge} s (health.maxAge)`;
}

/** Rounds in which a worker may stand still: one that has nothing to do turns once a second, one that is handed over waits 3 s at most. */
export const STILL_ROUNDS = 3;

/** What is read of a worker in one round. */
export interface Pulse {
  /** See turnsOf(). */
  readonly turns: number;
  /** The generation it works with; 0: it does not run, as it is not to. */
  readonly seen: number;
}

interface Beat extends Pulse {
  readonly still: number;
  readonly behind: number;
}

/** Judges workers round after round. Rounds count, not seconds: a machine that slept has lost no worker. */
export class WorkerPulses {
  #beats: readonly Beat[] = [];

  /** What is wrong after one more round; null: nothing. */
  judge(pulses: readonly Pulse[], generation: number): string | null {
    this.#beats = pulses.map((pulse, i) => {
      const before = this.#beats[i];
      const still = pulse.seen !== 0 && before?.turns === pulse.turns ? before.still + 1 : 0;
      const behind = pulse.seen !== 0 && pulse.seen !== generation ? (before?.behind ?? 0) + 1 : 0;
      return { ...pulse, still, behind };
    });
    const stuck = this.#beats.findIndex(({ still }) => still >= STILL_ROUNDS);
    if (stuck >= 0) return `worker ${stuck} is stuck: it takes no packets (start the agent again)`;
    const late = this.#beats.findIndex(({ behind }) => behind >= STILL_ROUNDS);
    return late < 0
      ? null
      : `worker ${late} works with generation ${this.#beats[late]!.seen}, ${generation} is current (start the agent again)`;
  }
}
