/** Random bursts of GUE datagrams as a target gets them, made naively from the RFCs, so that they can be run again by seed. */
import { type Family, IPV4, IPV6 } from "./fixture.ts";
import * as make from "./packets.ts";
import { seededRandom } from "./random.ts";
import { finishPacket } from "./segmenter.ts";

type Random = (limit: number) => number;
/** A datagram, GUE header first. */
export type Gue = Uint8Array;

/** One message of a GUE socket: a datagram, or some of `size` bytes each but the last (UDP_GRO). */
export interface Message {
  readonly datagrams: readonly Gue[];
  readonly size: number;
  /** Of the outer header. */
  readonly trafficClass: number;
  /** IPv4 address it is from. */
  readonly peer: string;
}
export type Burst = readonly Message[];

export const FIN = 0x01;
export const SYN = 0x02;
export const ACK = 0x10;
const [RST, PSH, URG, ECE, CWR] = [0x04, 0x08, 0x20, 0x40, 0x80];

/** Words of a receive record for a peer. */
export function peerWords(peer: string): number[] {
  const [a, b, c, d] = make.address(peer);
  return [0, 0, 0xffff, (a! << 24) | (b! << 16) | (c! << 8) | d!];
}

/** What the next packet of a flow begins with. */
export interface Flow {
  readonly family: Family;
  readonly protocol: number;
  readonly port: number;
  readonly to: string;
  toPort: number;
  sequence: number;
  acknowledged: number;
  window: number;
  options: Uint8Array;
  id: number;
  /** By how much the identification goes up. */
  step: number;
  df: boolean;
  tos: number;
  ttl: number;
  label: number;
  /** Payload bytes of a full packet. */
  size: number;
  hops: readonly string[];
  /** Flags that all packets have. */
  flags: number;
  /** Added to the checksum of every IPv4 header. */
  sumOff: number;
  /** Whether a header checksum of zero is written as all ones, the other zero. */
  ones: boolean;
}

const flowOf = (protocol: number, family: Family, port: number, to: string): Flow => ({
  family,
  protocol,
  port,
  to,
  toPort: protocol === 6 ? 80 : 53,
  sequence: 0xffff_0000,
  acknowledged: 77,
  window: 500,
  options: make.bytes(),
  id: 0xfff0,
  step: 1,
  df: true,
  tos: 0,
  ttl: 60,
  label: 0,
  size: 1000,
  hops: [],
  flags: ACK,
  sumOff: 0,
  ones: false,
});
export const tcpFlow = (family: Family, port: number, to: string): Flow => flowOf(6, family, port, to);
export const udpFlow = (family: Family, port: number, to: string): Flow => flowOf(17, family, port, to);

let salt = 0;

function packetOf(f: Flow, l4Header: Uint8Array, payload: number, extension = false): Uint8Array {
  const v4 = f.family === IPV4;
  const network = v4 ? 20 : extension ? 48 : 40;
  const packet = new Uint8Array(network + l4Header.length + payload);
  const v = new DataView(packet.buffer);
  if (v4) {
    packet.set([0x45, f.tos]);
    v.setUint16(4, f.id);
    v.setUint16(6, f.df ? 0x4000 : 0);
    packet.set([f.ttl, f.protocol], 8);
    packet.set([...make.address(f.family.client), ...make.address(f.to)], 12);
    f.id = (f.id + f.step) & 0xffff;
  } else {
    v.setUint32(0, (6 * 2 ** 28 + f.tos * 2 ** 20 + f.label) >>> 0);
    packet.set([extension ? 60 : f.protocol, f.ttl], 6);
    packet.set([...make.address(f.family.client), ...make.address(f.to)], 8);
    if (extension) packet.set([f.protocol, 0, 1, 4, 0, 0, 0, 0], 40);
  }
  packet.set(l4Header, network);
  v.setUint16(network, f.port);
  v.setUint16(network + 2, f.toPort);
  salt = (salt + 13) & 0xffff;
  for (let i = network + l4Header.length; i < packet.length; i++) packet[i] = (i * 7 + (i >> 8) + salt) & 255;
  finishPacket(packet, network, f.protocol);
  if (v4) v.setUint16(10, v.getUint16(10) + f.sumOff);
  if (v4 && f.ones && v.getUint16(10) === 0) v.setUint16(10, 0xffff);
  return packet;
}

