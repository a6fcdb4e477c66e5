/** Fixtures of the director: packets from the router. The rows are those of packets.md. */
import { DROP_CASES } from "./drop-cases.ts";
import { both, CONFIG, type Family, type Fixture, IPV4, IPV6, type Step, sourcePortOf } from "./fixture.ts";
import * as make from "./packets.ts";

const DIP1 = "10.0.1.11";
const DIP2 = "10.0.1.12";
const SYN = 0x02;

const flowText = (protocol: string, from: make.End, to: make.End): string => {
  const end = ([address, port]: make.End): string => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
  return `${protocol} ${end(from)} > ${end(to)}`;
};

/** The packet as it leaves for s2. `flow` says whose source port it gets. */
const toS2 = (inner: Uint8Array, flow: string): Uint8Array =>
  make.gue(DIP1, DIP2, inner, { sourcePort: sourcePortOf(CONFIG, flow) });

function forwarded(protocol: "tcp" | "udp", from: make.End, to: make.End, packet: Uint8Array): Step {
  return { in: packet, verdict: "forwarded", out: [toS2(packet, flowText(protocol, from, to))] };
}

const dropped = (verdict: string, ...packets: readonly Uint8Array[]): Step[] => packets.map((p) => ({ in: p, verdict }));

const tcpFrom = (f: Family): make.End => [f.client, 40_000];

const steered = both((f) => {
  const from = tcpFrom(f);
  const syn = make.tcp(from, [f.web, 80], make.bytes(), { flags: SYN, ip: { df: true } });
  const data = make.tcp(from, [f.web, 80], make.filler(100), { ip: { tos: 0xb8 | 2, id: 7 } });
  const dns = make.udp(from, [f.web, 53], make.filler(31));
  const range = make.tcp(from, [f.web, 8100], make.filler(1));
  return {
    name: "steered",
    role: "director",
    shows:
      "TCP and UDP to a service leave in GUE for the host of its pool, plain header, DSCP and ECN copied outside, inner bytes as they came.",
    steps: [
      forwarded("tcp", from, [f.web, 80], syn),
      forwarded("tcp", from, [f.web, 80], data),
      forwarded("udp", from, [f.web, 53], dns),
      forwarded("tcp", from, [f.web, 8100], range),
    ],
  };
});

const local = both((f) => {
  const from = tcpFrom(f);
  const packets = [
    make.tcp(from, [f.home, 80], make.bytes(), { flags: SYN }),
    make.tcp(from, [f.home, 80], make.filler(50)),
    make.udp(from, [f.home, 53], make.filler(20)),
    make.echo(f.client, f.home, 77),
  ];
  return {
    name: "own-flow",
    role: "director",
    shows: "A director that is the first hop itself hands the packet to its kernel, unchanged.",
    steps: packets.map((packet) => ({ in: packet, verdict: "delivered", out: [packet] })),
  };
});

const outerSix = both((f) => {
  const from = tcpFrom(f);
  const packet = make.tcp(from, [f.six, 80], make.filler(10));
  const sourcePort = sourcePortOf(CONFIG, flowText("tcp", from, [f.six, 80]));
  return {
    name: "outer-ipv6",
    role: "director",
    shows: "A host that has an IPv6 DIP only gets its GUE over IPv6, whatever is inside.",
    steps: [{ in: packet, verdict: "forwarded", out: [make.gue("fd00:1::11", "fd00:1::13", packet, { sourcePort })] }],
  };
});

const notOurs = both((f) => ({
  name: "not-ours",
  role: "director",
  shows:
    "What is neither for a VIP nor an egress IP is the kernel's. On the uplink the socket filter keeps it out of user space.",
  steps: dropped(
    "not_ours",
    make.tcp(tcpFrom(f), [f.elsewhere, 80], make.bytes()),
    make.icmp(f.client, f.elsewhere, f === IPV4 ? 8 : 135, 0, [0, 0, 0, 0], make.filler(16)),
  ),
}));

