/** Fixtures of packets that do not fit the path to their owner, both roles. */
import { both, CONFIG, type Family, type Fixture, IPV4, IPV6, type Step, sourcePortOf } from "./fixture.ts";
import * as make from "./packets.ts";

const DIP1 = "10.0.1.11";
const DIP2 = "10.0.1.12";
const MTU = 1500;
/** Outer IPv4, UDP and GUE header: 20 + 8 + 4. */
const ROOM = MTU - 32;

const bracket = (a: string): string => (a.includes(":") ? `[${a}]` : a);
const flowOf = (f: Family, protocol: string, port: number, to: string, toPort: number): string =>
  `${protocol} ${bracket(f.client)}:${port} > ${bracket(to)}:${toPort}`;

/** What the source is told: that `room` bytes get through, with as much of its packet as such a message may hold. */
function tooBig(f: Family, packet: Uint8Array, to: string, room: number): Uint8Array {
  const words = [0, 0, room >> 8, room & 255];
  if (f === IPV6) return make.icmp(to, f.client, 2, 0, words, packet.subarray(0, 1280 - 48));
  return make.icmp(to, f.client, 3, 4, words, packet.subarray(0, 576 - 28), { tos: 0xc0, df: true });
}

/** TCP of `length` bytes, IP header and all. */
function tcpOf(f: Family, length: number, options: make.IpOptions = {}): Uint8Array {
  const headers = f === IPV4 ? 40 + (options.options?.length ?? 0) : 60;
  return make.tcp([f.client, 40_000], [f.web, 80], make.filler(length - headers), { ip: options });
}

const sent = (f: Family, inner: Uint8Array, protocol = "tcp", port = 40_000, toPort = 80): Uint8Array =>
  make.gue(DIP1, DIP2, inner, { sourcePort: sourcePortOf(CONFIG, flowOf(f, protocol, port, f.web, toPort)) });

const fits = both((f) => {
  const packet = tcpOf(f, ROOM, { df: true });
  return {
    name: "mtu-fits",
    role: "director",
    mtu: MTU,
    shows: "The largest packet that fits is forwarded: 1500 bytes less 32 of outer IPv4, UDP and GUE header.",
    steps: [{ in: packet, verdict: "forwarded", out: [sent(f, packet)] }],
  };
});

const told = both((f) => {
  const packet = tcpOf(f, ROOM + 1, { df: true });
  const full = tcpOf(f, MTU, { df: true, tos: 0x28 });
  return {
    name: "mtu-told",
    role: "director",
    mtu: MTU,
    shows:
      "A packet that does not fit and may not be fragmented: the source is told by the VIP how much does (fragmentation needed, packet too big), with up to 576 or 1280 bytes in all.",
    steps: [packet, full].map((p) => ({ in: p, verdict: "too_big", out: [tooBig(f, p, f.web, ROOM)] })),
  };
});

const toldSix = both((f) => {
  const packet = make.tcp([f.client, 40_000], [f.six, 80], make.filler(1420), { ip: { df: true } });
  return {
    name: "mtu-outer-ipv6",
    role: "director",
    mtu: MTU,
    shows: "Over IPv6 between hosts the wrapper takes 52 bytes.",
    steps: [{ in: packet, verdict: "too_big", out: [tooBig(f, packet, f.six, MTU - 52)] }],
  };
});

const least: Fixture = {
  name: "mtu-least-ipv6",
  role: "director",
  mtu: 1300,
  shows: "No IPv6 source is told less than 1280 bytes, which it would not believe (RFC 8201).",
  steps: [1300, 1270].map((length) => {
    const packet = tcpOf(IPV6, length);
    return { in: packet, verdict: "too_big", out: [tooBig(IPV6, packet, IPV6.web, 1280)] };
  }),
};

const untold = both((f) => {
  const big = make.filler(1460);
  const original = make.tcp([f.web, 80], [f.client, 40_000], make.filler(1400));
  const error = make.icmp(f.elsewhere, f.web, f === IPV4 ? 3 : 1, 0, [0, 0, 0, 0], original, { df: true });
  const strange = f === IPV4 ? ["224.0.0.9", "127.0.0.1", "0.0.0.0"] : ["ff02::9", "::1", "::"];
  return {
    name: "mtu-untold",
    role: "director",
    mtu: 1460,
    shows: "Nobody is told about an ICMP error (RFC 1122), nor is an address that is no single host's.",
    steps: [error, ...strange.map((from) => make.tcp([from, 9], [f.web, 80], big, { ip: { df: true } }))].map((packet) => ({
      in: packet,
      verdict: "too_big",
    })),
  };
});

