/** Fixtures of fragments, both roles. */
import { both, CONFIG, type Family, type Fixture, IPV4, IPV6, type Step, sourcePortOf } from "./fixture.ts";
import * as make from "./packets.ts";

const DIP1 = "10.0.1.11";
const DIP2 = "10.0.1.12";
const PORT = 40_002;

const bracket = (a: string): string => (a.includes(":") ? `[${a}]` : a);
const flowOf = (f: Family, protocol: string, port: number, to: string, toPort: number): string =>
  `${protocol} ${bracket(f.client)}:${port} > ${bracket(to)}:${toPort}`;

/** A UDP datagram for `to` in three fragments: 32, 64 and 40 bytes of it. */
function pieces(f: Family, to: string, id: number, port = PORT): [Uint8Array, Uint8Array, Uint8Array] {
  const whole = make.udpDatagram([f.client, port], [to, 53], make.filler(128, id));
  return [piece(f, to, id, whole, 0, 32), piece(f, to, id, whole, 32, 64), piece(f, to, id, whole, 96, 40)];
}

const piece = (f: Family, to: string, id: number, whole: Uint8Array, at: number, size: number): Uint8Array =>
  make.ip(f.client, to, 17, whole.subarray(at, at + size), { id, offset: at, more: at + size < whole.length });

const toS2 = (f: Family, inner: Uint8Array, port = PORT): Uint8Array =>
  make.gue(DIP1, DIP2, inner, { sourcePort: sourcePortOf(CONFIG, flowOf(f, "udp", port, f.web, 53)) });

const forwarded = (f: Family, packet: Uint8Array): Step => ({ in: packet, verdict: "forwarded", out: [toS2(f, packet)] });
const delivered = (packet: Uint8Array): Step => ({ in: packet, verdict: "delivered", out: [packet] });
const dropped = (verdict: string, packet: Uint8Array): Step => ({ in: packet, verdict });
const held = (packet: Uint8Array, after = 1): Step => ({ in: packet, verdict: [], after });

const followed = both((f) => ({
  name: "fragments",
  role: "director",
  shows:
    "A first fragment goes by its ports, later ones follow it, by the same source port and in any order; so they do when they come again. Those of a service without a host share its verdict.",
  steps: [
    ...pieces(f, f.web, 9).map((p) => forwarded(f, p)),
    forwarded(f, pieces(f, f.web, 9)[1]),
    ...[0, 2, 1].map((i) => forwarded(f, pieces(f, f.web, 10)[i]!)),
    ...pieces(f, f.home, 11).map(delivered),
    ...pieces(f, f.nobody, 12).map((p) => dropped("no_service", p)),
  ],
}));

const early = both((f) => {
  const [a, b, c] = pieces(f, f.web, 20);
  const [own, , last] = pieces(f, f.home, 20);
  return {
    name: "fragments-early",
    role: "director",
    shows: "Later fragments that come before their first are held up to 50 ms, and leave right behind it; two datagrams at once.",
    steps: [
      held(c),
      held(last),
      held(b, 20),
      { in: a, verdict: ["forwarded", "forwarded", "forwarded"], out: [a, c, b].map((p) => toS2(f, p)), after: 20 },
      { in: own, verdict: ["delivered", "delivered"], out: [own, last] },
    ],
  };
});

const orphan = both((f) => {
  const [a, b, c] = pieces(f, f.web, 30);
  const other = make.udp([f.client, PORT], [f.web, 53], make.bytes());
  return {
    name: "fragments-orphan",
    role: "director",
    shows:
      "After 50 ms a later fragment is an orphan; after 5 s a first fragment is forgotten. More than 32 are not held at a time.",
    steps: [
      held(b),
      { in: other, verdict: ["forwarded"], out: [toS2(f, other)], after: 49 },
      { in: other, verdict: ["fragment_orphan", "forwarded"], out: [toS2(f, other)], after: 1 },
      forwarded(f, a),
      { ...forwarded(f, b), after: 5000 },
      held(c, 1),
      ...Array.from({ length: 31 }, (_, i) => held(pieces(f, f.web, 100 + i)[1])),
      dropped("fragment_orphan", pieces(f, f.web, 200)[2]),
      { in: other, verdict: [...new Array<string>(32).fill("fragment_orphan"), "forwarded"], out: [toS2(f, other)], after: 60 },
    ],
  };
});