const malformed: Fixture[] = [
  {
    name: "malformed-ipv4",
    role: "director",
    shows: "IPv4 whose version, header length or total length contradict each other or the frame, and TCP and UDP cut short.",
    steps: dropped(
      "malformed",
      patched(IPV4, (p) => (p[0] = 0x44)),
      patched(IPV4, (p) => (p[0] = 0x4f)),
      patched(IPV4, (p) => (p[0] = 0x55)),
      patched(IPV4, (p) => (p[3] = 19)),
      patched(IPV4, (p) => (p[3] = p[3]! + 1)),
      patched(IPV4, (p) => (p[32] = 0x40)),
      patched(IPV4, (p) => (p[32] = 0xf0)),
      make.ip(IPV4.client, IPV4.web, 6, make.filler(19)),
      make.ip(IPV4.client, IPV4.web, 17, make.filler(7)),
      make.ip(IPV4.client, IPV4.web, 17, make.bytes(1, 1, 0, 53, 0, 9, 0, 0)),
      make.ip(IPV4.client, IPV4.web, 17, make.bytes(1, 1, 0, 53, 0, 7, 0, 0)),
      make.bytes(0x45),
    ),
  },
  {
    name: "malformed-ipv6",
    role: "director",
    shows: "IPv6 whose version or payload length contradict the frame, and extension headers and TCP cut short.",
    steps: dropped(
      "malformed",
      patched(IPV6, (p) => (p[0] = 0x70)),
      patched(IPV6, (p) => (p[5] = p[5]! + 1)),
      make.ip(IPV6.client, IPV6.web, 6, make.filler(19)),
      make.ip(IPV6.client, IPV6.web, 60, make.bytes(6, 1, 0, 0, 0, 0, 0, 0)),
      make.ip(IPV6.client, IPV6.web, 0, make.bytes(6, 0, 0)),
    ),
  },
];

function patched(f: Family, change: (packet: Uint8Array) => unknown): Uint8Array {
  const packet = make.tcp(tcpFrom(f), [f.web, 80], make.filler(4));
  change(packet);
  return packet;
}

const ttlZero = both((f) => ({
  name: "ttl-zero",
  role: "director",
  shows: "TTL and hop limit are left as they are; a packet that has none left is dropped.",
  steps: [
    ...dropped("ttl_zero", make.tcp(tcpFrom(f), [f.web, 80], make.bytes(), { ip: { ttl: 0 } })),
    forwarded("tcp", tcpFrom(f), [f.web, 80], make.tcp(tcpFrom(f), [f.web, 80], make.bytes(), { ip: { ttl: 1 } })),
  ],
}));

const padding = both((f) => {
  const packet = make.tcp(tcpFrom(f), [f.web, 80], make.bytes());
  return {
    name: "padding",
    role: "director",
    link: "ethernet",
    shows: "Ethernet padding behind the IP total length is left off.",
    steps: [{ ...forwarded("tcp", tcpFrom(f), [f.web, 80], packet), in: make.ethernet(packet, [], 120) }],
  };
});

const vlan = both((f) => {
  const from = tcpFrom(f);
  const packet = make.tcp(from, [f.web, 80], make.filler(9));
  const through = (tags: readonly number[]): Step => ({
    ...forwarded("tcp", from, [f.web, 80], packet),
    in: make.ethernet(packet, tags),
  });
  return {
    name: "vlan",
    role: "director",
    link: "ethernet",
    shows: "One and two VLAN tags (802.1Q, QinQ) are looked through, three are not.",
    steps: [
      through([0x8100]),
      through([0x88a8, 0x8100]),
      { in: make.ethernet(packet, [0x8100, 0x8100, 0x8100]), verdict: "not_ours" },
    ],
  };
});

const ipOptions: Fixture = {
  name: "ipv4-options",
  role: "director",
  shows: "IPv4 options are carried along untouched.",
  steps: [make.bytes(1, 1, 1, 0), make.bytes(0x94, 4, 0, 0, ...new Array<number>(36).fill(1))].map((options) =>
    forwarded("tcp", tcpFrom(IPV4), [IPV4.web, 80], make.tcp(tcpFrom(IPV4), [IPV4.web, 80], make.filler(5), { ip: { options } })),
  ),
};

const noService = both((f) => ({
  name: "no-service",
  role: "director",
  shows: "A VIP's port or protocol that no service has is dropped.",
  steps: dropped(
    "no_service",
    make.tcp(tcpFrom(f), [f.web, 81], make.bytes()),
    make.tcp(tcpFrom(f), [f.web, 53], make.bytes()),
    make.udp(tcpFrom(f), [f.web, 80], make.bytes()),
    make.tcp(tcpFrom(f), [f.web, 8101], make.bytes()),
  ),
}));

const noHost = both((f) => ({
  name: "no-host",
  role: "director",
  shows: "A service whose pool is empty has nobody to send to.",
  steps: dropped("no_host", make.tcp(tcpFrom(f), [f.nobody, 9], make.bytes(), { flags: SYN })),
}));

