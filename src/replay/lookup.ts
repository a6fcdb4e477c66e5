/** Where a flow goes, asked of the same functions that steer packets. */

import { bucketFor, destinationVip, hashFlow, serviceOf } from "../dataplane/flow.ts";
import { createParsed, type Parsed } from "../dataplane/parsed.ts";
import { sourceOf } from "../dataplane/queue.ts";
import { ownerOfSlice } from "../dataplane/slice.ts";
import { GUE_FIRST_SOURCE_PORT } from "../io/packet-io.ts";
import { type FlowTable, findFlow, flowCertain, flowHost, idleSeconds } from "../shm/flow-table.ts";
import { HOST_MTU, hopOf, hostAt, isAlive, type Names, type Tables, type TablesSpec } from "../shm/forwarding-table.ts";
import { FORWARDED, NO_HOST_LEFT, NOT_OURS, VERDICT_NAMES, VERDICT_TEXTS } from "../shm/verdict.ts";
import type { Flow } from "../steering/flow.ts";
import { MAX_CHAIN } from "../steering/generations.ts";
import { NO_HOST } from "../steering/maglev.ts";
import { portsOfSlice, sliceOfPort } from "../steering/slices.ts";
import { ICMP, ICMPV6 } from "../wire/icmp.ts";
import { TCP } from "../wire/tcp.ts";
import { UDP } from "../wire/udp.ts";
import { plainTables } from "./offline-host.ts";

export interface LookupResult {
  readonly service: string | null;
  readonly bucket: number | null;
  /** Hosts that may own the flow, first hop first. */
  readonly chain: readonly string[];
  /** The first hop. */
  readonly host: string | null;
  /** UDP source port of its GUE packets, by which it is found in captures between hosts. */
  readonly sourcePort: number | null;
  readonly verdict: string;
  /** The verdict in words. */
  readonly why: string;
  /** What the flow table has of it; null when it has nothing, or was not looked into. */
  readonly entry: { readonly host: string; readonly certain: boolean; readonly idleSeconds: number } | null;
  /** Largest outer packet to the host, in bytes; null when nothing is known of the path. */
  readonly pathMtu: number | null;
  /** For a flow to an egress IP the slice that its port is in, whoever owns it. */
  readonly slice: { readonly ip: string; readonly number: number; readonly from: number; readonly to: number } | null;
}

/** A flow table to look into, and the time it is there, in seconds. */
export interface KnownFlows {
  readonly flows: FlowTable;
  readonly now: number;
}

/** Prepares look-ups in tables yet to be made. */
export function lookupIn(spec: TablesSpec): (flow: Flow) => LookupResult {
  return lookupWith(plainTables(spec), namesOf(spec), null);
}

/** Prepares look-ups in tables, and in a flow table if there is one. */
export function lookupWith(
  tables: Tables,
  { hosts: names, services, egress }: Names,
  known: KnownFlows | null,
): (flow: Flow) => LookupResult {
  return (flow) => {
    const p = createParsed();
    fillFlow(p, flow);
    const none = (verdict: number, service: number): LookupResult => ({
      slice: null,
      service: service < 0 ? null : services[service]!,
      bucket: null,
      chain: [],
      host: null,
      sourcePort: null,
      entry: null,
      pathMtu: null,
      verdict: VERDICT_NAMES[verdict]!,
      why: VERDICT_TEXTS[verdict]!,
    });
    const vip = destinationVip(tables, p);
    if (vip < 0) return none(NOT_OURS, -1);
    if (vip >= tables.firstEgress) {
      const slice = sliceIn(egress[vip - tables.firstEgress]!, flow);
      const owner = ownerOfSlice(tables, vip, p);
      if (owner < 0) return { ...none(-owner, -1), slice };
      hashFlow(tables, p);
      const host = names.get(owner)!;
      const sourcePort = GUE_FIRST_SOURCE_PORT + sourceOf(p);
      const why = `slice ${slice!.number} of egress IP ${slice!.ip}, ports ${slice!.from}-${slice!.to}, belongs to ${host}`;
      return { ...none(FORWARDED, -1), slice, chain: [host], host, sourcePort, pathMtu: mtuOf(tables, owner), why };
    }
    const service = serviceOf(tables, vip, p);
    if (service < 0) return none(-service, -1);
    hashFlow(tables, p);
    const bucket = bucketFor(tables, service, p);
    const ids = chainOf(tables, service, bucket);
    const found = known === null ? -1 : findFlow(known.flows, p.hash, p.hash2, known.now);
    const owner = known !== null && found >= 0 ? flowHost(known.flows, found) : -1;
    const remembered = owner >= 0 && isAlive(tables, owner);
    const first = remembered ? owner : ids[0];
    if (first === undefined) return { ...none(NO_HOST_LEFT, service), bucket };
    const certain = known !== null && remembered && flowCertain(known.flows, found);
    const chain = (certain ? [first] : [first, ...ids.filter((id) => id !== first)]).map((id) => names.get(id)!);
    const host = chain[0]!;
    const entry =
      known === null || owner < 0
        ? null
        : { host: names.get(owner) ?? `#${owner}`, certain, idleSeconds: idleSeconds(known.flows, found, known.now) };
    const sourcePort = GUE_FIRST_SOURCE_PORT + sourceOf(p);
    const where = `bucket ${bucket} of service ${services[service]!}`;
    const why = remembered ? `the flow table says ${host}${certain ? "" : ", a guess"}; ${where}` : `${where} belongs to ${host}`;
    return { ...none(FORWARDED, service), bucket, chain, host, sourcePort, entry, pathMtu: mtuOf(tables, first), why };
  };
}

/** The names in a specification, as a bank gives them. */
const namesOf = (spec: TablesSpec): Names => ({
  hosts: new Map(spec.hosts.map((host) => [host.id, host.name])),
  services: spec.services.map((service) => service.name),
  egress: spec.egress.map(({ name, sliceSize, owners }) => ({ ip: name, sliceSize, owners: [...owners] })),
});

/** What an IP packet can have at most: nothing is known of the path. */
const NO_LIMIT = 65_535;

function mtuOf(tables: Tables, host: number): number | null {
  const mtu = tables.words[hostAt(tables, host) + HOST_MTU]!;
  return mtu >= NO_LIMIT ? null : mtu;
}

function sliceIn({ ip, sliceSize }: Names["egress"][number], flow: Flow): LookupResult["slice"] {
  if (flow.protocol === "icmp") return null;
  const number = sliceOfPort(flow.destinationPort, sliceSize);
  return { ip, number, ...portsOfSlice(number, sliceSize) };
}

function chainOf(tables: Tables, service: number, bucket: number): number[] {
  const hops = Array.from({ length: MAX_CHAIN }, (_, hop) => hopOf(tables, service, bucket, hop));
  return hops.filter((id) => id !== NO_HOST);
}

function fillFlow(p: Parsed, flow: Flow): void {
  const version = flow.source.family;
  const protocol = flow.protocol === "tcp" ? TCP : flow.protocol === "udp" ? UDP : version === 4 ? ICMP : ICMPV6;
  p.version = version;
  for (let i = 0; i < 3; i++) {
    p.upper[i] = flow.source.words[i]!;
    p.upper[i + 3] = flow.destination.words[i]!;
  }
  p.source = flow.source.words[3] | 0;
  p.destination = flow.destination.words[3] | 0;
  p.ports = (flow.sourcePort << 16) | flow.destinationPort;
  p.kind = (version << 8) | protocol;
}
