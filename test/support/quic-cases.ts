/** Fixtures of QUIC: whose connection IDs carry a server id. */
import {
  GSO_UDP_L4,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_NEEDS_CSUM,
} from "../../src/io/packet-io.ts";
import { both, type Family, type Fixture, IPV4, type Step, sourcePortOf } from "./fixture.ts";
import * as make from "./packets.ts";

/** By 5-tuple all flows go to s2; the other hosts are reached by their server ids alone. */
const QUIC_CONFIG = `cluster: fixtures
seed: 000102030405060708090a0b0c0d0e0f
hosts:
  - { name: s1, dip: [10.0.1.11, "fd00:1::11"], serverId: 0x0101 }
  - { name: s2, dip: [10.0.1.12, "fd00:1::12"], serverId: 0x0102 }
  - { name: s3, dip: [10.0.1.13, "fd00:1::13"], serverId: 0x0103 }
  - { name: s4, dip: [10.0.1.14, "fd00:1::14"], serverId: 0x0104, state: down }
  - { name: s5, dip: [10.0.1.15, "fd00:1::15"], serverId: 0x0105 }
services:
  - name: quic
    vips: [192.0.2.10, "2001:db8::10"]
    ports: { udp: [443] }
    pool: { s1: 0, s2: 1, s3: 0, s4: 0 }
    udp: quic
    quic: { offset: 1, length: 2 }
  - name: far
    vips: [192.0.2.20, "2001:db8::20"]
    ports: { udp: [443] }
    pool: { s2: 1, s3: 0 }
    udp: quic
    quic: { offset: 4, length: 3, selfLength: true }
  - name: flow
    vips: [192.0.2.30, "2001:db8::30"]
    ports: { udp: [443] }
    pool: { s2: 1, s3: 0 }
    udp: flow
`;

const DIPS = { s2: "10.0.1.12", s3: "10.0.1.13" } as const;

const SHORT = 0x40;
const LONG = 0xc3;

/** The UDP payload: first octet of the header, connection ID, something encrypted. */
const short = (...id: readonly number[]): Uint8Array => make.concat(make.bytes(SHORT, ...id), make.filler(20));
const longHeader = (...id: readonly number[]): Uint8Array =>
  make.concat(make.bytes(LONG, 0, 0, 0, 1, id.length, ...id, 0), make.filler(40));

/** A packet that leaves for a host, in the outer source port of its flow. */
function to(host: keyof typeof DIPS, payload: Uint8Array, from: make.End, at: make.End): Step {
  const packet = make.udp(from, at, payload);
  const end = ([address, port]: make.End): string => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
  const sourcePort = sourcePortOf(QUIC_CONFIG, `udp ${end(from)} > ${end(at)}`);
  return { in: packet, verdict: "forwarded", out: [make.gue("10.0.1.11", DIPS[host], packet, { sourcePort })] };
}

const client = (f: Family): make.End => [f.client, 50_000];
const NONCE = [9, 8, 7, 6, 5];

const serverId = both((f) => {
  const [from, at]: [make.End, make.End] = [client(f), [f.web, 443]];
  const own = make.udp(from, at, short(0x07, 1, 1, ...NONCE));
  const migrated: make.End = [f.elsewhere, 50_001];
  return {
    name: "quic-server-id",
    role: "director",
    config: QUIC_CONFIG,
    shows:
      "A QUIC short header whose connection ID carries a host's server id goes to that host, with the plain header, wherever the client has moved; with this host's own id it is delivered.",
    steps: [
      to("s3", short(0x07, 1, 3, ...NONCE), from, at),
      to("s3", short(0xc7, 1, 3, ...NONCE), migrated, at),
      to("s2", short(0x27, 1, 2, ...NONCE), from, at),
      to("s3", make.bytes(SHORT, 0x07, 1, 3), from, at),
      { in: own, verdict: "delivered", out: [own] },
    ],
  };
});

const noServerId = both((f) => {
  const [from, at]: [make.End, make.End] = [client(f), [f.web, 443]];
  return {
    name: "quic-by-flow",
    role: "director",
    config: QUIC_CONFIG,
    shows:
      "By 5-tuple go: a server id nobody has, that of a host that is down, that of a host outside the pool, an ID marked unroutable (rotation 7), an ID cut short, a long header whatever is in its IDs, a datagram without payload.",
    steps: [
      to("s2", short(0x07, 1, 9, ...NONCE), from, at),
      to("s2", short(0x07, 1, 4, ...NONCE), from, at),
      to("s2", short(0x07, 1, 5, ...NONCE), from, at),
      to("s2", short(0xe7, 1, 3, ...NONCE), from, at),
      to("s2", make.bytes(SHORT, 0x07, 1), from, at),
      to("s2", make.bytes(SHORT), from, at),
      to("s2", make.bytes(), from, at),
      to("s2", longHeader(0x07, 1, 3, ...NONCE), from, at),
    ],
  };
});

