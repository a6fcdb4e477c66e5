/** The programs for the kernel against the rules run one by one, in an interpreter that does what the kernel does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { countingChoice, dropFilter, type KernelRule } from "../../src/bpf/kernel-filter.ts";
import { encodeProgram, MAX_INSTRUCTIONS } from "../../src/bpf/program.ts";
import { native } from "../../src/io/native.ts";
import { LINK_ETHERNET, LINK_RAW } from "../../src/io/packet-io.ts";
import { vipFilter } from "../../src/io/vip-filter.ts";
import { parsePrefix } from "../../src/wire/address.ts";
import { runBpf } from "../support/bpf.ts";
import { EXPRESSIONS } from "../support/filter-expressions.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import { randomPacket, randomProgram, unitRandom } from "../support/random-bpf.ts";

const VIPS = ["192.0.2.0/24", "2001:db8::/32"].map((text) => parsePrefix(text)!);
const PLAIN = { ethernet: vipFilter(VIPS, LINK_ETHERNET), raw: vipFilter(VIPS, LINK_RAW) };
const random = unitRandom(3);

/** Random bytes made a packet to a VIP, so that rules get to see it. */
function packetToVip(most: number): { packet: Uint8Array; protocol: number } {
  const packet = randomPacket(random, most);
  const ipv4 = random() < 0.5;
  const put = (at: number, bytes: readonly number[]): void =>
    bytes.forEach((b, i) => {
      if (at + i < packet.length) packet[at + i] = b;
    });
  put(0, [ipv4 ? 0x45 : 0x60]);
  if (ipv4) put(16, [192, 0, 2]);
  else put(24, [0x20, 0x01, 0x0d, 0xb8]);
  return { packet, protocol: ipv4 ? 0x0800 : 0x86dd };
}

function framed(packet: Uint8Array, protocol: number): Uint8Array {
  const frame = new Uint8Array(14 + packet.length).fill(0x11);
  frame.set([protocol >> 8, protocol & 0xff], 12);
  frame.set(packet, 14);
  return frame;
}

/** Index of the first rule that matches, -1 when none does or the packet is too short to be for a VIP. */
function firstMatch(rules: readonly KernelRule[], packet: Uint8Array, protocol: number): number {
  if (packet.length < (protocol === 0x0800 ? 20 : 28)) return -2;
  return rules.findIndex(({ program }) => native().runFilter(program, packet) !== 0);
}

function compare(rules: readonly KernelRule[], packets: number, most: number): number {
  const filters = [dropFilter(PLAIN.ethernet, rules, 14)!, dropFilter(PLAIN.raw, rules, 0)!] as const;
  const choice = countingChoice(PLAIN.raw, rules)!;
  const dropping = rules.flatMap(({ drops }, i) => (drops ? [i] : []));
  let dropped = 0;
  for (let n = 0; n < packets; n++) {
    const { packet, protocol } = packetToVip(most);
    const rule = firstMatch(rules, packet, protocol);
    const passes = rule === -1 || rules[rule]?.drops === false;
    if (packet.length === 0) continue;
    const ancillary = { packetType: 0, protocol, random: 1 };
    assert.equal(runBpf(filters[0], framed(packet, protocol), ancillary) > 0, passes, `rule ${rule}, Ethernet`);
    assert.equal(runBpf(filters[1], packet, ancillary) > 0, passes, `rule ${rule}, raw`);
    assert.equal(runBpf(choice, packet, ancillary), 1 + dropping.indexOf(rule), `rule ${rule}, counted`);
    if (rule >= 0 && !passes) dropped++;
  }
  return dropped;
}

test("random rules: the first that matches decides, and is counted", { skip: libpcapObstacle }, () => {
  let dropped = 0;
  for (let n = 0; n < 300; n++) {
    const rules = Array.from({ length: 1 + Math.floor(random() * 5) }, () => ({
      program: encodeProgram(randomProgram(random, 20)),
      drops: random() < 0.7,
      sample: null,
    }));
    dropped += compare(rules, 20, 80);
  }
  assert.ok(dropped > 500, `${dropped}`);
});

