/**
 * The forwarding tables: everything a worker needs to steer a packet, in one flat region. Two such regions are the banks:
 * one is read while the other is written (see control-block.ts).
 *
 * A worker copies all but the chains when the generation changes: a few kilobytes, and V8 then knows the array that most
 * look-ups of a packet read from, instead of checking it at each (12 ns of 50).
 *
 * Behind the header words lie, each at the word offset the header gives: hosts, services, VIPs, ports, two
 * address tables (VIP -> VIP index, peer address -> host id), the slices of egress IPs, QUIC server ids, the chains as 16-bit
 * planes, and the names as JSON. Egress IPs are found in the table of VIPs, with indexes behind those of all VIPs.
 */
import {
  type AddressEntry,
  addressTableWords,
  findAddress,
  findAddress4,
  findAddress6,
  writeAddressTable,
} from "./address-table.ts";
import { findPort, portTableWords, type VipPorts, writePortTable } from "./port-table.ts";
import { type QuicSpec, quicWords, writeQuic } from "./quic-table.ts";
import { formatRegion, HEADER_WORDS, type Layout, magic } from "./region.ts";
import { type EgressSpec, findSliceOwner, sliceTableWords, writeSliceTable } from "./slice-table.ts";

export const FORWARDING_LAYOUT: Layout = { magic: magic("HFwd"), version: 7 };

const GENERATION = HEADER_WORDS;
const TABLE_SIZE = HEADER_WORDS + 1;
const SELF = HEADER_WORDS + 2;
const KEY0 = HEADER_WORDS + 3;
const KEY1 = HEADER_WORDS + 4;
const GUE_PORT = HEADER_WORDS + 5;
const HOSTS_AT = HEADER_WORDS + 6;
const SERVICES_AT = HEADER_WORDS + 7;
const VIPS_AT = HEADER_WORDS + 8;
const PORTS_AT = HEADER_WORDS + 9;
const VIP_TABLE_AT = HEADER_WORDS + 10;
const PEER_TABLE_AT = HEADER_WORDS + 11;
const CHAINS_AT = HEADER_WORDS + 12;
const NAMES_AT = HEADER_WORDS + 13;
const NAMES_BYTES = HEADER_WORDS + 14;
const FIRST_EGRESS = HEADER_WORDS + 15;
const SLICES_AT = HEADER_WORDS + 16;
const BODY_AT = HEADER_WORDS + 17;

/** Words of a host: flags, path MTU in bytes, IPv4 address, IPv6 address in 4 words, what plainPath gives. */
export const HOST_STRIDE = 8;
export const HOST_FLAGS = 0;
export const HOST_MTU = 1;
export const HOST_IPV4 = 2;
export const HOST_IPV6 = 3;
const HOST_PLAIN = 7;
export const HAS_IPV4 = 1;
export const HAS_IPV6 = 2;
/** The host may own flows: it is active or being drained. */
export const IS_ALIVE = 4;
/** Flags from this bit on: family of the outer header toward it. */
const FAMILY_BIT = 4;
/** Of what plainPath gives: bits of the family. */
const FAMILY_BITS = 3;

/**
 * Words of a service: where the chains of its pool start, in 16-bit words; how flows are hashed; what to do with UDP; where
 * its QUIC server ids lie, or 0.
 */
const SERVICE_STRIDE = 4;
const SERVICE_CHAINS = 0;
const SERVICE_HASH = 1;
const SERVICE_UDP = 2;
const SERVICE_QUIC = 3;
export const HASH_MODES = ["5-tuple", "source", "source-port", "destination-port"] as const;
export const UDP_MODES = ["stateless", "flow", "quic"] as const;
export const HASH_5_TUPLE = 0;
export const HASH_SOURCE = 1;
export const HASH_DESTINATION_PORT = 3;
export const UDP_STATELESS = 0;

export interface HostSpec {
  readonly id: number;
  readonly name: string;
  readonly ipv4: number | null;
  readonly ipv6: readonly [number, number, number, number] | null;
  /** Largest outer packet to the host, in bytes. */
  readonly mtu: number;
  /** False for a host that is down. */
  readonly alive: boolean;
}
export interface VipSpec extends VipPorts {
  readonly words: readonly [number, number, number, number];
  readonly family: 4 | 6;
  /** Prefix length over 128 bits. */
  readonly length: number;
  /** Service that takes what has no port: echo requests. */
  readonly portless: number;
}
export interface ServiceSpec {
  /** Position of its record and of its counters, as the id of a host is: there may be some that nobody has any more. */
  readonly id: number;
  readonly name: string;
  /** Index into pools. */
  readonly pool: number;
  readonly hash: (typeof HASH_MODES)[number];
  readonly udp: (typeof UDP_MODES)[number];
  /** Null where connection IDs are not looked at. */
  readonly quic: QuicSpec | null;
}
export interface PoolSpec {
  /** Planes of host ids: first hops, second hops, ...; NO_HOST behind the end of a chain. */
  readonly planes: readonly Uint16Array[];
}
export interface TablesSpec {
  readonly generation: number;
  readonly tableSize: number;
  /** Id of the host this runs on. */
  readonly self: number;
  readonly flowKey: readonly [number, number];
  readonly guePort: number;
  readonly hosts: readonly HostSpec[];
  readonly services: readonly ServiceSpec[];
  readonly pools: readonly PoolSpec[];
  readonly vips: readonly VipSpec[];
  /** Disjoint from the VIPs. */
  readonly egress: readonly EgressSpec[];
}

