/**
 * A host of which every packet is watched: each gets exactly one verdict, what leaves is what entered, as often as the verdicts
 * say, and nothing is written outside of it.
 */
import assert from "node:assert/strict";
import {
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_NEEDS_CSUM,
} from "../../src/io/packet-io.ts";
import { OfflineHost, type OfflineOptions, type Role } from "../../src/replay/offline-host.ts";
import { outerOf } from "../../src/replay/outer.ts";
import type { TablesSpec } from "../../src/shm/forwarding-table.ts";
import { DELIVERED, FORWARDED, NEXT_HOP, TOO_BIG, VERDICT_NAMES } from "../../src/shm/verdict.ts";
import { checkGuards, setGuards } from "./guards.ts";
import { asSegments, checkSegments, type Entered, inPlaces, isDelivered, isSent, isTooBig } from "./leaving.ts";
import {
  destinationOf,
  hexOf,
  innerAt,
  isV4,
  same,
  totalLength,
  trafficClassOf,
  transportOf,
  unwrap,
  type Wrapped,
} from "./naive.ts";
import { checksum } from "./packets.ts";
import { fragmentOffset, reassemble } from "./reassemble.ts";

/** Words of a receive record, by RX_*. */
export type Offloads = Readonly<Record<number, number>>;

const NOTHING = new Uint8Array(0);

export class Watched {
  readonly host: OfflineHost;
  readonly #mtu: number;
  /** Ids of hosts by their addresses in hex, and the id of this one. */
  readonly #hosts: ReadonlyMap<string, number>;
  readonly #self: number;
  readonly #before = new Float64Array(VERDICT_NAMES.length);
  /** Packets that are held back and may leave later. */
  #held: Entered[] = [];

  /** `mtu` is the largest outer packet that the tables allow, to any host. */
  constructor(spec: TablesSpec, role: Role, mtu: number, options: OfflineOptions) {
    this.host = new OfflineHost(spec, role, options);
    this.#mtu = mtu;
    this.#self = spec.self;
    const addresses = spec.hosts.flatMap(({ id, ipv4, ipv6 }) =>
      [ipv4 === null ? [] : [ipv4], ipv6 ?? []].map((words): [string, number] => [hexWords(words), id]),
    );
    this.#hosts = new Map(addresses.filter(([hex]) => hex !== ""));
  }

  /** Has the host take a packet at `now` (ms) and fails when anything is wrong with what it does. */
  take(packet: Uint8Array, offloads: Offloads, now: number): void {
    const { host } = this;
    host.now = now;
    const entered = host.role === "director" ? [entry(packet, null, 0, offloads)] : this.#datagramsOf(packet, offloads);
    const laid = host.role === "director" ? packet.length : entered.reduce((sum, e) => sum + e.datagram!.length, 0);
    const counts = host.context.counters;
    this.#before.set(counts.subarray(0, VERDICT_NAMES.length));
    const heldBefore = host.context.held.count;
    setGuards(host, laid);
    const out = host.take(packet, offloads);
    checkGuards(host, laid);

    const given = this.#before.map((before, verdict) => counts[verdict]! - before);
    const verdicts = given.reduce((sum, n) => sum + n, 0) + host.context.held.count - heldBefore;
    const packets = host.role === "target" ? [Math.max(1, entered.length)] : packetsIn(packet, offloads);
    assert.ok(given[0] === 0 && packets.includes(verdicts), `${verdicts} verdicts for ${packets.join(" or ")} packets`);
    this.#judge(out, given, [...this.#held, ...entered], offloads);

    if (host.context.held.count === 0) this.#held = [];
    else this.#held.push(...entered);
  }

  /** Gives up waiting for first fragments. Gives the verdicts by name. */
  finish(): Record<string, number> {
    this.host.finish();
    assert.equal(this.host.context.held.count, 0, "nothing is held in the end");
    return this.host.verdicts();
  }