const PAD = make.bytes(0, 1, 4, 0, 0, 0, 0);
const extensions: Fixture = {
  name: "ext-headers-ipv6",
  role: "director",
  shows: "Hop-by-hop, routing, destination and authentication headers are walked; more than 8, or 256 bytes, are not.",
  steps: [
    withExtensions("forwarded", [
      [0, PAD],
      [43, PAD],
      [60, PAD],
    ]),
    withExtensions("forwarded", [[51, make.bytes(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]]),
    withExtensions("forwarded", new Array<readonly [number, Uint8Array]>(8).fill([60, PAD])),
    withExtensions("ext_headers", new Array<readonly [number, Uint8Array]>(9).fill([60, PAD])),
    withExtensions("forwarded", [[60, make.concat(make.bytes(31), make.filler(254))]]),
    withExtensions("ext_headers", [[60, make.concat(make.bytes(32), make.filler(262))]]),
  ],
};

function withExtensions(verdict: string, extensions: readonly (readonly [number, Uint8Array])[]): Step {
  const packet = make.tcp(tcpFrom(IPV6), [IPV6.web, 80], make.filler(3), { ip: { extensions } });
  return verdict === "forwarded" ? forwarded("tcp", tcpFrom(IPV6), [IPV6.web, 80], packet) : { in: packet, verdict };
}

const unknownL4: Fixture[] = [
  ...both((f) => ({
    name: "unknown-l4",
    role: "director" as const,
    shows: "Protocols without ports that we know of: ESP, SCTP, no-next-header, ICMP of the other IP version.",
    steps: dropped("unknown_l4", ...[50, 132, 59, f === IPV4 ? 58 : 1].map((p) => make.ip(f.client, f.web, p, make.filler(32)))),
  })),
];

const echo = both((f) => {
  const request = make.echo(f.client, f.web, 4711);
  return {
    name: "echo",
    role: "director",
    shows: "Echo requests go by source, destination and identifier to an owner, whose kernel answers.",
    steps: [{ in: request, verdict: "forwarded", out: [toS2(request, flowText("icmp", [f.client, 4711], [f.web, 0]))] }],
  };
});

const icmpError = both((f) => {
  const from: make.End = [f.client, 40_001];
  const error = (original: Uint8Array, type: number): Uint8Array =>
    make.icmp(f.elsewhere, f.web, type, 0, [0, 0, 5, 20], original);
  const types = f === IPV4 ? [3, 11, 12] : [1, 2, 3, 4];
  const sent = make.tcp([f.web, 80], from, make.filler(200));
  const cut = sent.subarray(0, (f === IPV4 ? 20 : 40) + 8);
  const answered = make.udp([f.web, 53], from, make.filler(20));
  const reply = make.icmp(f.web, f.client, f === IPV4 ? 0 : 129, 0, [0, 99, 0, 1], make.filler(8));
  const routed = (packet: Uint8Array, flow: string): Step => ({ in: packet, verdict: "forwarded", out: [toS2(packet, flow)] });
  return {
    name: "icmp-error",
    role: "director",
    shows:
      "An ICMP error about one of our packets follows that packet's flow, addresses and ports swapped; 8 bytes of its transport header are enough.",
    steps: [
      ...types.map((type) => routed(error(sent, type), flowText("tcp", from, [f.web, 80]))),
      routed(error(cut, types[0]!), flowText("tcp", from, [f.web, 80])),
      routed(error(answered, types[0]!), flowText("udp", from, [f.web, 53])),
      routed(error(reply, types[0]!), flowText("icmp", [f.client, 99], [f.web, 0])),
    ],
  };
});

const icmpOther = both((f) => {
  const about = (packet: Uint8Array): Uint8Array => make.icmp(f.elsewhere, f.web, f === IPV4 ? 3 : 1, 0, [0, 0, 0, 0], packet);
  const foreign = make.tcp([f.elsewhere, 80], [f.client, 9], make.filler(20));
  const ours = make.tcp([f.web, 80], [f.client, 9], make.filler(20));
  return {
    name: "icmp-other",
    role: "director",
    shows: "Other ICMP is dropped: replies, redirects, errors about packets that are not ours or that are cut too short.",
    steps: dropped(
      "icmp_other",
      make.icmp(f.client, f.web, f === IPV4 ? 0 : 129, 0, [0, 1, 0, 1], make.filler(8)),
      make.icmp(f.client, f.web, f === IPV4 ? 5 : 137, 0, [0, 0, 0, 0], ours),
      about(foreign),
      about(ours.subarray(0, (f === IPV4 ? 20 : 40) + 7)),
      about(make.filler(4)),
    ),
  };
});

const loop = both((f) => {
  const [from, to] = f === IPV4 ? [DIP2, f.web] : ["fd00:1::12", f.web];
  const inner = make.tcp(tcpFrom(f), [f.web, 80], make.bytes());
  return {
    name: "loop",
    role: "director",
    shows: "GUE from a peer that arrives for a VIP is our own gone astray; the same from a stranger is UDP without a service.",
    steps: [...dropped("loop", make.gue(from, to, inner)), ...dropped("no_service", make.gue(f.client, to, inner))],
  };
});

export const DIRECTOR_CASES: readonly Fixture[] = [
  ...steered,
  ...local,
  ...outerSix,
  ...notOurs,
  ...malformed,
  ...ttlZero,
  ...padding,
  ...vlan,
  ipOptions,
  ...noService,
  ...noHost,
  extensions,
  ...unknownL4,
  ...echo,
  ...icmpError,
  ...icmpOther,
  ...loop,
  ...DROP_CASES,
] as const;