const flagsOf = (host: HostSpec | undefined): number => (host?.ipv4 != null ? HAS_IPV4 : 0) | (host?.ipv6 != null ? HAS_IPV6 : 0);

/** Family of the outer header between two hosts, given the flags both have: IPv4 first, 0 when there is none. */
const commonFamily = (both: number): 0 | 4 | 6 => ((both & HAS_IPV4) !== 0 ? 4 : both === 0 ? 0 : 6);

const highestId = (those: readonly { readonly id: number }[]): number => those.reduce((most, { id }) => Math.max(most, id), -1);

function peerEntries(spec: TablesSpec): AddressEntry[] {
  return spec.hosts.flatMap((host) => {
    const entries: AddressEntry[] = [];
    if (host.ipv4 !== null) entries.push({ words: [0, 0, 0xffff, host.ipv4], family: 4, length: 128, value: host.id });
    if (host.ipv6 !== null) entries.push({ words: host.ipv6, family: 6, length: 128, value: host.id });
    return entries;
  });
}

const namesOf = (spec: TablesSpec): Uint8Array =>
  new TextEncoder().encode(
    JSON.stringify({
      hosts: spec.hosts.map((h) => [h.id, h.name]),
      services: spec.services.map((s) => [s.id, s.name]),
      egress: spec.egress.map(({ name, sliceSize, owners }) => ({ ip: name, sliceSize, owners: [...owners] })),
    }),
  );

/** Word offsets of all parts, and the bytes in all. */
function placement(spec: TablesSpec, names: Uint8Array) {
  let at = BODY_AT;
  const take = (words: number): number => {
    const start = at;
    at += words;
    return start;
  };
  const hosts = take((highestId(spec.hosts) + 1) * HOST_STRIDE);
  const services = take((highestId(spec.services) + 1) * SERVICE_STRIDE);
  const vips = take(spec.vips.length);
  const ports = take(portTableWords(spec.vips));
  const vipTable = take(addressTableWords(spec.vips.length + spec.egress.length));
  const peerTable = take(addressTableWords(spec.hosts.length * 2));
  const slices = take(sliceTableWords(spec.egress));
  const quic = spec.services.map((service) => (service.quic === null ? 0 : take(quicWords(service.quic))));
  const chains = take(spec.pools.reduce((n, p) => n + Math.ceil((p.planes.length * spec.tableSize) / 2), 0));
  const namesAt = take(Math.ceil(names.length / 4));
  return { hosts, services, vips, ports, vipTable, peerTable, slices, quic, chains, names: namesAt, bytes: at * 4 };
}

/** Bytes of the region the tables need. */
export const tablesBytes = (spec: TablesSpec): number => placement(spec, namesOf(spec)).bytes;