/** The next packet of a TCP flow. */
export function tcpPacket(f: Flow, payload: number, flags = f.flags, extension = false): Uint8Array {
  const header = new Uint8Array(20 + f.options.length);
  const v = new DataView(header.buffer);
  v.setUint32(4, f.sequence);
  v.setUint32(8, f.acknowledged);
  header.set([(header.length / 4) << 4, flags], 12);
  v.setUint16(14, f.window);
  if ((flags & URG) !== 0) v.setUint16(18, 5 * (f.sequence & 1));
  header.set(f.options, 20);
  f.sequence = (f.sequence + payload) >>> 0;
  return packetOf(f, header, payload, extension);
}

/** The next packet of a UDP flow. */
export const udpPacket = (f: Flow, payload: number, extension = false): Uint8Array =>
  packetOf(f, new Uint8Array(8), payload, extension);

/** A packet in GUE. */
export function wrap(inner: Uint8Array, hops: readonly string[] = [], trailer = 0, index = 0): Gue {
  const list = hops.flatMap((hop) => [...make.address(hop)]);
  const data = hops.length === 0 ? [] : [0, 0, index, hops.length, ...list];
  const header = [data.length / 4, inner[0]! >> 4 === 4 ? 4 : 41, 0, 0, ...data];
  const datagram = new Uint8Array(header.length + inner.length + trailer).fill(0xee);
  datagram.set(header);
  datagram.set(inner, header.length);
  return datagram;
}

const l4Of = (packet: Uint8Array): number => (packet[0]! >> 4 === 4 ? 20 : packet[6] === 60 ? 48 : 40);

/** Writes the other zero where a checksum is zero, by way of a word that is made to fit. */
export function oddZero(packet: Uint8Array, field: number, word: number, finish: () => void): void {
  const v = new DataView(packet.buffer, packet.byteOffset);
  const sum = v.getUint16(field) + v.getUint16(word);
  v.setUint16(word, (sum & 0xffff) + (sum >>> 16));
  finish();
  v.setUint16(field, v.getUint16(field) === 0 ? 0xffff : v.getUint16(field) === 0xffff ? 0 : v.getUint16(field));
}

/** Changes a packet of the flow that is otherwise as the others. */
function strange(f: Flow, random: Random, packet: Uint8Array): Uint8Array {
  const l4 = l4Of(packet);
  const field = l4 + (f.protocol === 6 ? 16 : 6);
  const v = new DataView(packet.buffer);
  const finish = (): void => finishPacket(packet, l4, f.protocol);
  switch (random(13)) {
    case 0: // wrong checksum
    case 1:
      v.setUint16(field, (v.getUint16(field) + 1 + random(0xfffd)) & 0xffff || 5);
      break;
    case 2: // wrong payload
      packet[packet.length - 1]! ^= 1 << random(8);
      break;
    case 3:
      if (f.family === IPV4) v.setUint16(10, v.getUint16(10) ^ (1 << random(16)));
      break;
    case 4:
      if (f.protocol === 17) v.setUint16(field, 0);
      break;
    case 5:
      if (packet.length > l4 + 64) oddZero(packet, field, packet.length - (packet.length & 1) - 2, finish);
      break;
    case 6:
      if (f.family === IPV4) oddZero(packet, 10, 4, finish);
      break;
    case 7: // a TTL for one packet alone
      packet[f.family === IPV4 ? 8 : 7] = random(3);
      if (random(2) === 0) finish();
      break;
    case 8: // UDP lengths that differ, or TCP's reserved bits
      if (f.protocol === 17) {
        const less = Math.min(random(3), packet.length - l4 - 8);
        // The sum stays the same when the length goes down and the checksum up.
        v.setUint16(l4 + 4, v.getUint16(l4 + 4) - less);
        v.setUint16(field, v.getUint16(field) + less);
      } else {
        packet[l4 + 12]! |= 1 << random(4);
        finish();
      }
      break;
    case 9: // an urgent pointer without the flag
      if (f.protocol === 6) {
        v.setUint16(l4 + 18, random(9));
        finish();
      }
      break;
    case 10: // a fragment bit
      if (f.family === IPV4) {
        packet[6]! |= [0x80, 0x20, 0x40][random(3)]!;
        v.setUint16(10, 0);
        v.setUint16(10, make.checksum(packet.subarray(0, 20)));
      }
      break;
    case 11: // an IPv4 header with options
      if (f.family === IPV4) {
        const longer = Uint8Array.from([...packet.subarray(0, 20), 1, 1, 1, 0, ...packet.subarray(20)]);
        longer[0] = 0x46;
        finishPacket(longer, 24, f.protocol);
        return longer;
      }
      break;
    default: // cut short, or lengths that do not agree
      return packet.slice(0, Math.max(1, packet.length - 1 - random(30)));
  }
  return packet;
}

