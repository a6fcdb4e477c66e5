/** Fixtures of both roles for packets to a shared egress IP. s1 owns slices 1 and 4 of it, s2 slice 2; nobody slice 3. */
import { both, CONFIG, type Family, type Fixture, IPV4, type Step, sourcePortOf } from "./fixture.ts";
import * as make from "./packets.ts";

const EGRESS_CONFIG = `${CONFIG}egress:
  - { ip: 198.51.100.99, sliceSize: 2048, owners: { s1: [1, 4], s2: [2] } }
  - { ip: "2001:db8:e::99", sliceSize: 2048, owners: { s1: [1, 4], s2: [2] } }
`;

/** First and last port of s1's slice 1 and s2's slice 2. */
const [OWN, OWN_LAST, OTHER, OTHER_LAST] = [2048, 4095, 4096, 6143];
const SERVER = 443;

const ipOf = (f: Family): string => (f === IPV4 ? "198.51.100.99" : "2001:db8:e::99");
const [DIP1, DIP2] = ["10.0.1.11", "10.0.1.12"];

const flowText = (protocol: string, f: Family, port: number): string => {
  const end = (address: string, n: number): string => (f === IPV4 ? `${address}:${n}` : `[${address}]:${n}`);
  return `${protocol} ${end(f.client, SERVER)} > ${end(ipOf(f), port)}`;
};

/** The packet goes to s2 in GUE; its outer source port is that of the flow, also for an error about it. */
const toS2 = (protocol: string, f: Family, port: number, packet: Uint8Array): Step => ({
  in: packet,
  verdict: "forwarded",
  out: [make.gue(DIP1, DIP2, packet, { sourcePort: sourcePortOf(EGRESS_CONFIG, flowText(protocol, f, port)) })],
});
const delivered = (packet: Uint8Array, expected = packet): Step => ({ in: packet, verdict: "delivered", out: [expected] });
const dropped = (verdict: string, ...packets: readonly Uint8Array[]): Step[] => packets.map((p) => ({ in: p, verdict }));

const tcp = (f: Family, port: number, flags?: number): Uint8Array =>
  make.tcp([f.client, SERVER], [ipOf(f), port], make.filler(60), flags === undefined ? {} : { flags });
const udp = (f: Family, port: number): Uint8Array => make.udp([f.client, SERVER], [ipOf(f), port], make.filler(33));

/** A datagram in two fragments: the first has the ports, the second goes where the first went. */
function fragments(f: Family, port: number): [Uint8Array, Uint8Array] {
  const whole = make.udpDatagram([f.client, SERVER], [ipOf(f), port], make.filler(1_500));
  return [
    make.ip(f.client, ipOf(f), 17, whole.subarray(0, 800), { more: true, id: port }),
    make.ip(f.client, ipOf(f), 17, whole.subarray(800), { offset: 800, id: port }),
  ];
}

/** A router's error about a packet that we sent: destination unreachable, with the first 8 bytes of its transport header. */
function unreachable(f: Family, sent: Uint8Array, to = ipOf(f)): Uint8Array {
  const inside = sent.subarray(0, (f === IPV4 ? 20 : 40) + 8);
  return make.icmp(f.elsewhere, to, f === IPV4 ? 3 : 1, 1, [0, 0, 0, 0], inside);
}
const sentTcp = (f: Family, from: string, port: number): Uint8Array => make.tcp([from, port], [f.client, SERVER], make.filler(5));
const sentUdp = (f: Family, from: string, port: number): Uint8Array => make.udp([from, port], [f.client, SERVER], make.filler(5));

const SYN_ACK = 0x12;
const RST = 0x04;

const slices = both((f) => ({
  name: "egress-slices",
  role: "director",
  config: EGRESS_CONFIG,
  shows:
    "Packets to an egress IP go to the owner of the slice their port is in, whatever their flags: the first and the last port of a slice, TCP and UDP, fragments; our own slice is delivered.",
  steps: [
    toS2("tcp", f, OTHER, tcp(f, OTHER, SYN_ACK)),
    toS2("tcp", f, OTHER_LAST, tcp(f, OTHER_LAST)),
    toS2("tcp", f, OTHER_LAST, tcp(f, OTHER_LAST, RST)),
    toS2("udp", f, OTHER, udp(f, OTHER)),
    toS2("udp", f, OTHER_LAST, udp(f, OTHER_LAST)),
    ...fragments(f, OTHER).map((packet) => toS2("udp", f, OTHER, packet)),
    ...fragments(f, OWN).map((packet) => delivered(packet)),
    delivered(tcp(f, OWN, SYN_ACK)),
    delivered(tcp(f, OWN_LAST)),
    delivered(udp(f, 4 * 2048)),
  ],
}));

const nobodys = both((f) => ({
  name: "egress-no-slice",
  role: "director",
  config: EGRESS_CONFIG,
  shows: "Ports of an egress IP that nobody owns, among them all below 1024, and what has no ports.",
  steps: dropped(
    "no_slice",
    tcp(f, 6144),
    udp(f, 3 * 2048 + 2047),
    tcp(f, 80),
    udp(f, 1023),
    tcp(f, 1024),
    udp(f, 2047),
    tcp(f, 65_535),
    make.echo(f.client, ipOf(f), 2048),
  ),
}));

const errors = both((f) => {
  const ip = ipOf(f);
  const own = unreachable(f, sentTcp(f, ip, OWN));
  return {
    name: "egress-icmp-error",
    role: "director",
    config: EGRESS_CONFIG,
    shows:
      "An ICMP error about a packet that left from an egress IP goes to the owner of its source port; an error that is about another address than it is sent to is nobody's.",
    steps: [
      toS2("tcp", f, OTHER, unreachable(f, sentTcp(f, ip, OTHER))),
      toS2("udp", f, OTHER_LAST, unreachable(f, sentUdp(f, ip, OTHER_LAST))),
      delivered(own),
      ...dropped("no_slice", unreachable(f, sentTcp(f, ip, 6144)), unreachable(f, sentUdp(f, ip, 53))),
      ...dropped(
        "icmp_other",
        unreachable(f, sentTcp(f, f.web, 80)),
        unreachable(f, sentTcp(f, ip, OTHER), f.web),
        unreachable(f, sentTcp(f, f.elsewhere, OTHER)),
      ),
    ],
  };
});

const target = both((f) => {
  const packets = [
    tcp(f, OWN),
    tcp(f, OWN_LAST, SYN_ACK),
    tcp(f, OWN, RST),
    udp(f, OWN),
    unreachable(f, sentTcp(f, ipOf(f), OWN)),
  ];
  return {
    name: "egress-target",
    role: "target",
    config: EGRESS_CONFIG,
    shows: "A packet to an egress IP that comes in GUE is delivered, whatever it is, also where hops are left.",
    steps: [
      ...packets.map((packet) => delivered(make.gue(DIP2, DIP1, packet), packet)),
      delivered(make.gue(DIP2, DIP1, packets[0]!, { hops: [DIP2] }), packets[0]!),
    ],
  };
});

export const EGRESS_CASES: readonly Fixture[] = [...slices, ...nobodys, ...errors, ...target];