const layout = both((f) => {
  const [from, at]: [make.End, make.End] = [client(f), [f.home, 443]];
  const id = (first: number): number[] => [first, 7, 7, 7, 0, 1, 3, ...NONCE];
  return {
    name: "quic-layout",
    role: "director",
    config: QUIC_CONFIG,
    shows:
      "Offset and length of the server id are the service's; where IDs tell their own length, one that would end before its server id carries none. A service that is not QUIC does not look at all.",
    steps: [
      to("s3", short(...id(11)), from, at),
      to("s3", short(...id(6)), from, at),
      to("s2", short(...id(5)), from, at),
      to("s2", short(0x07, 1, 3, ...NONCE, 0, 0), from, at),
      to("s2", short(0x07, 1, 3, ...NONCE), from, [f.nobody, 443]),
    ],
  };
});

/** A super-segment of datagrams with these payloads, of which all but the last have one length, and the datagrams by themselves. */
function train(from: make.End, at: make.End, payloads: readonly Uint8Array[]) {
  const v4 = !from[0].includes(":");
  const datagrams = payloads.map((payload, i) => make.udp(from, at, payload, v4 ? { id: 0xfffe + i } : {}));
  return {
    datagrams,
    whole: open(make.udp(from, at, make.concat(...payloads), v4 ? { id: 0xfffe } : {}), from[0], at[0]),
    offloads: {
      [RX_FLAGS]: RX_NEEDS_CSUM,
      [RX_GSO_TYPE]: GSO_UDP_L4,
      [RX_GSO_SIZE]: payloads[0]!.length,
      [RX_CSUM_START]: v4 ? 20 : 40,
      [RX_CSUM_OFFSET]: 6,
    },
  };
}

/** The packet with its checksum left open: the field has the sum of the pseudo-header. */
function open(packet: Uint8Array, from: string, at: string): Uint8Array {
  const copy = packet.slice();
  const l4 = from.includes(":") ? 40 : 20;
  const length = packet.length - l4;
  const sum = make.checksum(make.concat(make.address(from), make.address(at), make.bytes(0, 17, length >> 8, length & 255)));
  copy.set([(~sum >> 8) & 255, ~sum & 255], l4 + 6);
  return copy;
}

const superSegment = both((f) => {
  const from = client(f);
  const leave = (hosts: readonly (keyof typeof DIPS)[], at: make.End, datagrams: readonly Uint8Array[]): Uint8Array[] => {
    const end = ([address, port]: make.End): string => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
    const sourcePort = sourcePortOf(QUIC_CONFIG, `udp ${end(from)} > ${end(at)}`);
    return hosts.map((host, i) => make.gue("10.0.1.11", DIPS[host], datagrams[i]!, { sourcePort }));
  };
  const at: make.End = [f.web, 443];
  const id = (host: number): Uint8Array => short(0x07, 1, host, ...NONCE);
  const unknown = short(0xe7, 1, 3, ...NONCE);
  const end = make.bytes(SHORT, 0x07, 1, 3);
  // Two of s3, one of s2, one by the flow (which is s2's), two of s1 itself, a shorter one of s3.
  const mixed = train(from, at, [id(3), id(3), id(2), unknown, id(1), id(1), end]);
  const own = train(from, at, [id(1), id(1)]);
  const ownWhole = f === IPV4 ? make.udp(from, at, make.concat(id(1), id(1)), { id: (0xfffe + 4) & 0xffff }) : own.whole;
  const same = train(from, at, [id(3), id(3), id(3)]);
  const flow: make.End = [f.nobody, 443];
  const other = train(from, flow, [id(3), id(2), id(3)]);
  const all = (verdict: string, count: number): string[] => new Array<string>(count).fill(verdict);
  return {
    name: "quic-super-segment",
    role: "director",
    config: QUIC_CONFIG,
    shows:
      "Datagrams of one super-segment go each by its own connection ID; those for this host itself that follow each other stay together. Of a service that is not QUIC all go one way.",
    steps: [
      {
        in: mixed.whole,
        offloads: mixed.offloads,
        verdict: [...all("forwarded", 4), ...all("delivered", 2), "forwarded"],
        out: [
          ...leave(["s3", "s3", "s2", "s2"], at, mixed.datagrams),
          ...leave(["s3"], at, mixed.datagrams.slice(6)),
          open(ownWhole, from[0], at[0]),
        ],
      },
      {
        in: same.whole,
        offloads: same.offloads,
        verdict: all("forwarded", 3),
        out: leave(["s3", "s3", "s3"], at, same.datagrams),
      },
      { in: own.whole, offloads: own.offloads, verdict: all("delivered", 2), out: [own.whole] },
      {
        in: other.whole,
        offloads: other.offloads,
        verdict: all("forwarded", 3),
        out: leave(["s2", "s2", "s2"], flow, other.datagrams),
      },
    ],
  };
});

export const QUIC_CASES: readonly Fixture[] = [...serverId, ...noServerId, ...layout, ...superSegment];