const bad = both((f) => {
  const tiny = (protocol: number, bytes: number, id: number): Uint8Array =>
    make.ip(f.client, f.web, protocol, make.filler(bytes), { id, offset: 0, more: true });
  const rest = make.ip(f.client, f.web, 6, make.filler(80), { id: 40, offset: 8, more: false });
  const whole = make.udpDatagram([f.client, PORT], [f.web, 53], make.filler(128, 1));
  const [first, overlapping, clear] = [
    [0, 32],
    [24, 40],
    [64, 72],
  ].map(([at, size]) => piece(f, f.web, 42, whole, at!, size!));
  return {
    name: "fragments-bad",
    role: "director",
    shows:
      "A first fragment without all of its ports and flags is bad, and so are those that follow it (RFC 1858). What overlaps a first fragment is bad; of an IPv6 datagram nothing more passes then (RFC 5722).",
    steps: [
      ...[tiny(6, 8, 40), rest, tiny(17, 4, 41), tiny(6, 13, 43)].map((p) => dropped("fragment_bad", p)),
      forwarded(f, first!),
      dropped("fragment_bad", overlapping!),
      f === IPV4 ? forwarded(f, clear!) : dropped("fragment_bad", clear!),
      ...(f === IPV4 ? [] : [dropped("fragment_bad", first!)]),
    ],
  };
});

const firstTwice: Fixture = {
  name: "fragments-first-twice-ipv6",
  role: "director",
  shows: "A first fragment that comes again, the same, goes the same way; another first of the same datagram overlaps it.",
  steps: (() => {
    const whole = make.udpDatagram([IPV6.client, PORT], [IPV6.web, 53], make.filler(128, 1));
    const [first, longer] = [32, 40].map((size) => piece(IPV6, IPV6.web, 50, whole, 0, size));
    return [forwarded(IPV6, first!), forwarded(IPV6, first!), dropped("fragment_bad", longer!)];
  })(),
};

const atTarget = both((f) => {
  const hops = [DIP2];
  const wrap = (p: Uint8Array, with_: readonly string[] = hops): Uint8Array => make.gue(DIP2, DIP1, p, { hops: with_ });
  const on = (p: Uint8Array, port = PORT): Uint8Array =>
    make.gue(DIP1, DIP2, p, { hops, index: 1, sourcePort: sourcePortOf(CONFIG, flowOf(f, "udp", port, f.web, 53)) });
  const next = (p: Uint8Array): Step => ({ in: wrap(p), verdict: "next_hop", out: [on(p)] });
  const [a, b, c] = pieces(f, f.web, 60);
  const [d, e] = pieces(f, f.web, 61);
  const syn = make.tcpSegment([f.client, 40_003], [f.web, 80], make.filler(56), { flags: 0x02 });
  const [s1, s2] = [
    [0, 32],
    [32, 44],
  ].map(([at, size]) => make.ip(f.client, f.web, 6, syn.subarray(at!, at! + size!), { id: 62, offset: at!, more: at === 0 }));
  return {
    name: "fragments-target",
    role: "target",
    shows:
      "In GUE with further hops a first fragment is judged as any packet, and those that follow go where it went; early ones are held. Without hops all are delivered.",
    steps: [
      next(a),
      next(b),
      next(c),
      { in: wrap(e), verdict: [] },
      { in: wrap(d), verdict: ["next_hop", "next_hop"], out: [on(d), on(e)] },
      { in: wrap(s1!), verdict: "delivered", out: [s1!] },
      { in: wrap(s2!), verdict: "delivered", out: [s2!] },
      { in: wrap(pieces(f, f.web, 63)[1], []), verdict: "delivered", out: [pieces(f, f.web, 63)[1]] },
    ],
  };
});

export const FRAGMENT_CASES: readonly Fixture[] = [...followed, ...early, ...orphan, ...bad, firstTwice, ...atTarget];