/** Changes what the next packets of a flow have in common. */
function turn(f: Flow, random: Random): void {
  switch (random(14)) {
    case 0:
      f.acknowledged += 1 + random(3);
      break;
    case 1:
      f.window ^= 1 + random(7);
      break;
    case 2:
      f.options = f.options.length === 0 ? make.bytes(1, 1, 8, 10, 0, 0, 0, random(256), 0, 0, 0, 9) : f.options.slice();
      f.options[7] = random(256);
      break;
    case 3:
      f.options = random(2) === 0 ? make.bytes() : make.filler(4 * random(11), random(256));
      break;
    case 4:
      f.id = random(65_536);
      break;
    case 5:
      f.step = [0, 1, 1, 2, 256, 65_535][random(6)]!;
      break;
    case 6:
      f.df = !f.df;
      break;
    case 7:
      f.tos = random(256);
      break;
    case 8:
      f.ttl = 1 + random(255);
      break;
    case 9:
      f.sequence = (f.sequence + random(3) * f.size - f.size) >>> 0; // a loss, a repetition
      break;
    case 10:
      f.label = random(2 ** 20);
      break;
    case 11:
      f.flags = random(2) === 0 ? ACK : ACK | [CWR, ECE, URG, CWR | ECE][random(4)]!;
      break;
    case 12:
      f.sumOff = random(2) * random(4);
      break;
    default:
      f.size = 1 + random(random(2) === 0 ? 60 : 2900);
  }
}

const FLAGS = [PSH, FIN, PSH | FIN, URG, CWR, ECE, ECE, SYN, RST, RST, CWR | ECE, PSH | URG];

function nextPacket(f: Flow, random: Random): Uint8Array {
  const usual = random(12) > 0;
  const extension = random(60) === 0;
  const size = usual ? f.size : random(10) === 0 ? 0 : random(f.size + 3);
  if (f.protocol === 17) return udpPacket(f, size, extension);
  const flags = random(14) > 0 ? f.flags : random(5) === 0 ? random(256) : ACK | FLAGS[random(FLAGS.length)]!;
  return tcpPacket(f, size, flags, extension);
}

/** Packets of none of the flows: fragments of a datagram, echoes, other protocols, none at all. */
function others(f: Flow, random: Random): Uint8Array[] {
  const { client } = f.family;
  const from: make.End = [client, f.port];
  switch (random(5)) {
    case 0: {
      const whole = make.udpDatagram(from, [f.to, f.toPort], make.filler(600));
      const id = random(65_536);
      const parts = [
        make.ip(client, f.to, 17, whole.subarray(0, 304), { more: true, id }),
        make.ip(client, f.to, 17, whole.subarray(304), { offset: 304, id }),
      ];
      const between = Array.from({ length: random(4) }, () => nextPacket(f, random));
      return random(3) === 0 ? parts.reverse() : [parts[0]!, ...between, parts[1]!];
    }
    case 1:
      return [make.echo(client, f.to, random(65_536))];
    case 2:
      return [make.ip(client, f.to, 132, make.filler(30))];
    case 3:
      return [make.filler(random(50), random(256))];
    default:
      return [make.udp(from, ["203.0.113.9", 53].includes(f.to) ? from : [f.to, 9], make.filler(random(4)))];
  }
}

