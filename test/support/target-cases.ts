/** Fixtures of the target: packets that come in GUE. The rows are those of packets.md. */
import { both, type Family, type Fixture, IPV4, IPV6, type Step } from "./fixture.ts";
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

const hopsLeft = both((f) => ({
  name: "hops-left",
  role: "target",
  shows: "GUE with hops left.",
  steps: dropped("hops_unknown", make.gue(PEER, SELF, inner(f), { hops: [PEER] })),
}));

export const TARGET_CASES: readonly Fixture[] = [
  ...unwrapped,
  ...notAPeer,
  ...notForUs,
  ...gueMalformed,
  ...notAVip,
  ...innerMalformed,
  ...ecn,
  ...hopsLeft,
];
