/** Super-segments above 64 KB (BIG TCP) against a naive segmentation, and what is none of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import {
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_NEEDS_CSUM,
  RX_TRUNCATED,
} from "../../src/io/packet-io.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { bigFrame } from "../support/big-frame.ts";
import { CONFIG, configOf, type Family, HOST, IPV4, IPV6 } from "../support/fixture.ts";
import * as make from "../support/packets.ts";

const spec = configTables(configOf(CONFIG), HOST);
const FIN = 0x01;
const PSH = 0x08;
const ACK = 0x10;
const SEQUENCE = 0xffff_8000;
const TIMESTAMPS = make.bytes(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 9);

const hex = (packets: readonly Uint8Array[]): string[] => packets.map((p) => Buffer.from(p).toString("hex"));
const innerOf = (packet: Uint8Array): Uint8Array => packet.subarray(20 + 8 + 4);
const be16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;

/** Packets of `size` bytes of payload each, as a sender's kernel or network card makes them of a super-segment. */
function packets(f: Family, vip: string, payload: Uint8Array, size: number): Uint8Array[] {
  const count = Math.ceil(payload.length / size);
  return Array.from({ length: count }, (_, i) => {
    const flags = ACK | (i === count - 1 ? FIN | PSH : 0);
    const ip = { id: f === IPV4 ? (0xffc0 + i) & 0xffff : 0 };
    const sequence = (SEQUENCE + i * size) >>> 0;
    return make.tcp([f.client, 40_000], [vip, 80], payload.subarray(i * size, (i + 1) * size), {
      flags,
      sequence,
      options: TIMESTAMPS,
      ip,
    });
  });
}

/** The same as one frame. */
function frameOf(f: Family, vip: string, payload: Uint8Array, size: number, jumbo = false) {
  const ip = { id: f === IPV4 ? 0xffc0 : 0 };
  const tcp = { flags: ACK | FIN | PSH, sequence: SEQUENCE, options: TIMESTAMPS, ip };
  return bigFrame(make.tcp([f.client, 40_000], [vip, 80], make.bytes(), tcp), payload, size, jumbo);
}

const KINDS = [
  [IPV4, false, "IPv4"],
  [IPV6, false, "IPv6"],
  [IPV6, true, "IPv6 with the jumbo payload header"],
] as const;

for (const [f, jumbo, name] of KINDS) {
  test(`${name}: a frame above 64 KB leaves as packets`, () => {
    for (const [length, size] of [
      [65_536, 1448],
      [185_000, 1448],
      [185_000, 60_000],
      [524_000, 120],
    ] as const) {
      const payload = make.filler(length);
      const host = new OfflineHost(spec, "director");
      const { frame, offloads } = frameOf(f, f.web, payload, size, jumbo);
      const expected = packets(f, f.web, payload, size);
      assert.deepEqual(hex(host.take(frame, offloads).map(innerOf)), hex(expected), `${length} bytes`);
      assert.deepEqual(host.verdicts(), { forwarded: expected.length });
    }
  });

  test(`${name}: delivered here it goes to the kernel in super-segments that this takes`, () => {
    const [payload, size] = [make.filler(185_000), 1448];
    const host = new OfflineHost(spec, "director");
    const { frame, offloads } = frameOf(f, f.home, payload, size, jumbo);
    const out = host.take(frame, offloads);
    assert.deepEqual(host.verdicts(), { delivered: Math.ceil(payload.length / size) });
    assert.equal(out.length, 3);
    const l4 = f === IPV4 ? 20 : 40;
    const headers = l4 + 32;
    let at = 0;
    for (const [i, part] of out.entries()) {
      assert.equal(f === IPV4 ? be16(part, 2) : 40 + be16(part, 4), part.length);
      if (f === IPV4) {
        assert.equal(make.checksum(part.subarray(0, 20)), 0);
        assert.equal(be16(part, 4), (0xffc0 + at / size) & 0xffff);
      }
      assert.equal(new DataView(part.buffer).getUint32(l4 + 4), (SEQUENCE + at) >>> 0);
      assert.equal(part[l4 + 13], i === 2 ? ACK | FIN | PSH : ACK);
      if (i < 2) assert.equal((part.length - headers) % size, 0);
      assert.deepEqual(part.subarray(headers), payload.subarray(at, at + part.length - headers));
      at += part.length - headers;
    }
    assert.equal(at, payload.length);
  });
}

test("a frame above 64 KB that is none of BIG TCP, or was cut, is dropped and counted", () => {
  const payload = make.filler(70_000);
  for (const [f, jumbo] of KINDS) {
    const { frame, offloads } = frameOf(f, f.web, payload, 1448, jumbo);
    const l4 = f === IPV4 ? 20 : 40;
    const changed = (at: number, ...values: number[]): Uint8Array => {
      const copy = frame.slice();
      copy.set(values, at);
      return copy;
    };
    const cases: [string, Uint8Array, Record<number, number>][] = [
      ["malformed", frame, { [RX_GSO_TYPE]: GSO_NONE }],
      ["malformed", frame, { [RX_GSO_TYPE]: GSO_UDP_L4 }],
      ["malformed", frame, { [RX_GSO_TYPE]: f === IPV4 ? GSO_TCPV6 : GSO_TCPV4 }],
      ["malformed", frame, { [RX_FLAGS]: RX_NEEDS_CSUM | RX_TRUNCATED }],
      ["malformed", frame, { [RX_GSO_SIZE]: 0xffff_ffff >>> 1 }],
      ["malformed", frame.subarray(0, 60_000), {}],
    ];
    if (f === IPV4) cases.push(["malformed", changed(6, 0x00, 0x10), {}], ["gso_unknown", changed(6, 0x20, 0), {}]);
    if (f === IPV4) cases.push(["gso_unknown", changed(9, 17, 0, 0), {}]);
    if (jumbo) cases.push(["ext_headers", changed(l4 + 1, 200), {}]);
    for (const [verdict, bytes, change] of cases) {
      const host = new OfflineHost(spec, "director");
      assert.deepEqual(host.take(bytes, { ...offloads, ...change }), []);
      assert.deepEqual(Object.keys(host.verdicts()), [verdict], JSON.stringify([f.name, jumbo, change]));
    }
  }
});

test("an open checksum of a frame with the jumbo payload header is found where it then is", () => {
  const { frame, offloads } = frameOf(IPV6, IPV6.web, make.filler(70_000), 1448, true);
  assert.deepEqual([offloads[RX_CSUM_START], offloads[RX_CSUM_OFFSET]], [48, 16]);
  const late = new OfflineHost(spec, "director");
  late.take(frame, { ...offloads, [RX_CSUM_START]: 47 });
  assert.deepEqual(late.verdicts(), { malformed: 1 });
});