function randomFlow(random: Random): Flow {
  const family = random(2) === 0 ? IPV4 : IPV6;
  const egress = family === IPV4 ? "198.51.100.99" : "2001:db8:e::99";
  const to = [family.home, family.home, family.web, egress, family.elsewhere][random(20) === 0 ? 4 : random(4)]!;
  // Few ports, so that flows have the same one.
  const f = flowOf(random(3) === 0 ? 17 : 6, family, 40_000 + random(5), to);
  if (to === egress) f.toPort = 2100 + random(3);
  f.sequence = random(2 ** 32);
  f.id = random(65_536);
  f.step = [0, 1, 1, 1][random(4)]!;
  f.df = random(4) > 0;
  f.tos = random(3) === 0 ? random(4) : 0;
  f.size = [1400, 1448, 1, 30, 31, 700][random(6)]! + random(3);
  if (random(3) === 0) f.hops = ["10.0.1.12"];
  if (random(3) === 0) f.options = make.bytes(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 9);
  return f;
}

interface Sent {
  readonly bytes: Gue;
  readonly trafficClass: number;
  readonly peer: string;
}

function sendSome(f: Flow, random: Random, into: Sent[]): void {
  if (random(8) === 0) turn(f, random);
  const mark = random(6) === 0 ? random(4) : f.tos & 3;
  const peer = random(40) === 0 ? "10.9.9.9" : "10.0.1.12";
  for (let left = 1 + random(random(3) === 0 ? 40 : 6); left > 0; left--) {
    let packets = random(90) === 0 ? others(f, random) : [nextPacket(f, random)];
    if (random(30) === 0) packets = packets.map((packet) => (packet.length > 60 ? strange(f, random, packet) : packet));
    if (random(60) === 0) packets.push(packets[0]!);
    if (random(60) === 0) packets.pop();
    const hops = random(50) === 0 ? ["10.0.1.11"] : f.hops;
    const trailer = random(80) === 0 ? random(9) : 0;
    const index = random(50) === 0 ? hops.length : 0;
    for (const packet of packets) {
      const bare = random(60) === 0 && packet.length > 0 && [4, 6].includes(packet[0]! >> 4);
      const bytes = bare ? packet : wrap(packet.length > 0 ? packet : make.bytes(0), hops, trailer, index);
      if (random(100) === 0 && !bare) bytes[random(4)]! ^= 1 << random(8);
      into.push({ bytes, trafficClass: mark, peer });
    }
    if (random(50) === 0) turn(f, random);
    if (random(40) === 0 && into.length > 1) into.push(into.splice(-2, 1)[0]!);
  }
}

/** Puts datagrams into messages as UDP_GRO may: equal lengths, the last may be shorter. */
function messages(sent: readonly Sent[], random: Random): Burst {
  const out: Message[] = [];
  for (let i = 0; i < sent.length; ) {
    const { bytes, trafficClass, peer } = sent[i]!;
    const datagrams = [bytes];
    const most = random(3) === 0 ? 1 : 64;
    for (i++; i < sent.length && datagrams.length < most; i++) {
      const next = sent[i]!;
      const room = (datagrams.length + 1) * bytes.length <= 65_000 && next.bytes.length <= bytes.length;
      if (!room || next.trafficClass !== trafficClass || next.peer !== peer || next.bytes.length === 0) break;
      datagrams.push(next.bytes);
      if (next.bytes.length < bytes.length && i++ >= 0) break;
    }
    out.push({ datagrams, size: datagrams.length > 1 || random(4) === 0 ? bytes.length : 0, trafficClass, peer });
  }
  return out;
}

/** Bursts of several flows between each other, of at most 128 messages each. */
export function randomBursts(seed: number, count: number): Burst[] {
  const random = seededRandom(seed);
  const flows = Array.from({ length: 1 + random(6) }, () => randomFlow(random));
  return Array.from({ length: count }, () => {
    const sent: Sent[] = [];
    for (let runs = 1 + random(14); runs > 0; runs--) sendSome(flows[random(flows.length)]!, random, sent);
    return messages(sent, random).slice(0, 128);
  });
}
