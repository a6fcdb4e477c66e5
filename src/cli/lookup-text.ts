/** The answer of `hafl lookup` for people: a line for each step, in the order a packet meets them. */
import type { Hop, LookupResult } from "../replay/lookup-result.ts";
import type { RateLimit } from "../shm/rules.ts";
import { type Flow, formatFlow } from "../steering/flow.ts";

/** Server ids that are named; more say nothing new. */
const SHOWN = 6;

/** `2026-01-31 12:00:00 UTC` */
const timeText = (iso: string): string => `${iso.slice(0, 19).replace("T", " ")} UTC`;

function ageText(seconds: number): string {
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit));
  if (minutes! < 2) return `${seconds} s`;
  return hours! < 2 ? `${minutes} min` : days! < 2 ? `${hours} h` : `${days} days`;
}

function limitText({ pps, bps, prefix4, prefix6 }: RateLimit): string {
  const rates = [...(pps === null ? [] : [`${pps} packets`]), ...(bps === null ? [] : [`${bps} bits`])].join(" and ");
  const per = prefix4 === 0 && prefix6 === 0 ? "all sources together" : `a source's /${prefix4} (IPv6: /${prefix6})`;
  return `${rates} per second of ${per}`;
}

function dropText({ drop, rules }: LookupResult): string {
  if (drop === null) return rules === 0 ? "there are none" : `none of ${rules} matches`;
  const { rule, passes, limit, sample, inKernel } = drop;
  const does =
    limit === null
      ? `drops it${inKernel ? ", in the kernel" : ""}`
      : `limits to ${limitText(limit)}: ${passes ? "lets it pass" : "above that, drops it"}`;
  return `${rule} ${does}${sample === null ? "" : `; 1 in ${sample} is sampled`}`;
}

function entryText({ entry, chain }: LookupResult): string {
  if (entry === null) return "does not know the flow";
  const { host, certain, idleSeconds } = entry;
  const unused = chain[0] === host ? "" : "; not followed";
  return `${host}, ${certain ? "certain" : "a guess"}, last packet ${ageText(idleSeconds)} ago${unused}`;
}

function quicText({ byServerId, servers }: NonNullable<LookupResult["quic"]>): string {
  const ids = Object.entries(servers);
  const named = ids.slice(0, SHOWN).map(([id, host]) => `${id} ${host}`);
  const all = [...named, ...(ids.length > SHOWN ? [`... ${ids.length} in all`] : [])].join(", ");
  const how = byServerId ? "by the server id in its connection ID" : "by 5-tuple: the packet has no host's server id";
  return `${how}; server ids: ${all || "none"}`;
}

function whyText({ why, until }: Hop): string {
  if (why === "earlier owner, drains") return `earlier owner, until ${until === null ? "?" : timeText(until)}`;
  if (why === "earlier owner, stays") return "earlier owner, stays as it is in the pool";
  return why === "flow table" ? "by the flow table alone" : why === "server id" ? "by server id" : (why ?? "nothing known");
}

function hopText(hop: Hop): string {
  const { generation, since, age, mtu } = hop;
  const by =
    generation === null || since === null || age === null
      ? ""
      : `, generation ${generation} since ${timeText(since)} (${ageText(age)})`;
  return `${hop.host}: ${whyText(hop)}${by}${mtu === null ? "" : `, path MTU ${mtu}`}`;
}

function socketText(socket: NonNullable<LookupResult["socket"]>): string {
  if (socket === "not asked") return "could not be asked here; taken to have none";
  return socket === "found" ? "has one for the flow" : "has none for the flow";
}

function sentText({ sent, sourcePort, verdict, director }: LookupResult): string {
  if (sent === null) return verdict === "delivered" ? `no, ${director} hands it to its own kernel` : "no";
  const { to, furtherHops } = sent;
  const hops = furtherHops.length === 0 ? "" : `, further hop${furtherHops.length > 1 ? "s" : ""} ${furtherHops.join(" > ")}`;
  return `${verdict === "forwarded" ? "" : "no, else "}to ${to} in GUE from UDP port ${sourcePort}${hops}`;
}

function mtuText({ sent, pathMtu, largest }: LookupResult): string {
  const overhead = `${sent!.overhead} bytes of headers`;
  if (pathMtu === null) return `unknown; ${overhead}`;
  return `${pathMtu} bytes to ${sent!.to}, ${overhead}: ${largest} for the largest inner packet`;
}

type Line = readonly [name: string, value: string];

/** Service and what follows from it, or the slice of an egress IP. */
function steps(result: LookupResult): Line[] {
  const { slice, service, bucket, hash, bucketHosts, chain, quic, socket } = result;
  if (slice !== null) return [["slice", `${slice.number} of ${slice.ip}, ports ${slice.from}-${slice.to}`]];
  if (service === null) return [["service", "-"]];
  // What a certain entry leaves out is worth seeing.
  const left = bucketHosts.every((host) => chain.includes(host)) ? "" : ` (its hosts: ${bucketHosts.join(" > ")})`;
  return [
    ["service", service],
    ...(quic === null ? [] : [["QUIC", quicText(quic)] as const]),
    ["flow table", entryText(result)],
    ["bucket", `${bucket}${hash === "5-tuple" ? "" : `, by hash: ${hash}`}${left}`],
    ["chain", chain.join(" > ") || "-"],
    ...result.hops.map((hop, i) => [`  hop ${i + 1}`, hopText(hop)] as const),
    ...(socket === null ? [] : [["sockets", `${result.director}'s kernel ${socketText(socket)}`] as const]),
  ];
}

/** All of it, with a line feed at the end. `by` says what was looked up in. */
export function explain(flow: Flow, result: LookupResult, by: string): string {
  const { host, hops, slice, sent } = result;
  const lines: Line[] = [
    ["flow", formatFlow(flow)],
    ["asked", `${result.director}, ${by}`],
    ["packet", `${result.packet}, from the router`],
    ["drop rule", dropText(result)],
    ...steps(result),
    ["host", slice === null || hops[0] === undefined ? (host ?? "-") : hopText(hops[0])],
    ["sent", sentText(result)],
    ...(sent === null ? [] : [["path MTU", mtuText(result)] as const]),
    ["verdict", `${result.verdict} (${result.why})`],
  ];
  return lines.map(([name, value]) => `${name.padEnd(10)} ${value}\n`).join("");
}