/** Writes the tables into a bank of at least tablesBytes(spec). Nobody may be reading it. */
export function writeTables(buffer: ArrayBufferLike, spec: TablesSpec): void {
  const names = namesOf(spec);
  const at = placement(spec, names);
  if (at.bytes > buffer.byteLength) throw new RangeError(`bank of ${buffer.byteLength} bytes, ${at.bytes} needed`);
  formatRegion(buffer, FORWARDING_LAYOUT);
  const words = new Int32Array(buffer);
  words[GENERATION] = spec.generation;
  words[TABLE_SIZE] = spec.tableSize;
  words[SELF] = spec.self;
  words[KEY0] = spec.flowKey[0];
  words[KEY1] = spec.flowKey[1];
  words[GUE_PORT] = spec.guePort;
  words[HOSTS_AT] = at.hosts;
  words[SERVICES_AT] = at.services;
  words[VIPS_AT] = at.vips;
  words[PORTS_AT] = at.ports;
  words[VIP_TABLE_AT] = at.vipTable;
  words[PEER_TABLE_AT] = at.peerTable;
  words[CHAINS_AT] = at.chains;
  words[NAMES_AT] = at.names;
  words[NAMES_BYTES] = names.length;
  words[FIRST_EGRESS] = spec.vips.length;
  words[SLICES_AT] = at.slices;

  const own = flagsOf(spec.hosts.find((host) => host.id === spec.self));
  for (const host of spec.hosts) {
    const o = at.hosts + host.id * HOST_STRIDE;
    const family = commonFamily(own & flagsOf(host));
    words[o + HOST_FLAGS] = flagsOf(host) | (host.alive ? IS_ALIVE : 0) | (family << FAMILY_BIT);
    words[o + HOST_MTU] = host.mtu;
    words[o + HOST_IPV4] = host.ipv4 ?? 0;
    if (host.ipv6 !== null) words.set(host.ipv6, o + HOST_IPV6);
    const open = host.alive && host.id !== spec.self && family !== 0;
    words[o + HOST_PLAIN] = open ? (host.mtu << FAMILY_BITS) | family : 0;
  }
  const chains = new Uint16Array(buffer);
  let chain = at.chains * 2;
  const chainsOf = spec.pools.map(({ planes }) => {
    const start = chain;
    planes.forEach((plane, hop) => {
      chains.set(plane, start + hop * spec.tableSize);
    });
    chain += Math.ceil((planes.length * spec.tableSize) / 2) * 2;
    return start;
  });
  spec.services.forEach((service, i) => {
    const o = at.services + service.id * SERVICE_STRIDE;
    words[o + SERVICE_CHAINS] = chainsOf[service.pool]!;
    words[o + SERVICE_HASH] = HASH_MODES.indexOf(service.hash);
    words[o + SERVICE_UDP] = UDP_MODES.indexOf(service.udp);
    words[o + SERVICE_QUIC] = at.quic[i]!;
    if (service.quic !== null) writeQuic(words, at.quic[i]!, service.quic);
  });
  words.set(
    spec.vips.map((vip) => vip.portless),
    at.vips,
  );
  writePortTable(words, at.ports, spec.vips);
  const vips = [...spec.vips, ...spec.egress.map(({ words, family }) => ({ words, family, length: 128 }))];
  writeAddressTable(
    words,
    at.vipTable,
    vips.map((vip, value) => ({ words: vip.words, family: vip.family, length: vip.length, value })),
  );
  writeSliceTable(words, chains, at.slices, spec.egress);
  writeAddressTable(words, at.peerTable, peerEntries(spec));
  new Uint8Array(buffer).set(names, at.names * 4);
}

/** Tables as a worker reads them; `load` makes them those of a bank. The numbers are copies of header words. */
export interface Tables {
  /** A copy of the bank up to the chains. */
  words: Int32Array;
  /** The bank itself. */
  chains: Uint16Array;
  generation: number;
  tableSize: number;
  self: number;
  key0: number;
  key1: number;
  guePort: number;
  hostsAt: number;
  servicesAt: number;
  vipsAt: number;
  portsAt: number;
  vipTableAt: number;
  peerTableAt: number;
  /** Indexes from here on that findVip4 and findVip6 give are those of egress IPs. */
  firstEgress: number;
  slicesAt: number;
}

/** Room for a few hundred hosts, VIPs and ports. */
const OWN_WORDS = 1 << 16;

/** Tables with nothing in them. */
export const createTables = (): Tables => ({
  words: new Int32Array(OWN_WORDS),
  chains: new Uint16Array(0),
  generation: 0,
  tableSize: 0,
  self: 0,
  key0: 0,
  key1: 0,
  guePort: 0,
  hostsAt: 0,
  servicesAt: 0,
  vipsAt: 0,
  portsAt: 0,
  vipTableAt: 0,
  peerTableAt: 0,
  firstEgress: 0,
  slicesAt: 0,
});

/** Makes tables those of a bank, which must stay as it is for as long as they are used. */
export function load(tables: Tables, buffer: ArrayBufferLike): void {
  const bank = new Int32Array(buffer);
  const own = bank.subarray(0, bank[CHAINS_AT]!);
  if (own.length > tables.words.length) tables.words = new Int32Array(2 * own.length);
  tables.words.set(own);
  tables.chains = new Uint16Array(buffer);
  const w = tables.words;
  tables.generation = w[GENERATION]!;
  tables.tableSize = w[TABLE_SIZE]!;
  tables.self = w[SELF]!;
  tables.key0 = w[KEY0]!;
  tables.key1 = w[KEY1]!;
  tables.guePort = w[GUE_PORT]!;
  tables.hostsAt = w[HOSTS_AT]!;
  tables.servicesAt = w[SERVICES_AT]!;
  tables.vipsAt = w[VIPS_AT]!;
  tables.portsAt = w[PORTS_AT]!;
  tables.vipTableAt = w[VIP_TABLE_AT]!;
  tables.peerTableAt = w[PEER_TABLE_AT]!;
  tables.firstEgress = w[FIRST_EGRESS]!;
  tables.slicesAt = w[SLICES_AT]!;
}

