/** Where a flow goes and why: its packet goes through the pipeline, and what that made of it is told step by step. */

import { serviceOf } from "../dataplane/flow.ts";
import type { SocketQuestions } from "../dataplane/flow-memory.ts";
import { isSyn } from "../dataplane/ownership.ts";
import type { Parsed } from "../dataplane/parsed.ts";
import { ownerOfSlice } from "../dataplane/slice.ts";
import { type FlowTable, findFlow, flowCertain, flowHost, idleSeconds, isHalfOpen } from "../shm/flow-table.ts";
import {
  HASH_MODES,
  HOST_MTU,
  hashMode,
  hopOf,
  hostAt,
  type Names,
  quicRecord,
  type Tables,
  type TablesSpec,
} from "../shm/forwarding-table.ts";
import { listServers, quicLength } from "../shm/quic-table.ts";
import type { RuleSpec } from "../shm/rules.ts";
import { DELIVERED, FORWARDED, VERDICT_NAMES, VERDICT_TEXTS, type VerdictName } from "../shm/verdict.ts";
import { type HopOrigin, hopOrigins } from "../steering/explain.ts";
import type { Flow } from "../steering/flow.ts";
import { type DrainTime, type Generation, MAX_CHAIN } from "../steering/generations.ts";
import { NO_HOST } from "../steering/maglev.ts";
import { portsOfSlice, sliceOfPort } from "../steering/slices.ts";
import { UDP } from "../wire/udp.ts";
import { type Answer, AskedHost, type KnownFlow } from "./asked-host.ts";
import { craftPacket, describePacket, type Shape } from "./craft.ts";
import type { Hop, LookupResult } from "./lookup-result.ts";
import { readSent } from "./sent.ts";

/** What a flow is looked up in. */
export interface LookupSource {
  readonly tables: Tables;
  readonly names: Names;
  /** Ms since the epoch, and on the clock of the flow table and the other regions. */
  readonly now: number;
  readonly clock: number;
  /** Flows that are known; null: none. */
  readonly flows: FlowTable | null;
  readonly directorFlows: boolean;
  readonly rules: readonly RuleSpec[];
  /** Regions of the rules' token buckets and of the SYNs of the last minute; null: nothing has come yet. */
  readonly limits: ArrayBuffer | null;
  readonly syns: Int32Array | null;
  /** The kernel of the host asked; null when it cannot be asked. */
  readonly sockets: SocketQuestions | null;
  /** What the chains were made from; null when that is not known. */
  readonly past: {
    /** Generations by service, newest first. */
    readonly pools: Readonly<Record<string, readonly Generation[]>>;
    readonly key: readonly [number, number];
    readonly drainMs: DrainTime;
  } | null;
}

interface Place extends Pick<LookupResult, "service" | "bucket" | "hash" | "chain" | "slice" | "quic" | "bucketHosts" | "hops"> {
  /** Whether the first hop is what the flow table says. */
  readonly byTable: boolean;
}
type Origin = (bucket: number, host: string) => HopOrigin | null;

const NOWHERE: Place = {
  service: null,
  bucket: null,
  hash: null,
  chain: [],
  slice: null,
  quic: null,
  bucketHosts: [],
  hops: [],
  byTable: false,
};
/** What an IP packet can have at most: nothing is known of the path. */
const NO_LIMIT = 65_535;

/** Prepares look-ups. Each answer stands alone: flows asked about are not remembered, and use up no limit. */
export function lookupIn(source: LookupSource): (flow: Flow, shape?: Shape) => LookupResult {
  const lookup = new Lookup(source);
  return (flow, shape = {}) => lookup.explain(flow, shape);
}

class Lookup {
  readonly #source: LookupSource;
  readonly #host: AskedHost;
  readonly #origins = new Map<string, Origin>();

  constructor(source: LookupSource) {
    this.#source = source;
    this.#host = new AskedHost(source);
  }

