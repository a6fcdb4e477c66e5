/** Fixtures of the target: packets that come in GUE. The rows are those of packets.md. */
import { both, CONFIG, type Family, type Fixture, IPV4, IPV6, type Step, sourcePortOf } from "./fixture.ts";
import * as make from "./packets.ts";

const SELF = "10.0.1.11";
const PEER = "10.0.1.12";
const SELF6 = "fd00:1::11";
const PEER6 = "fd00:1::12";

const inner = (f: Family, tos = 0): Uint8Array => make.tcp([f.client, 40_000], [f.web, 80], make.filler(40), { ip: { tos } });

const delivered = (packet: Uint8Array, expected: Uint8Array): Step => ({ in: packet, verdict: "delivered", out: [expected] });
const dropped = (verdict: string, ...packets: readonly Uint8Array[]): Step[] => packets.map((p) => ({ in: p, verdict }));

const unwrapped = both((f) => {
  const packet = inner(f);
  const variant1 = (from: string, to: string): Uint8Array =>
    make.ip(from, to, 17, make.udpDatagram([from, 50_000], [to, 6080], packet), { tos: 0, df: true });
  const echo = make.echo(f.client, f.web, 5);
  return {
    name: "unwrapped",
    role: "target",
    shows:
      "GUE from a peer without hops left is delivered: variant 0 over IPv4 and IPv6, variant 1, a list of hops that is used up.",
    steps: [
      delivered(make.gue(PEER, SELF, packet), packet),
      delivered(make.gue(PEER6, SELF6, packet), packet),
      delivered(variant1(PEER, SELF), packet),
      delivered(variant1(PEER6, SELF6), packet),
      delivered(make.gue(PEER, SELF, packet, { hops: [PEER], index: 1 }), packet),
      delivered(make.gue(PEER6, SELF6, packet, { hops: [PEER6, "10.0.1.11"], index: 2 }), packet),
      delivered(make.gue(PEER, SELF, echo), echo),
    ],
  };
});

const notAPeer = both((f) => ({
  name: "not-a-peer",
  role: "target",
  shows: "GUE from an address that is no configured host's.",
  steps: dropped("not_a_peer", make.gue("10.0.1.99", SELF, inner(f)), make.gue("fd00:1::99", SELF6, inner(f))),
}));

const notForUs = both((f) => ({
  name: "not-gue-for-us",
  role: "target",
  shows: "UDP to another port or another host never reaches the GUE socket.",
  steps: dropped(
    "not_ours",
    make.gue(PEER, SELF, inner(f), { port: 6081 }),
    make.gue(PEER, "10.0.1.13", inner(f)),
    make.tcp([f.client, 1], [f.web, 80], make.bytes()),
  ),
}));

/** GUE with its header patched; the UDP checksum is made anew. */
function patched(f: Family, change: (gue: Uint8Array) => void, packet = inner(f)): Uint8Array {
  const header = make.bytes(0, f === IPV4 ? 4 : 41, 0, 0);
  const payload = make.concat(header, packet);
  change(payload);
  return make.ip(PEER, SELF, 17, make.udpDatagram([PEER, 50_000], [SELF, 6080], payload), { df: true });
}

const gueMalformed = both((f) => {
  const other = f === IPV4 ? IPV6 : IPV4;
  const hops = (index: number, count: number, addresses: number, type = 0): Uint8Array => {
    const words = make.concat(make.bytes(0, type, index, count), make.filler(addresses * 4));
    const header = make.bytes(1 + addresses, f === IPV4 ? 4 : 41, 0, 0);
    const payload = make.concat(header, words, inner(f));
    return make.ip(PEER, SELF, 17, make.udpDatagram([PEER, 50_000], [SELF, 6080], payload), { df: true });
  };
  return {
    name: "gue-malformed",
    role: "target",
    shows:
      "Variants 2 and 3, the control bit, unknown flags and protocols, an inner version that contradicts them, header lengths and hop counts beyond the packet, unknown private data.",
    steps: dropped(
      "gue_malformed",
      patched(f, (g) => g.set([0x80], 0)),
      patched(f, (g) => g.set([0xc0], 0)),
      patched(f, (g) => g.set([0x20], 0)),
      patched(f, (g) => g.set([1], 3)),
      patched(f, (g) => g.set([0x80], 2)),
      patched(f, (g) => g.set([17], 1)),
      patched(f, (g) => g.set([31], 0), make.filler(20)),
      patched(f, () => {}, inner(other)),
      patched(f, () => {}, make.bytes()),
      hops(2, 1, 1),
      hops(0, 2, 1),
      hops(0, 1, 1, 7),
      make.ip(PEER, SELF, 17, make.udpDatagram([PEER, 50_000], [SELF, 6080], make.bytes(0, 4)), { df: true }),
    ),
  };
});

const notAVip = both((f) => ({
  name: "not-a-vip",
  role: "target",
  shows: "An inner destination that is no VIP: a peer must not be able to reach the rest of this host through us.",
  steps: dropped("not_a_vip", make.gue(PEER, SELF, make.tcp([f.client, 1], [f.elsewhere, 80], make.bytes()))),
}));

const innerMalformed = both((f) => {
  const cut = inner(f).subarray(0, 30);
  return {
    name: "inner-malformed",
    role: "target",
    shows: "An inner packet whose lengths contradict the datagram.",
    steps: dropped("malformed", make.gue(PEER, SELF, cut)),
  };
});

