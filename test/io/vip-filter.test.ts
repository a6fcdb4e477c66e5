import assert from "node:assert/strict";
import { test } from "node:test";
import { LINK_ETHERNET, LINK_RAW } from "../../src/io/packet-io.ts";
import { MAX_INSTRUCTIONS, vipFilter } from "../../src/io/vip-filter.ts";
import { type Address, contains, type Prefix, parseAddress, parsePrefix, writeAddress } from "../../src/wire/address.ts";
import { runBpf } from "../support/bpf.ts";

const HOST = { packetType: 0 };

/** A frame to `to`, with VLAN tags of these EtherTypes; only what a filter looks at is filled in. */
function frame(to: string, tags: number[] = [], link = LINK_ETHERNET): Uint8Array {
  const address = parseAddress(to)!;
  const start = link === LINK_ETHERNET ? 14 + 4 * tags.length : 0;
  const bytes = new Uint8Array(start + 40);
  const view = new DataView(bytes.buffer);
  [...tags, address.family === 4 ? 0x0800 : 0x86dd].forEach((type, i) => {
    if (link === LINK_ETHERNET) view.setUint16(12 + 4 * i, type);
  });
  bytes[start] = address.family << 4;
  writeAddress(bytes, start + (address.family === 4 ? 16 : 24), address);
  return bytes;
}

const filter = (texts: string[], link: typeof LINK_ETHERNET | typeof LINK_RAW = LINK_ETHERNET): Uint8Array =>
  vipFilter(
    texts.map((text) => parsePrefix(text)!),
    link,
  );
const passes = (program: Uint8Array, packet: Uint8Array, ancillary = HOST): boolean => runBpf(program, packet, ancillary) > 0;

const VIPS = ["192.0.2.10", "198.51.100.0/24", "2001:db8::10", "2001:db8:1::/64", "2001:db8:ff00::/40"];
const IN = ["192.0.2.10", "198.51.100.0", "198.51.100.255", "2001:db8::10", "2001:db8:1::1", "2001:db8:ffab::"];
const OUT = [
  "192.0.2.9",
  "192.0.2.11",
  "198.51.99.255",
  "198.51.101.0",
  "2001:db8::11",
  "2001:db8:1:1::",
  "2001:db9::",
  "255.255.255.255",
];

test("only packets to a VIP or into a VIP prefix pass", () => {
  const program = filter(VIPS.slice(0, 4));
  for (const to of IN.slice(0, 5)) assert.ok(passes(program, frame(to)), to);
  for (const to of OUT) assert.ok(!passes(program, frame(to)), to);
});

test("a prefix within another is covered by it", () => {
  const program = filter(["198.51.100.0/24", "198.51.100.7", "2001:d00::/24", "2001:db8::10", ...VIPS]);
  for (const to of IN) assert.ok(passes(program, frame(to)), to);
});

test("one and two VLAN tags are looked through, three are not", () => {
  const program = filter(VIPS);
  for (const tags of [[0x8100], [0x88a8], [0x88a8, 0x8100], [0x8100, 0x8100]]) {
    assert.ok(passes(program, frame("192.0.2.10", tags)));
    assert.ok(passes(program, frame("2001:db8::10", tags)));
    assert.ok(!passes(program, frame("192.0.2.11", tags)));
  }
  assert.ok(!passes(program, frame("192.0.2.10", [0x8100, 0x8100, 0x8100])));
});

test("packets of other types, for other stations and cut ones do not pass", () => {
  const program = filter(VIPS);
  for (const packetType of [1, 2, 3, 4]) assert.ok(!passes(program, frame("192.0.2.10"), { packetType }));
  const arp = frame("192.0.2.10");
  new DataView(arp.buffer).setUint16(12, 0x0806);
  assert.ok(!passes(program, arp));
  for (let length = 0; length < 34; length++) assert.ok(!passes(program, frame("192.0.2.10").subarray(0, length)));
});

