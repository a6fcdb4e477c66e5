/** What leaves in fragments is, put together again, what came in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import {
  GSO_TCPV4,
  GSO_UDP_L4,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_NEEDS_CSUM,
} from "../../src/io/packet-io.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { CONFIG, configOf, HOST, IPV4 } from "../support/fixture.ts";
import * as make from "../support/packets.ts";
import { seededRandom } from "../support/random.ts";
import { fragmentOffset, reassemble } from "../support/reassemble.ts";

const FROM: make.End = [IPV4.client, 40_000];
const OUTER = 32;
const NOTHING = make.bytes();

const hex = (packet: Uint8Array): string => Buffer.from(packet).toString("hex");
const hostWith = (mtu: number): OfflineHost => new OfflineHost(configTables(configOf(CONFIG), HOST, mtu), "director");

/** Inner packets of what leaves, put together where they are fragments of one. */
function whole(out: readonly Uint8Array[]): Uint8Array[] {
  const groups: Uint8Array[][] = [];
  for (const packet of out.map((p) => p.subarray(OUTER))) {
    if (fragmentOffset(packet) === 0) groups.push([packet]);
    else groups.at(-1)!.push(packet);
  }
  return groups.map(reassemble);
}

const OPTIONS = [NOTHING, make.bytes(1, 1, 1, 0), make.bytes(7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0), make.bytes(0x94, 200, 0, 0)];

test("packets of any size, options and path, put together again", () => {
  const random = seededRandom(7);
  for (let i = 0; i < 400; i++) {
    const mtu = OUTER + 68 + random(1400);
    const host = hostWith(mtu);
    const options = OPTIONS[random(OPTIONS.length)]!;
    const payload = make.filler(random(3000), i);
    const ip = { id: random(65536), options, tos: random(256) };
    const packet =
      random(2) === 0 ? make.tcp(FROM, [IPV4.web, 80], payload, { ip }) : make.udp(FROM, [IPV4.web, 53], payload, ip);
    const out = host.take(packet);
    assert.deepEqual(host.verdicts(), { forwarded: 1 });
    for (const p of out) assert.ok(p.length <= mtu, `${p.length} bytes on a path of ${mtu}`);
    assert.ok(out.length === 1 || out.every((p, n) => n === out.length - 1 || p.length > mtu - 8), "as few as can be");
    assert.deepEqual(whole(out).map(hex), [hex(packet)]);
    const copied = out.slice(1).map((p) => (p[OUTER]! & 15) * 4 - 20);
    assert.ok(
      copied.every((n) => n === (options === OPTIONS[2] ? 4 : 0)),
      "copied options only",
    );
  }
});

test("an open checksum is finished before the packet is cut", () => {
  const payload = make.filler(2001);
  const packet = make.tcp(FROM, [IPV4.web, 80], payload, { ip: { id: 5 } });
  const open = packet.slice();
  const pseudo = make.concat(make.address(FROM[0]), make.address(IPV4.web), make.bytes(0, 6, 2021 >> 8, 2021 & 255));
  const sum = ~make.checksum(pseudo) & 0xffff;
  open.set([sum >> 8, sum & 255], 36);
  const out = hostWith(700).take(open, { [RX_FLAGS]: RX_NEEDS_CSUM, [RX_CSUM_START]: 20, [RX_CSUM_OFFSET]: 16 });
  assert.ok(out.length > 3);
  assert.deepEqual(whole(out).map(hex), [hex(packet)]);
});

test("of a super-segment every packet is fragmented by itself", () => {
  for (const protocol of ["tcp", "udp"] as const) {
    const tcp = protocol === "tcp";
    const payload = make.filler(2500);
    const build = (part: Uint8Array, i: number): Uint8Array =>
      tcp
        ? make.tcp(FROM, [IPV4.web, 80], part, { sequence: 1000 + i * 1000, ip: { id: 9 + i } })
        : make.udp(FROM, [IPV4.web, 53], part, { id: 9 + i });
    const offloads = { [RX_GSO_TYPE]: tcp ? GSO_TCPV4 : GSO_UDP_L4, [RX_GSO_SIZE]: 1000 };
    const host = hostWith(600);
    const out = host.take(build(payload, 0), offloads);
    const expected = [0, 1, 2].map((i) => build(payload.subarray(i * 1000, (i + 1) * 1000), i));
    // Without an open checksum the sum of the parts is made from the pseudo-header all the same.
    assert.deepEqual(whole(out).map(hex), expected.map(hex), protocol);
    assert.deepEqual(host.verdicts(), { forwarded: 3 });
  }
});

test("a path too narrow for 8 bytes of payload takes nothing", () => {
  const host = hostWith(OUTER + 27);
  assert.deepEqual(host.take(make.udp(FROM, [IPV4.web, 53], make.filler(100))), []);
  assert.deepEqual(host.verdicts(), { too_big: 1 });
});

test("what the source of a super-segment is told quotes one segment", () => {
  const packet = make.tcp(FROM, [IPV4.web, 80], make.filler(3000), { ip: { df: true, id: 3 } });
  const host = hostWith(1000);
  const [message, ...rest] = host.take(packet, { [RX_GSO_TYPE]: GSO_TCPV4, [RX_GSO_SIZE]: 1000 });
  const segment = make.tcp(FROM, [IPV4.web, 80], make.filler(1000), { ip: { df: true, id: 3 } });
  segment.set(packet.subarray(36, 38), 36); // the TCP checksum stays what it was
  const quoted = segment.subarray(0, 576 - 28);
  assert.deepEqual(rest, []);
  assert.equal(
    hex(message!),
    hex(
      make.icmp(IPV4.web, IPV4.client, 3, 4, [0, 0, (1000 - OUTER) >> 8, (1000 - OUTER) & 255], quoted, { tos: 0xc0, df: true }),
    ),
  );
});