  #judge(out: readonly Uint8Array[], given: Float64Array, entered: readonly Entered[], offloads: Offloads): void {
    const left = given[FORWARDED]! + given[DELIVERED]!;
    const parts = given.reduce((sum, n) => sum + n, 0) > 1 && entered.length === 1;
    if (offloads[RX_GSO_TYPE] && this.host.role === "director" && (left > 1 || (left === 1 && parts))) {
      this.#judgeTrain(out, given, entered.at(-1)!, offloads[RX_GSO_SIZE]!);
      return;
    }
    let [delivered, told] = [0, 0];
    const sent: Wrapped[] = [];
    for (const packet of out) {
      assert.equal(totalLength(packet), packet.length, "length of what leaves");
      if (given[DELIVERED]! > 0 && entered.some((e) => isDelivered(e, packet))) delivered++;
      else if (given[TOO_BIG]! > 0 && entered.some((e) => isTooBig(e, packet, given[TOO_BIG] === 1, this.#mtu))) told++;
      else sent.push(this.#unwrap(packet));
    }
    const packets = given[FORWARDED]! + given[NEXT_HOP]!;
    assert.equal(delivered, given[DELIVERED], "delivered packets");
    assert.ok(told <= given[TOO_BIG]!, "messages about packets that are too big");
    const sameHost = (a: string, b: string): boolean => this.#hosts.get(a) === this.#hosts.get(b);
    if (!isSent(entered, sent, packets, sameHost)) {
      assert.fail(`not ${packets} packets that entered: ${out.map(hexOf).join(" ")}`);
    }
  }

  /** A super-segment goes whole to the kernel, or in runs, and to peers in packets. */
  #judgeTrain(out: readonly Uint8Array[], given: Float64Array, e: Entered, size: number): void {
    if (out.length === 1 && given[DELIVERED]! > 1 && isDelivered(e, out[0]!)) return;
    const segments: Uint8Array[][] = [];
    const runs: Uint8Array[] = [];
    for (const packet of out) {
      if (same(destinationOf(packet), destinationOf(e.packet))) {
        runs.push(packet);
      } else if (given[TOO_BIG] === 0 || !isTooBig(e, packet, false, this.#mtu)) {
        const { inner } = this.#unwrap(packet);
        if (isV4(inner) && fragmentOffset(inner) > 0) segments.at(-1)!.push(inner);
        else segments.push([inner]);
      }
    }
    assert.equal(segments.length, given[FORWARDED], "segments");
    const sent = segments.map((pieces) => (pieces.length === 1 ? pieces[0]! : reassemble(pieces)));
    const delivered = runs.flatMap((run) => asSegments(run, size));
    assert.equal(delivered.length, given[DELIVERED], "segments for the kernel");
    if (given.every((count, verdict) => count === 0 || verdict === FORWARDED)) checkSegments(e.packet, sent, size);
    else checkSegments(e.packet, inPlaces(e.packet, [...sent, ...delivered], size), size);
  }

  #unwrap(packet: Uint8Array): Wrapped {
    const w = unwrap(packet);
    assert.ok(packet.length <= this.#mtu, `${packet.length} bytes on a path for ${this.#mtu}`);
    assert.equal(this.#hosts.get(w.source), this.#self, "outer source");
    const to = this.#hosts.get(w.destination);
    assert.ok(to !== undefined && to !== this.#self, `outer destination ${w.destination}`);
    if (this.host.role === "director") assert.equal(w.trafficClass, trafficClassOf(w.inner), "outer traffic class");
    return w;
  }

  /** The datagrams that a packet in GUE holds: several, when the kernel has put a train together. */
  #datagramsOf(packet: Uint8Array, offloads: Offloads): Entered[] {
    const outer = outerOf(packet, this.host.tables);
    if (outer === null) return [];
    const all = packet.subarray(outer.gue, outer.end);
    const size = offloads[RX_GSO_SIZE] || all.length;
    const parts: Entered[] = [];
    for (let at = 0; at < all.length || parts.length === 0; at += size) {
      const datagram = all.slice(at, at + size);
      parts.push(entry(innerOf(datagram), datagram, outer.trafficClass, {}));
    }
    return parts;
  }
}

function innerOf(datagram: Uint8Array): Uint8Array {
  const at = innerAt(datagram);
  return at < 0 ? NOTHING : datagram.subarray(at);
}

function hexWords(words: ArrayLike<number>): string {
  return Array.from(words, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/** What can leave of a packet: nothing when its lengths contradict each other. */
function entry(bytes: Uint8Array, datagram: Uint8Array | null, trafficClass: number, offloads: Offloads): Entered {
  const good = bytes.length >= 20 && totalLength(bytes) <= bytes.length && (isV4(bytes) || bytes.length >= 40);
  const packet = good ? bytes.slice(0, totalLength(bytes)) : NOTHING;
  return { packet, finished: good ? finished(packet, offloads) : NOTHING, datagram, trafficClass };
}

/** With the checksum that the sender left open. */
function finished(packet: Uint8Array, offloads: Offloads): Uint8Array {
  if (((offloads[RX_FLAGS] ?? 0) & RX_NEEDS_CSUM) === 0) return packet;
  const { protocol, later } = transportOf(packet);
  const start = offloads[RX_CSUM_START]!;
  const field = start + offloads[RX_CSUM_OFFSET]!;
  if (later || field + 2 > packet.length) return packet;
  const sum = checksum(packet.subarray(start)) || (protocol === 17 ? 0xffff : 0);
  const copy = packet.slice();
  copy.set([sum >> 8, sum & 255], field);
  return copy;
}

/**
 * How many packets a frame may count as: one, and when it is a super-segment as many as it has segments.
 */
function packetsIn(packet: Uint8Array, offloads: Offloads): number[] {
  const [type, size] = [offloads[RX_GSO_TYPE] ?? GSO_NONE, offloads[RX_GSO_SIZE] ?? 0];
  if (![GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4].includes(type) || size <= 0) return [1];
  const { l4, protocol } = transportOf(packet);
  const payload = totalLength(packet) - l4 - (protocol === 6 ? (packet[l4 + 12]! >> 4) * 4 : 8);
  return payload > size ? [1, Math.ceil(payload / size)] : [1];
}