test("a device without link header", () => {
  const program = filter(VIPS, LINK_RAW);
  for (const to of IN) assert.ok(passes(program, frame(to, [], LINK_RAW)), to);
  assert.ok(!passes(program, frame("192.0.2.11", [], LINK_RAW)));
});

test("no VIPs: nothing passes", () => {
  assert.ok(!passes(filter([]), frame("192.0.2.10")));
});

test("many VIPs are found by search; more than fit let all IP through", () => {
  const many = (n: number): string[] => Array.from({ length: n }, (_, i) => `10.${i >> 7}.${(i * 2) & 255}.1`);
  const program = filter(many(900));
  assert.ok(program.length / 8 <= MAX_INSTRUCTIONS);
  for (const vip of many(900)) assert.ok(passes(program, frame(vip)));
  assert.ok(!passes(program, frame("10.0.1.1")));
  const open = filter(many(2000));
  assert.ok(open.length / 8 < 100);
  assert.ok(passes(open, frame("203.0.113.1")) && passes(open, frame("2001:db8::77")));
});

test("10,000 VIPs: each is looked at a few times, not once for each of the others", () => {
  let looks = 0;
  const counted = (text: string): Prefix => {
    const { address, length } = parsePrefix(text)!;
    return {
      length,
      get address() {
        looks++;
        return address;
      },
    };
  };
  const ipv4 = Array.from({ length: 5000 }, (_, i) => counted(`198.18.${i >> 8}.${i & 255}`));
  const ipv6 = Array.from({ length: 5000 }, (_, i) => counted(`2001:db8:1::${i.toString(16)}`));
  const program = vipFilter([...ipv4, ...ipv6], LINK_RAW);
  assert.ok(looks <= 50 * 10_000, `${looks} looks`);
  assert.ok(program.length / 8 < 100, "VIPs in a row are a range");
  assert.ok(passes(program, frame("198.18.19.135", [], LINK_RAW)) && passes(program, frame("2001:db8:1::1387", [], LINK_RAW)));
  assert.ok(!passes(program, frame("198.18.19.136", [], LINK_RAW)) && !passes(program, frame("2001:db8:1::1388", [], LINK_RAW)));
});

test("agrees with the prefixes themselves on seeded random ones", () => {
  let state = 7;
  const random = (n: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  };
  const mask = (address: Address, length: number): string => {
    const bits = length + (address.family === 4 ? 96 : 0);
    const words = address.words.map((w, i) => {
      const keep = Math.min(32, Math.max(0, bits - 32 * i));
      return keep === 0 ? 0 : (w & (-1 << (32 - keep))) >>> 0;
    });
    const hex = words.flatMap((w) => [(w >>> 16).toString(16), (w & 0xffff).toString(16)]).join(":");
    return address.family === 4
      ? `${words[3]! >>> 24}.${(words[3]! >>> 16) & 255}.${(words[3]! >>> 8) & 255}.${words[3]! & 255}/${length}`
      : `${hex}/${length}`;
  };
  const any = (): Address =>
    random(2) === 0
      ? parseAddress(`10.0.${random(4)}.${random(256)}`)!
      : parseAddress(`2001:db8:${random(3)}:${random(3)}:0:${random(3)}::${random(16).toString(16)}`)!;
  for (let round = 0; round < 50; round++) {
    const prefixes = Array.from({ length: 1 + random(30) }, () => {
      const address = any();
      return parsePrefix(mask(address, address.family === 4 ? 20 + random(13) : 30 + random(99)))!;
    });
    const program = vipFilter(prefixes, LINK_RAW);
    for (let i = 0; i < 100; i++) {
      const address = any();
      const bytes = new Uint8Array(40);
      bytes[0] = address.family << 4;
      writeAddress(bytes, address.family === 4 ? 16 : 24, address);
      assert.equal(
        passes(program, bytes),
        prefixes.some((p) => contains(p, address)),
      );
    }
  }
});