  explain(flow: Flow, shape: Shape): LookupResult {
    const { tables, rules } = this.#source;
    const { length, ...bare } = shape;
    const plain = craftPacket(flow, bare);
    const first = this.#host.ask(plain, null, false);
    const known = this.#known(first.parsed);
    const steered = known === null ? first : this.#host.ask(plain, known, false);
    const place = this.#place(flow, steered.parsed, known);
    const sent = steered.verdict === VERDICT_NAMES[FORWARDED] ? readSent(steered.left[0]!, tables) : null;
    // As it was asked for: through the rules, and of its length, which matters to them and to the path.
    const whole = rules.length > 0 || length !== undefined;
    const { verdict, rule } = whole ? this.#host.ask(craftPacket(flow, shape), known, true) : steered;
    const pathMtu = sent === null ? null : this.#mtu(sent.to);
    return {
      service: place.service,
      bucket: place.bucket,
      hash: place.hash,
      chain: place.chain,
      host: place.chain[0] ?? null,
      verdict,
      why: this.#why(place, verdict, steered, rule),
      director: this.#name(tables.self),
      packet: describePacket(flow, shape),
      drop: rule === null ? null : dropOf(rule),
      rules: rules.length,
      entry: this.#entry(known),
      slice: place.slice,
      quic: place.quic,
      bucketHosts: place.bucketHosts,
      hops: place.hops,
      socket: steered.socket,
      sent:
        sent === null
          ? null
          : {
              to: this.#name(sent.to),
              furtherHops: sent.furtherHops.map((id) => this.#name(id)),
              overhead: sent.overhead,
            },
      sourcePort: sent?.sourcePort ?? null,
      pathMtu,
      largest: sent === null || pathMtu === null ? null : pathMtu - sent.overhead,
    };
  }

  #name(id: number): string {
    return this.#source.names.hosts.get(id) ?? `#${id}`;
  }