/** What a bank says in words: host and service names by id, egress IPs with [slice, host id] pairs. */
export interface Names {
  readonly hosts: ReadonlyMap<number, string>;
  readonly services: ReadonlyMap<number, string>;
  readonly egress: readonly { ip: string; sliceSize: number; owners: [number, number][] }[];
}

/** Reads the names of a bank. Not for the hot path. */
export function readNames(buffer: ArrayBufferLike): Names {
  const words = new Int32Array(buffer);
  const bytes = new Uint8Array(buffer, words[NAMES_AT]! * 4, words[NAMES_BYTES]!);
  const names = JSON.parse(new TextDecoder().decode(bytes.slice())) as Names & Record<"hosts" | "services", [number, string][]>;
  return { ...names, hosts: new Map(names.hosts), services: new Map(names.services) };
}

/** Index of the VIP an IPv4 address belongs to, or -1. */
export const findVip4 = (t: Tables, address: number): number => findAddress4(t.words, t.vipTableAt, address);

/** Index of the VIP an IPv6 address belongs to, or -1. The address is 4 int32 words. */
export const findVip6 = (t: Tables, a: number, b: number, c: number, d: number): number =>
  findAddress6(t.words, t.vipTableAt, a, b, c, d);

/** Id of the host that owns a port of an egress IP, given by its VIP index, or -1. */
export const sliceOwner = (t: Tables, vip: number, port: number): number =>
  findSliceOwner(t.words, t.chains, t.slicesAt, vip - t.firstEgress, port);

/** Id of the host that has the address, or -1. An IPv4 address is the last word, the others do not matter. */
export const findPeer = (t: Tables, family: number, a: number, b: number, c: number, d: number): number =>
  findAddress(t.words, t.peerTableAt, family, a, b, c, d);

/** Service of a VIP for a port, or -1. */
export const findService = (t: Tables, vip: number, udp: boolean, port: number): number =>
  findPort(t.words, t.portsAt, vip, udp, port);

/** Service of a VIP for packets without ports, or -1. */
export const portlessService = (t: Tables, vip: number): number => t.words[t.vipsAt + vip]!;

/** Position in HASH_MODES of a service. */
export const hashMode = (t: Tables, service: number): number => t.words[t.servicesAt + service * SERVICE_STRIDE + SERVICE_HASH]!;

/** Position in UDP_MODES of a service. */
export const udpMode = (t: Tables, service: number): number => t.words[t.servicesAt + service * SERVICE_STRIDE + SERVICE_UDP]!;

/** Word offset of the record of a service's QUIC server ids, or 0. */
export const quicRecord = (t: Tables, service: number): number =>
  t.words[t.servicesAt + service * SERVICE_STRIDE + SERVICE_QUIC]!;

/** Bucket of a flow hash: the table's share of 32 bits, exact in a float64 and without a division. */
export const bucketOf = (t: Tables, hash: number): number => ((hash >>> 0) * t.tableSize * 2 ** -32) | 0;

/** Host id at place `hop` of a bucket's chain, or NO_HOST. */
export function hopOf(t: Tables, service: number, bucket: number, hop: number): number {
  const chains = t.words[t.servicesAt + service * SERVICE_STRIDE + SERVICE_CHAINS]!;
  return t.chains[chains + hop * t.tableSize + bucket]!;
}

/** Word offset of a host's record. */
export const hostAt = (t: Tables, id: number): number => t.hostsAt + id * HOST_STRIDE;

/** Whether a host id, which may be an old one, names a host that may own flows. */
export function isAlive(t: Tables, id: number): boolean {
  const at = hostAt(t, id);
  return at < t.servicesAt && (t.words[at + HOST_FLAGS]! & IS_ALIVE) !== 0;
}

/** Family of the outer header toward a host: the one both ends have, IPv4 first; 0 when there is none. */
export const outerFamily = (t: Tables, host: number): number => t.words[hostAt(t, host) + HOST_FLAGS]! >>> FAMILY_BIT;

/**
 * What it takes to know to send a packet behind a plain GUE header to a host, whose id may be an old one, in one word: plainMtu and
 * plainFamily read it. 0: it is down, gone, this host, or out of reach.
 */
export function plainPath(t: Tables, host: number): number {
  const at = hostAt(t, host);
  return at < t.servicesAt ? t.words[at + HOST_PLAIN]! : 0;
}

/** Bytes that the outer packet may have. */
export const plainMtu = (path: number): number => path >> FAMILY_BITS;

/** Family of the outer header. */
export const plainFamily = (path: number): number => path & ((1 << FAMILY_BITS) - 1);
