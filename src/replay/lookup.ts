/** Where a flow goes, asked of the same functions that steer packets. */

import { bucketFor, destinationVip, hashFlow, serviceOf } from "../dataplane/flow.ts";
import { createParsed, type Parsed } from "../dataplane/parsed.ts";
import { sourceOf } from "../dataplane/queue.ts";
import { ownerOfSlice } from "../dataplane/slice.ts";
import { GUE_FIRST_SOURCE_PORT } from "../io/packet-io.ts";
import { hopOf, type Tables, type TablesSpec } from "../shm/forwarding-table.ts";
import type { EgressSpec } from "../shm/slice-table.ts";
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
  /** For a flow to an egress IP the slice that its port is in, whoever owns it. */
  readonly slice: { readonly ip: string; readonly number: number; readonly from: number; readonly to: number } | null;
}

/** Prepares look-ups in tables. */
export function lookupIn(spec: TablesSpec): (flow: Flow) => LookupResult {
  const tables = plainTables(spec);
  const names = new Map(spec.hosts.map((host) => [host.id, host.name]));
  return (flow) => {
    const p = createParsed();
    fillFlow(p, flow);
    const none = (verdict: number, service: number): LookupResult => ({
      slice: null,
      service: service < 0 ? null : spec.services[service]!.name,
      bucket: null,
      chain: [],
      host: null,
      sourcePort: null,
      verdict: VERDICT_NAMES[verdict]!,
      why: VERDICT_TEXTS[verdict]!,
    });
    const vip = destinationVip(tables, p);
    if (vip < 0) return none(NOT_OURS, -1);
    if (vip >= tables.firstEgress) {
      const slice = sliceIn(spec.egress[vip - tables.firstEgress]!, flow);
      const owner = ownerOfSlice(tables, vip, p);
      if (owner < 0) return { ...none(-owner, -1), slice };
      hashFlow(tables, p);
      const host = names.get(owner)!;
      const sourcePort = GUE_FIRST_SOURCE_PORT + sourceOf(p);
      const why = `slice ${slice!.number} of egress IP ${slice!.ip}, ports ${slice!.from}-${slice!.to}, belongs to ${host}`;
      return { ...none(FORWARDED, -1), slice, chain: [host], host, sourcePort, why };
    }
    const service = serviceOf(tables, vip, p);
    if (service < 0) return none(-service, -1);
    hashFlow(tables, p);
    const bucket = bucketFor(tables, service, p);
    const chain = chainOf(tables, service, bucket).map((id) => names.get(id)!);
    const host = chain[0];
    if (host === undefined) return { ...none(NO_HOST_LEFT, service), bucket };
    const sourcePort = GUE_FIRST_SOURCE_PORT + sourceOf(p);
    const why = `bucket ${bucket} of service ${spec.services[service]!.name} belongs to ${host}`;
    return { ...none(FORWARDED, service), bucket, chain, host, sourcePort, why };
  };
}

function sliceIn({ name, sliceSize }: EgressSpec, flow: Flow): LookupResult["slice"] {
  if (flow.protocol === "icmp") return null;
  const number = sliceOfPort(flow.destinationPort, sliceSize);
  return { ip: name, number, ...portsOfSlice(number, sliceSize) };
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