const limited = both((f) => {
  const packet = tcpOf(f, MTU, { df: true });
  const step = (after: number, out: boolean): Step => ({
    in: packet,
    verdict: "too_big",
    after,
    ...(out ? { out: [tooBig(f, packet, f.web, ROOM)] } : {}),
  });
  return {
    name: "mtu-limited",
    role: "director",
    mtu: MTU,
    shows: "A worker sends 64 such messages at once and then one in a millisecond.",
    steps: [...new Array<Step>(64).fill(step(0, true)), step(0, false), step(1, true), step(0, false), step(2, true)],
  };
});

/** Fragments of a packet's payload, of so many bytes each. */
function cut(packet: Uint8Array, header: number, sizes: readonly number[], o: make.IpOptions, later = o.options): Uint8Array[] {
  const start = o.offset ?? 0;
  let at = 0;
  return sizes.map((size, i) => {
    const piece = packet.subarray(header + at, header + at + size);
    const more = i < sizes.length - 1 || o.more === true;
    const options = (i === 0 ? o.options : later) ?? make.bytes();
    const fragment = make.ip(IPV4.client, IPV4.web, packet[9]!, piece, { ...o, offset: start + at, more, options });
    at += size;
    return fragment;
  });
}

const fragmented: Fixture = {
  name: "mtu-fragmented-ipv4",
  role: "director",
  mtu: MTU,
  shows:
    "IPv4 without DF is fragmented before it is wrapped, so that the owner's kernel puts it together: 1448 bytes of payload in each. Of the options only those with the copied flag are in later fragments.",
  steps: [
    (() => {
      const packet = tcpOf(IPV4, MTU, { id: 77, tos: 0x28 });
      return {
        in: packet,
        verdict: "forwarded",
        out: cut(packet, 20, [1448, 32], { id: 77, tos: 0x28 }).map((p) => sent(IPV4, p)),
      };
    })(),
    (() => {
      const packet = make.udp([IPV4.client, 40_001], [IPV4.web, 53], make.filler(4000), { id: 78 });
      const out = cut(packet, 20, [1448, 1448, 1112], { id: 78 });
      return { in: packet, verdict: "forwarded", out: out.map((p) => sent(IPV4, p, "udp", 40_001, 53)) };
    })(),
    (() => {
      // Record route is not copied, router alert (0x94) is.
      const options = make.bytes(7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0);
      const packet = tcpOf(IPV4, MTU, { id: 79, options });
      const out = cut(packet, 32, [1432, 36], { id: 79, options }, make.bytes(0x94, 4, 0, 0));
      return { in: packet, verdict: "forwarded", out: out.map((p) => sent(IPV4, p)) };
    })(),
    (() => {
      const whole = make.udpDatagram([IPV4.client, 40_002], [IPV4.web, 53], make.filler(3000));
      const first = make.ip(IPV4.client, IPV4.web, 17, whole.subarray(0, 1480), { id: 80, offset: 0, more: true });
      const out = cut(first, 20, [1448, 32], { id: 80, more: true });
      return { in: first, verdict: "forwarded", out: out.map((p) => sent(IPV4, p, "udp", 40_002, 53)) };
    })(),
  ],
};

const nextHop = both((f) => {
  const hops = [DIP2];
  const packet = tcpOf(f, MTU, { df: true });
  const small = tcpOf(f, ROOM - 8, { df: true });
  const port = sourcePortOf(CONFIG, flowOf(f, "tcp", 40_000, f.web, 80));
  const on = (inner: Uint8Array): Uint8Array => make.gue(DIP1, DIP2, inner, { hops, index: 1, sourcePort: port });
  return {
    name: "mtu-next-hop",
    role: "target",
    mtu: MTU,
    shows: "On the way to the next hop of a chain the same holds: with one hop in it the wrapper is 8 bytes longer.",
    steps: [
      { in: make.gue(DIP2, DIP1, small, { hops }), verdict: "next_hop", out: [on(small)] },
      { in: make.gue(DIP2, DIP1, packet, { hops }), verdict: "too_big", out: [tooBig(f, packet, f.web, ROOM - 8)] },
      ...(f === IPV6 ? [] : [fragmentedOnTheWay(on)]),
    ],
  };
});

function fragmentedOnTheWay(on: (inner: Uint8Array) => Uint8Array): Step {
  const packet = tcpOf(IPV4, MTU, { id: 81 });
  const out = cut(packet, 20, [1440, 40], { id: 81 });
  return { in: make.gue(DIP2, DIP1, packet, { hops: [DIP2] }), verdict: "next_hop", out: out.map(on) };
}

export const MTU_CASES: readonly Fixture[] = [...fits, ...told, ...toldSix, least, ...untold, ...limited, fragmented, ...nextHop];