const ecn = both((f) => {
  const [notEct, ect1, ect0, ce] = [0, 1, 2, 3];
  // RFC 6040, figure 4: inner, outer, result; null for a drop.
  const rows: [number, number, number | null][] = [
    [notEct!, notEct!, 0],
    [notEct!, ect0!, 0],
    [notEct!, ect1!, 0],
    [notEct!, ce!, null],
    [ect0!, notEct!, 2],
    [ect0!, ect0!, 2],
    [ect0!, ect1!, 1],
    [ect0!, ce!, 3],
    [ect1!, notEct!, 1],
    [ect1!, ect0!, 1],
    [ect1!, ect1!, 1],
    [ect1!, ce!, 3],
    [ce!, notEct!, 3],
    [ce!, ect0!, 3],
    [ce!, ect1!, 3],
    [ce!, ce!, 3],
  ];
  return {
    name: "ecn",
    role: "target",
    shows:
      "Congestion marked on the way between hosts reaches the inner packet as RFC 6040 has it; DSCP of the inner packet stays.",
    steps: rows.map(([inside, outside, result]) => {
      const packet = make.gue(PEER, SELF, inner(f, 0x28 | inside), { tos: 0x48 | outside });
      return result === null ? { in: packet, verdict: "ecn" } : delivered(packet, inner(f, 0x28 | result));
    }),
  };
});

/** What s1 sends on: itself outside, the packet's next hop as destination, the same header with the next index. */
const sentOn = (packet: Uint8Array, hops: readonly string[], flow: string, tos?: number): Uint8Array =>
  make.gue(SELF, hops[0]!, packet, {
    hops,
    index: 1,
    sourcePort: sourcePortOf(CONFIG, flow),
    ...(tos === undefined ? {} : { tos }),
  });

const ends = (f: Family, port: number): { from: make.End; to: make.End; flow: (protocol: string) => string } => {
  const bracket = (a: string): string => (a.includes(":") ? `[${a}]` : a);
  const to = (protocol: string): number => (protocol === "udp" ? 53 : 80);
  return {
    from: [f.client, port],
    to: [f.web, 80],
    flow: (protocol) => `${protocol} ${bracket(f.client)}:${port} > ${bracket(f.web)}:${to(protocol)}`,
  };
};

const nextHop = both((f) => {
  const { from, to, flow } = ends(f, 40_000);
  const hops = [PEER];
  const ack = make.tcp(from, to, make.filler(40), { flags: 0x10 });
  const marked = make.tcp(from, to, make.filler(10), { flags: 0x10, ip: { tos: 2 } });
  const datagram = make.udp(from, [f.web, 53], make.filler(12));
  const error = make.icmp(f.elsewhere, f.web, f === IPV4 ? 3 : 1, 0, [0, 0, 0, 0], make.tcp(to, from, make.filler(20)));
  const send = (packet: Uint8Array, expected: Uint8Array): Step => ({ in: packet, verdict: "next_hop", out: [expected] });
  return {
    name: "next-hop",
    role: "target",
    shows:
      "What no question claims for this host goes on: outer source is this host, destination the next hop, the index one higher, marks of the way kept.",
    steps: [
      send(make.gue(PEER, SELF, ack, { hops }), sentOn(ack, hops, flow("tcp"))),
      send(make.gue(PEER, SELF, marked, { hops, tos: 3 }), sentOn(marked, hops, flow("tcp"), 3)),
      send(make.gue(PEER, SELF, datagram, { hops }), sentOn(datagram, hops, flow("udp"))),
      send(make.gue(PEER, SELF, error, { hops }), sentOn(error, hops, flow("tcp"))),
      send(make.gue(PEER, SELF, ack, { hops: [PEER, SELF] }), sentOn(ack, [PEER, SELF], flow("tcp"))),
    ],
  };
});

const ownFlow = both((f) => {
  const { from, to } = ends(f, 40_010);
  const hops = [PEER];
  const syn = make.tcp(from, to, make.bytes(), { flags: 0x02 });
  const data = make.tcp(from, to, make.filler(30), { flags: 0x18 });
  const echo = make.echo(f.client, f.web, 9);
  const first = make.udp([f.client, 40_011], [f.web, 53], make.filler(5));
  const error = make.icmp(f.elsewhere, f.web, f === IPV4 ? 3 : 1, 0, [0, 0, 0, 0], make.tcp(to, from, make.filler(20)));
  return {
    name: "own-by-memory",
    role: "target",
    shows:
      "A SYN is this host's whatever hops are left, and so is its flow from then on, ICMP errors about it too; a UDP flow that came without hops is remembered; any host answers an echo request.",
    steps: [
      delivered(make.gue(PEER, SELF, syn, { hops }), syn),
      delivered(make.gue(PEER, SELF, data, { hops }), data),
      delivered(make.gue(PEER, SELF, error, { hops }), error),
      delivered(make.gue(PEER, SELF, first), first),
      delivered(make.gue(PEER, SELF, first, { hops: [PEER, SELF] }), first),
      delivered(make.gue(PEER, SELF, echo, { hops }), echo),
    ],
  };
});

const strangeHop = both((f) => ({
  name: "strange-hop",
  role: "target",
  shows: "A next hop that is no configured host: nobody may use this host as a relay.",
  steps: dropped(
    "not_a_peer",
    make.gue(PEER, SELF, inner(f), { hops: ["203.0.113.1"] }),
    make.gue(PEER, SELF, inner(f), { hops: ["2001:db8::99"] }),
  ),
}));

export const TARGET_CASES: readonly Fixture[] = [
  ...unwrapped,
  ...notAPeer,
  ...notForUs,
  ...gueMalformed,
  ...notAVip,
  ...innerMalformed,
  ...ecn,
  ...nextHop,
  ...ownFlow,
  ...strangeHop,
];
