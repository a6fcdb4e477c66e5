/** Super-segments against a naive segmentation: what leaves must be the packets the sender's kernel meant. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import {
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP,
  GSO_UDP_L4,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_CWR_FIRST,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_NEEDS_CSUM,
} from "../../src/io/packet-io.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { CONFIG, configOf, type Family, HOST, IPV4, IPV6 } from "../support/fixture.ts";
import * as make from "../support/packets.ts";
import { seededRandom } from "../support/random.ts";

const spec = configTables(configOf(CONFIG), HOST);
const FIN = 0x01;
const PSH = 0x08;
const ACK = 0x10;
const ECE = 0x40;
const CWR = 0x80;

interface Train {
  readonly family: Family;
  readonly protocol: "tcp" | "udp";
  readonly payload: Uint8Array;
  readonly segment: number;
  readonly flags: number;
  /** CWR is for the first packet alone; else each has it. */
  readonly cwrFirst: boolean;
  readonly options: Uint8Array;
  readonly sequence: number;
  readonly id: number;
  readonly vip: string;
}

const PORT = { tcp: 80, udp: 53 } as const;

/** The packets a train stands for. */
function naive(t: Train): Uint8Array[] {
  const from: make.End = [t.family.client, 40_000];
  const to: make.End = [t.vip, PORT[t.protocol]];
  const count = Math.ceil(t.payload.length / t.segment);
  return Array.from({ length: count }, (_, i) => {
    const payload = t.payload.subarray(i * t.segment, (i + 1) * t.segment);
    const ip = { id: t.family === IPV4 ? (t.id + i) & 0xffff : 0 };
    if (t.protocol === "udp") return make.udp(from, to, payload, ip);
    let flags = t.flags;
    if (i < count - 1) flags &= ~(FIN | PSH);
    if (i > 0 && t.cwrFirst) flags &= ~CWR;
    return make.tcp(from, to, payload, { flags, sequence: (t.sequence + i * t.segment) >>> 0, options: t.options, ip });
  });
}

/** The train as AF_PACKET gives it: one header, the whole payload, the checksum field with the pseudo-header's sum. */
function superFrame(t: Train): { frame: Uint8Array; offloads: Record<number, number>; headers: number } {
  const from: make.End = [t.family.client, 40_000];
  const to: make.End = [t.vip, PORT[t.protocol]];
  const ip = { id: t.family === IPV4 ? t.id : 0 };
  const frame =
    t.protocol === "udp"
      ? make.udp(from, to, t.payload, ip)
      : make.tcp(from, to, t.payload, { flags: t.flags, sequence: t.sequence, options: t.options, ip });
  const l4 = t.family === IPV4 ? 20 : 40;
  const field = t.protocol === "tcp" ? 16 : 6;
  const length = frame.length - l4;
  const addresses = make.concat(make.address(from[0]), make.address(to[0]));
  const pseudo = make.concat(addresses, make.bytes(0, t.protocol === "tcp" ? 6 : 17, length >> 8, length & 255));
  const sum = ~make.checksum(pseudo) & 0xffff;
  frame.set([sum >> 8, sum & 255], l4 + field);
  const type = t.protocol === "udp" ? GSO_UDP_L4 : t.family === IPV4 ? GSO_TCPV4 : GSO_TCPV6;
  const offloads = {
    [RX_FLAGS]: RX_NEEDS_CSUM | (t.cwrFirst ? RX_CWR_FIRST : 0),
    [RX_GSO_TYPE]: type,
    [RX_GSO_SIZE]: t.segment,
    [RX_CSUM_START]: l4,
    [RX_CSUM_OFFSET]: field,
  };
  return { frame, offloads, headers: frame.length - t.payload.length };
}

/** Inner packet of a GUE packet over IPv4 with the plain header. */
const innerOf = (packet: Uint8Array): Uint8Array => packet.subarray(20 + 8 + 4);

const hex = (packets: readonly Uint8Array[]): string[] => packets.map((p) => Buffer.from(p).toString("hex"));

const plain = (family: Family, protocol: "tcp" | "udp", length: number, segment: number): Train => ({
  family,
  protocol,
  payload: make.filler(length),
  segment,
  flags: ACK | PSH,
  cwrFirst: false,
  options: make.bytes(),
  sequence: 0xffff_f000,
  id: 0xfffe,
  vip: family.web,
});

function check(train: Train): void {
  const host = new OfflineHost(spec, "director");
  const { frame, offloads } = superFrame(train);
  const out = host.take(frame, offloads);
  const expected = naive(train);
  assert.deepEqual(hex(out.map(innerOf)), hex(expected));
  assert.deepEqual(host.verdicts(), { forwarded: expected.length });
}