test("real expressions, all in one program", { skip: libpcapObstacle }, () => {
  // Those that match any packet would leave nothing for the others.
  const rules = EXPRESSIONS.filter((e) => !["ip", "ip6"].includes(e)).map((expression, i) => ({
    program: native().compileFilter(expression, 12),
    drops: i % 3 !== 2,
    sample: null,
  }));
  compare(rules, 1000, 120);
  for (let n = 0; n < 60; n++) {
    const some = rules.filter(() => random() < 0.15);
    if (some.length > 0) compare(some, 40, 120);
  }
});

test("one packet in so many still passes, by the kernel's random words", { skip: libpcapObstacle }, () => {
  const rules = [{ program: native().compileFilter("udp", 12), drops: true, sample: 10 }];
  const filter = dropFilter(PLAIN.ethernet, rules, 14)!;
  const udp = new Uint8Array(40);
  udp.set([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 192, 0, 2, 10]);
  const passes = (word: number): boolean =>
    runBpf(filter, framed(udp, 0x0800), { packetType: 0, protocol: 0x0800, random: word }) > 0;
  assert.deepEqual([0, 1, 9, 10, 0xfffffffa].map(passes), [true, false, false, true, true]);
  const counted = countingChoice(PLAIN.raw, rules)!;
  assert.equal(runBpf(counted, udp, { packetType: 0, protocol: 0x0800, random: 0 }), 1, "a sample is counted like the others");
});

test("what is not judged in the kernel passes; what is not for us does not", { skip: libpcapObstacle }, () => {
  const filter = dropFilter(
    PLAIN.ethernet,
    [{ program: native().compileFilter("ip or ip6", 12), drops: true, sample: null }],
    14,
  )!;
  const packet = new Uint8Array(40);
  packet.set([0x45], 0);
  packet.set([192, 0, 2, 10], 16);
  const run = (frame: Uint8Array, protocol: number, packetType = 0): number => runBpf(filter, frame, { packetType, protocol });
  assert.equal(run(framed(packet, 0x0800), 0x0800), 0);
  const tagged = new Uint8Array([...framed(packet, 0x8100).subarray(0, 14), 0, 5, 8, 0, ...packet]);
  assert.ok(run(tagged, 0x8100) > 0, "a tag that is still there");
  const lying = packet.slice();
  lying[0] = 0x65;
  assert.ok(run(framed(lying, 0x0800), 0x0800) > 0, "malformed, which user space counts");
  assert.equal(run(framed(packet, 0x0800), 0x0800, 3), 0, "for another host");
});

test("what the kernel would not take is not made", { skip: libpcapObstacle }, () => {
  const large = encodeProgram([
    ...Array.from({ length: MAX_INSTRUCTIONS - 1 }, () => ({ code: 0x00, jt: 0, jf: 0, k: 1 })),
    { code: 0x06, jt: 0, jf: 0, k: 1 },
  ]);
  assert.equal(dropFilter(PLAIN.ethernet, [{ program: large, drops: true, sample: null }], 14), null);
});

test("units of bytes: over all random words a frame counts as long as it is, in a socket of its own rule", {
  skip: libpcapObstacle,
}, () => {
  const units = [4, 16, 64];
  const rule = (expression: string): KernelRule => ({
    program: native().compileFilter(expression, 12),
    drops: true,
    sample: null,
  });
  const choice = countingChoice(PLAIN.raw, [rule("ip proto 1"), rule("ip")], units)!;
  for (const length of [20, 21, 63, 64, 65, 500]) {
    const packet = new Uint8Array(length);
    packet.set([0x45], 0);
    packet.set([192, 0, 2, 1], 16);
    let bytes = 0;
    for (let word = 0; word < 64; word++) {
      // The first rule has sockets 1 to 4, the second 5 to 8.
      const member = runBpf(choice, packet, { packetType: 0, protocol: 0x0800, random: 64 * 7 + word }) - 5;
      assert.ok(member >= 0 && member <= units.length, `${member}`);
      bytes += member === 0 ? 0 : units[member - 1]!;
    }
    assert.equal(bytes / 64, Math.min(length, 64));
  }
});
