/**
 * What is wrong with a host as a target of a service, from both ends: what those find who probe it through the tunnel, and what it says of
 * itself. Silence looks the same from outside whatever the cause; the host mostly knows, and where it finds nothing wrong with itself it is
 * the way to it. Pure.
 */
import { OVERLOAD } from "../control/fitness.ts";
import type { HostReport, Outcome, Probed } from "../store/records.ts";

export type Cause =
  | "healthy"
  | "unknown"
  | "service down"
  | "service wrong"
  | "service slow"
  | "VIP missing"
  | "TUN down"
  | "rp_filter"
  | "uplink down"
  | "workers stuck"
  | "GUE socket missing"
  | "agent not running"
  | "GUE port filtered"
  | "service filtered"
  | "host unreachable"
  | "host unfit"
  | "overloaded";

export interface Diagnosis {
  readonly cause: Cause;
  /** The cause with what is known of it, for people; empty while healthy. */
  readonly text: string;
}

/** By whom a problem of the host itself is written on its board, in the order in which they explain that probes get no answer. */
const OWN_CAUSES: readonly (readonly [source: string, cause: Cause])[] = [
  ["uplink", "uplink down"],
  ["tun", "TUN down"],
  ["rp_filter", "rp_filter"],
  ["vips", "VIP missing"],
  ["gue", "GUE socket missing"],
  ["workers", "workers stuck"],
];

const CAUSES: Readonly<Record<Outcome, Cause>> = {
  answered: "healthy",
  refused: "service down",
  wrong: "service wrong",
  slow: "service slow",
  broken: "service wrong",
  rejected: "service filtered",
  "no-vip": "VIP missing",
  "gue-refused": "agent not running",
  silent: "GUE port filtered",
  unreachable: "host unreachable",
};

const found = (cause: Cause, ...parts: string[]): Diagnosis => ({
  cause,
  text: [cause, ...parts.filter((part) => part !== "")].join(": "),
});

/** The findings of most probers, good ones left out; on a tie of the first. */
function commonest(bad: readonly Probed[]): Probed | undefined {
  const counts = new Map<string, number>();
  const keyOf = ({ outcome, reason }: Probed): string => outcome ?? reason;
  for (const one of bad) counts.set(keyOf(one), (counts.get(keyOf(one)) ?? 0) + 1);
  return bad.toSorted((a, b) => counts.get(keyOf(b))! - counts.get(keyOf(a))!)[0];
}

/**
 * Names what is wrong with a host for a service. `report` is what the host says of itself, null when it says nothing; `probes` are what
 * others found of this service on it.
 */
export function diagnose(service: string, report: HostReport | null, probes: readonly Probed[]): Diagnosis {
  const problems = report?.problems ?? {};
  const own = report?.services[service];
  const bad = probes.filter(({ healthy }) => !healthy);
  const probed = commonest(bad);
  for (const [source, cause] of OWN_CAUSES) {
    const text = problems[source];
    if (text !== undefined) return found(cause, text);
  }
  // Its own check is nearest to the service.
  if (own?.healthy === false && probed?.outcome !== "gue-refused") return ofOwnCheck(own.reason, probed);
  if (probed !== undefined && 2 * bad.length > probes.length) return ofProbes(probed, bad.length, probes.length, report);
  const [other] = Object.entries(problems).filter(([source]) => source !== OVERLOAD);
  if (other !== undefined) return found("host unfit", other[1]);
  const overload = problems[OVERLOAD];
  if (overload !== undefined) return found("overloaded", overload);
  if (report === null && probes.length === 0) return found("unknown", "it does not report, and nobody probes it");
  return { cause: "healthy", text: "" };
}

/** What its own check says, in the words of a probe where that is more exact. */
function ofOwnCheck(reason: string, probed: Probed | undefined): Diagnosis {
  const outcome = probed?.outcome;
  if (outcome === "wrong" || outcome === "slow" || outcome === "broken") return found(CAUSES[outcome], probed!.reason);
  if (/is not an address of this host$/.test(reason)) return found("VIP missing", reason);
  return found("service down", reason);
}

function ofProbes(probed: Probed, bad: number, all: number, report: HostReport | null): Diagnosis {
  const cause = probed.outcome === undefined ? "host unfit" : CAUSES[probed.outcome];
  const count = all === 1 ? "" : ` (${bad} of ${all} probers)`;
  const silent = report === null ? "it does not report, and " : "";
  return found(cause, `${silent}${probed.reason}${count}`);
}
