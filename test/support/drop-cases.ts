/** Fixtures of drop rules: the row "matches a drop rule". */
import {
  GSO_TCPV4,
  GSO_TCPV6,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_NEEDS_CSUM,
} from "../../src/io/packet-io.ts";
import { both, CONFIG, type Fixture, IPV4, type Step, sourcePortOf } from "./fixture.ts";
import * as make from "./packets.ts";

const DIP1 = "10.0.1.11";
const DIP2 = "10.0.1.12";
const SYN = 0x02;

/** In pcap-filter's language `tcp[...]` is of IPv4 only: flags behind an IPv6 header are named by their place. */
const RULES = `drop:
  - { name: ntp, match: "udp and src port 123" }
  - { name: syn, match: "tcp[tcpflags] = tcp-syn or (ip6[6] = 6 and ip6[53] = 2)", limit: { pps: 2, per: /24 } }
  - { name: eight, match: "tcp dst port 8000" }
  - { name: broken, match: "ip[2:2] > 1000 or ip6[4:2] > 1000" }
`;

const text = ([address, port]: make.End): string => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);

function forwarded(protocol: "tcp" | "udp", from: make.End, to: make.End, packet: Uint8Array): Step {
  const sourcePort = sourcePortOf(CONFIG, `${protocol} ${text(from)} > ${text(to)}`);
  return { in: packet, verdict: "forwarded", out: [make.gue(DIP1, DIP2, packet, { sourcePort })] };
}

const dropped = (verdict: string, packet: Uint8Array): Step => ({ in: packet, verdict });

const rules = both((f): Fixture => {
  // The client, another of its /24 or /48, and one of the next.
  const [, near, far] =
    f === IPV4 ? [f.client, "198.51.100.200", "198.51.101.7"] : [f.client, "2001:db8:c:ff::9", "2001:db8:d::7"];
  const syn = (from: string, port: number): [make.End, make.End, Uint8Array] => {
    const ends: [make.End, make.End] = [
      [from, 40_100],
      [f.web, port],
    ];
    return [...ends, make.tcp(...ends, make.bytes(), { flags: SYN })];
  };
  const udp = (from: number, to: string): Uint8Array => make.udp([f.client, from], [to, 53], make.filler(48));
  const data = make.tcp([f.client, 40_100], [f.web, 8000], make.filler(10));
  // Says it is longer than it is: the rule in front of the parser takes it all the same.
  const broken = udp(5000, f.web).slice();
  new DataView(broken.buffer).setUint16(f === IPV4 ? 2 : 4, 1400);
  return {
    name: "drop-rules",
    role: "director",
    config: CONFIG + RULES,
    shows:
      "The first rule that matches decides, before anything is parsed; what is not for a VIP is not counted. A rule with a limit lets a second's worth pass for each /24 (IPv6: /48), also what a later rule would drop.",
    steps: [
      dropped("drop_rule", udp(123, f.web)),
      dropped("not_ours", udp(123, f.elsewhere)),
      forwarded("udp", [f.client, 124], [f.web, 53], udp(124, f.web)),
      forwarded("tcp", ...syn(f.client, 80)),
      forwarded("tcp", ...syn(near!, 8000)),
      dropped("rate_limited", syn(f.client, 80)[2]),
      forwarded("tcp", ...syn(far!, 80)),
      dropped("drop_rule", data),
      dropped("drop_rule", broken),
    ],
  };
});

const lengths = both((f): Fixture => {
  const SIZE = 1000;
  const l4 = f === IPV4 ? 20 : 40;
  const [from, to]: [make.End, make.End] = [
    [f.client, 40_200],
    [f.web, 80],
  ];
  const ip = (i: number): make.IpOptions => (f === IPV4 ? { id: 7 + i } : {});
  /** A super-segment with this payload, its checksum open, and the packets it stands for. */
  const train = (payload: Uint8Array) => {
    const count = Math.ceil(payload.length / SIZE);
    const packets = Array.from({ length: count }, (_, i) =>
      make.tcp(from, to, payload.subarray(i * SIZE, (i + 1) * SIZE), { sequence: 1000 + i * SIZE, ip: ip(i) }),
    );
    const type = f === IPV4 ? GSO_TCPV4 : GSO_TCPV6;
    const words = { [RX_FLAGS]: RX_NEEDS_CSUM, [RX_GSO_TYPE]: type, [RX_GSO_SIZE]: SIZE };
    const offloads = { ...words, [RX_CSUM_START]: l4, [RX_CSUM_OFFSET]: 16 };
    return { whole: make.tcp(from, to, payload, { ip: ip(0) }), packets, offloads };
  };
  const sourcePort = sourcePortOf(CONFIG, `tcp ${text(from)} > ${text(to)}`);
  const long = train(make.filler(4500));
  const one = make.tcp(from, to, make.filler(SIZE + 1));
  return {
    name: "drop-length",
    role: "director",
    config: `${CONFIG}drop:\n  - { name: long, match: "greater ${l4 + 20 + SIZE + 1}" }\n`,
    shows:
      "A drop rule on length means the packets of a super-segment, not the frame: one of packets that are short enough passes, however long it is; a single packet of a byte more is dropped.",
    steps: [
      {
        in: long.whole,
        offloads: long.offloads,
        verdict: long.packets.map(() => "forwarded"),
        out: long.packets.map((packet) => make.gue(DIP1, DIP2, packet, { sourcePort })),
      },
      dropped("drop_rule", one),
      { in: long.whole, offloads: { ...long.offloads, [RX_GSO_SIZE]: SIZE + 1 }, verdict: new Array(5).fill("drop_rule") },
    ],
  };
});

export const DROP_CASES: readonly Fixture[] = [...rules, ...lengths];