  /** What the flow table has of the flow that was read last. */
  #known(p: Parsed): KnownFlow | null {
    const { flows, clock } = this.#source;
    if (flows === null || p.vip < 0) return null;
    const { hash, hash2 } = p;
    const second = Math.trunc(clock / 1000);
    const entry = findFlow(flows, hash, hash2, second);
    if (entry < 0) return null;
    const seen = second - idleSeconds(flows, entry, second);
    const state = { certain: flowCertain(flows, entry), halfOpen: isHalfOpen(flows, entry, second) };
    return { hash, hash2, host: flowHost(flows, entry), seen, ...state };
  }

  #entry(known: KnownFlow | null): LookupResult["entry"] {
    if (known === null) return null;
    const idle = Math.trunc(this.#source.clock / 1000) - known.seen;
    return { host: this.#name(known.host), certain: known.certain, idleSeconds: idle };
  }

  /** Where the packet that was read last belongs. */
  #place(flow: Flow, p: Parsed, known: KnownFlow | null): Place {
    const { tables, names, directorFlows } = this.#source;
    if (p.vip < 0) return NOWHERE;
    if (p.vip >= tables.firstEgress) {
      const slice = sliceIn(names.egress[p.vip - tables.firstEgress]!, flow);
      const owner = ownerOfSlice(tables, p.vip, p);
      if (owner < 0) return { ...NOWHERE, slice };
      const hop: Hop = { ...this.#hop(owner, null), why: "owns the slice" };
      return { ...NOWHERE, slice, chain: [hop.host], hops: [hop] };
    }
    const service = serviceOf(tables, p.vip, p);
    if (service < 0) return NOWHERE;
    const { bucket, first, only, quic } = this.#host.steering(service, known);
    const inBucket = this.#bucketChain(service, bucket);
    const chain = first === NO_HOST ? [] : only ? [first] : [first, ...inBucket.filter((id) => id !== first)];
    const origin = this.#originOf(names.services.get(service)!);
    const byTable = !quic && directorFlows && known?.host === first && (only || !isSyn(p) || known.halfOpen);
    const hops = chain.map((id): Hop => {
      const hop = this.#hop(id, origin?.(bucket, this.#name(id)) ?? null);
      if (id !== first || !(quic || byTable)) return hop;
      return { ...hop, why: quic ? "server id" : (hop.why ?? "flow table") };
    });
    return {
      service: names.services.get(service)!,
      bucket,
      hash: HASH_MODES[hashMode(tables, service)]!,
      chain: hops.map(({ host }) => host),
      slice: null,
      quic: this.#quic(service, p, quic),
      bucketHosts: inBucket.map((id) => this.#name(id)),
      hops,
      byTable,
    };
  }

  #bucketChain(service: number, bucket: number): number[] {
    const hops = Array.from({ length: MAX_CHAIN }, (_, hop) => hopOf(this.#source.tables, service, bucket, hop));
    return hops.filter((id) => id !== NO_HOST);
  }

  #hop(id: number, origin: HopOrigin | null): Hop {
    const iso = (time: number | null | undefined): string | null => (time == null ? null : new Date(time).toISOString());
    return {
      host: this.#name(id),
      generation: origin?.generation ?? null,
      since: iso(origin?.since),
      age: origin === null ? null : Math.max(0, Math.round((this.#source.now - origin.since) / 1000)),
      why: origin?.why ?? null,
      until: iso(origin?.until),
      mtu: this.#mtu(id),
    };
  }

  #mtu(id: number): number | null {
    const { tables } = this.#source;
    const mtu = tables.words[hostAt(tables, id) + HOST_MTU]!;
    return mtu >= NO_LIMIT || id === tables.self ? null : mtu;
  }

  #originOf(service: string): Origin | null {
    const { past, tables } = this.#source;
    const generations = past?.pools[service];
    if (past === null || generations === undefined) return null;
    let origin = this.#origins.get(service);
    if (origin === undefined) {
      const { key, drainMs } = past;
      origin = hopOrigins({ generations, tableSize: tables.tableSize, key, drainMs });
      this.#origins.set(service, origin);
    }
    return origin;
  }

  #quic(service: number, p: Parsed, byServerId: boolean): LookupResult["quic"] {
    const { tables } = this.#source;
    const record = quicRecord(tables, service);
    if (record === 0 || p.protocol !== UDP) return null;
    const digits = 2 * quicLength(tables.words, record);
    const servers = listServers(tables.words, record).map(([id, host]) => [
      `0x${(id >>> 0).toString(16).padStart(digits, "0")}`,
      this.#name(host),
    ]);
    return { byServerId, servers: Object.fromEntries(servers) };
  }

  #why(place: Place, verdict: VerdictName, steered: Answer, rule: Answer["rule"]): string {
    const text = VERDICT_TEXTS[VERDICT_NAMES.indexOf(verdict)]!;
    const goes = verdict === VERDICT_NAMES[FORWARDED] || verdict === VERDICT_NAMES[DELIVERED];
    if (rule !== null && !rule.passes) return `rule ${rule.spec.name}; without it: ${steered.verdict}`;
    const [first] = place.hops;
    if (!goes || first === undefined) return text;
    const { slice, service, bucket } = place;
    if (slice !== null) {
      return `slice ${slice.number} of egress IP ${slice.ip}, ports ${slice.from}-${slice.to}, belongs to ${first.host}`;
    }
    const where = `bucket ${bucket} of service ${service}`;
    if (place.quic?.byServerId) return `the server id in its connection ID is that of ${first.host}; ${where}`;
    const passedOn = steered.socket !== null && verdict === VERDICT_NAMES[FORWARDED];
    const turned = passedOn ? `; ${first.host} does not know the flow, so it goes to the next hop` : "";
    if (!place.byTable) return `${where} belongs to ${first.host}${turned}`;
    return `the flow table says ${first.host}${place.chain.length > 1 ? ", a guess" : ""}; ${where}${turned}`;
  }
}

const dropOf = ({ spec, passes }: NonNullable<Answer["rule"]>): NonNullable<LookupResult["drop"]> => ({
  rule: spec.name,
  passes,
  limit: spec.limit,
  sample: spec.sample,
  inKernel: spec.inKernel,
});

function sliceIn({ ip, sliceSize }: Names["egress"][number], flow: Flow): LookupResult["slice"] {
  if (flow.protocol === "icmp") return null;
  const number = sliceOfPort(flow.destinationPort, sliceSize);
  return { ip, number, ...portsOfSlice(number, sliceSize) };
}

/** The names in a specification, as a bank gives them. */
export const namesOf = (spec: TablesSpec): Names => ({
  hosts: new Map(spec.hosts.map((host) => [host.id, host.name])),
  services: new Map(spec.services.map((service) => [service.id, service.name])),
  egress: spec.egress.map(({ name, sliceSize, owners }) => ({ ip: name, sliceSize, owners: [...owners] })),
});