for (const family of [IPV4, IPV6]) {
  for (const protocol of ["tcp", "udp"] as const) {
    test(`a full ${protocol} super-segment over ${family.name} leaves as packets`, () =>
      check(plain(family, protocol, 64_000, 1400)));
    test(`a ${protocol} payload of exactly one, two and two-and-a-bit segments over ${family.name}`, () => {
      for (const length of [1400, 2800, 2801]) check(plain(family, protocol, length, 1400));
    });
  }
}

test("random trains equal the naive segmentation", () => {
  const random = seededRandom(42);
  for (let round = 0; round < 150; round++) {
    const segment = 1 + random(1460);
    check({
      ...plain(
        random(2) === 0 ? IPV4 : IPV6,
        random(2) === 0 ? "tcp" : "udp",
        1 + random(Math.min(60_000, segment * 120)),
        segment,
      ),
      flags: ACK | (random(2) * FIN) | (random(2) * PSH) | (random(2) * CWR) | (random(2) * ECE),
      cwrFirst: random(2) === 0,
      options: make.filler(4 * random(11)),
      sequence: random(2 ** 32),
      id: random(65_536),
    });
  }
});

test("all packets of an AccECN sender keep its ACE field (RFC 9768); RFC 3168's CWR stays with the first", () => {
  for (const family of [IPV4, IPV6]) {
    for (let ace = 0; ace < 8; ace++) {
      for (const cwrFirst of [false, true]) {
        const train = { ...plain(family, "tcp", 3000, 1000), cwrFirst, flags: ACK | ((ace & 3) << 6) };
        const { frame, offloads } = superFrame(train);
        const l4 = family === IPV4 ? 20 : 40;
        frame[l4 + 12]! |= ace >> 2; // AE
        const out = new OfflineHost(spec, "director").take(frame, offloads).map(innerOf);
        const aces = out.map((p) => ((p[l4 + 12]! & 1) << 2) | (p[l4 + 13]! >> 6));
        assert.deepEqual(aces, cwrFirst ? [ace, ace & 5, ace & 5] : [ace, ace, ace]);
      }
    }
  }
});

test("an open checksum of a single packet is finished", () => {
  for (const family of [IPV4, IPV6]) {
    const train = plain(family, "tcp", 333, 1400);
    const { frame, offloads } = superFrame(train);
    const out = new OfflineHost(spec, "director").take(frame, { ...offloads, [RX_GSO_TYPE]: 0, [RX_GSO_SIZE]: 0 });
    assert.deepEqual(hex(out.map(innerOf)), hex(naive(train)));
  }
});

test("for this host itself a super-segment stays whole", () => {
  const train = { ...plain(IPV4, "tcp", 64_000, 1400), vip: IPV4.home };
  const { frame, offloads } = superFrame(train);
  const host = new OfflineHost(spec, "director");
  assert.deepEqual(hex(host.take(frame, offloads)), hex([frame]));
  assert.deepEqual(host.verdicts(), { delivered: 46 });
});

test("what the virtio header says must fit the packet", () => {
  const { frame, offloads } = superFrame(plain(IPV4, "tcp", 3000, 1000));
  const cases: [string, Record<number, number>][] = [
    ["gso_unknown", { [RX_GSO_TYPE]: GSO_UDP }],
    ["gso_unknown", { [RX_GSO_TYPE]: GSO_TCPV6 }],
    ["gso_unknown", { [RX_GSO_TYPE]: GSO_UDP_L4 }],
    ["gso_unknown", { [RX_GSO_SIZE]: 0 }],
    ["malformed", { [RX_CSUM_START]: frame.length }],
    ["malformed", { [RX_CSUM_START]: 19 }],
    ["malformed", { [RX_CSUM_OFFSET]: -30 }],
    ["malformed", { [RX_CSUM_OFFSET]: frame.length - 21 }],
  ];
  for (const [verdict, change] of cases) {
    const host = new OfflineHost(spec, "director");
    assert.deepEqual(host.take(frame, { ...offloads, ...change }), [], verdict);
    assert.deepEqual(host.verdicts(), { [verdict]: 1 });
  }
});

test("the segment is judged against the path, not the buffer", () => {
  const fits = 32 + 1040; // outer headers and the largest inner packet
  for (const [mtu, verdict] of [
    [fits, "forwarded"],
    [fits - 1, "too_big"],
  ] as const) {
    const host = new OfflineHost(configTables(configOf(CONFIG), HOST, mtu), "director");
    const { frame, offloads } = superFrame(plain(IPV4, "tcp", 3000, 1000));
    frame[6] = 0x40; // DF
    host.take(frame, offloads);
    assert.deepEqual(host.verdicts(), { [verdict]: 3 });
  }
});
