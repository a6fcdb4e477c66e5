/** Drop rules in the kernel: what it takes as filters, and what its counters say. Run by kernel.test.ts in a namespace, on lo. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { countingChoice, dropFilter, type KernelRule } from "../../src/bpf/kernel-filter.ts";
import { encodeProgram, MAX_INSTRUCTIONS, RETURN } from "../../src/bpf/program.ts";
import { native } from "../../src/io/native.ts";
import { LINK_ETHERNET, LINK_RAW } from "../../src/io/packet-io.ts";
import { vipFilter } from "../../src/io/vip-filter.ts";
import { parsePrefix } from "../../src/wire/address.ts";
import { EXPRESSIONS } from "../support/filter-expressions.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import { ip } from "../support/netns.ts";

const VIPS = ["127.0.0.2", "127.0.1.0/24"].map((text) => parsePrefix(text)!);
const PLAIN = vipFilter(VIPS, LINK_ETHERNET);
const RAW = vipFilter(VIPS, LINK_RAW);
const n = native();
ip("link set lo up");

const rule = (expression: string, drops = true, sample: number | null = null): KernelRule => ({
  program: n.compileFilter(expression, 12),
  drops,
  sample,
});

/** Sends `count` datagrams of 40 bytes to an address and port. */
async function send(address: string, port: number, count: number): Promise<void> {
  const socket = createSocket("udp4");
  for (let i = 0; i < count; i++) {
    await new Promise<void>((resolve, reject) => {
      socket.send(new Uint8Array(40), port, address, (error) => (error === null ? resolve() : reject(error)));
    });
  }
  socket.close();
}

const passed = (fd: number): number => n.packetStatistics(fd)[0];

test("first match counts, limits are left to user space, what is not for a VIP is nobody's", {
  skip: libpcapObstacle,
}, async () => {
  const rules = [
    rule("udp dst port 4001"),
    rule("udp dst port 4002", false),
    rule("udp dst portrange 4001-4005"),
    rule("udp[100] = 1 or udp"),
  ];
  const socket = n.openPacketSocket("lo", -1, 0, dropFilter(PLAIN, rules, 14)!);
  const counters = n.openFrameCounters("lo", 3, countingChoice(RAW, rules)!);
  await send("127.0.0.2", 4001, 7);
  await send("127.0.0.2", 4002, 5);
  await send("127.0.1.9", 4003, 300);
  await send("127.0.0.3", 4001, 11);
  await send("127.0.0.2", 5000, 2);
  assert.deepEqual(counters.map(passed), [0, 7, 300, 2]);
  assert.equal(passed(socket), 5, "the rule with a limit");
  assert.deepEqual(counters.map(passed), [0, 0, 0, 0], "counted once");
  n.setFilter(socket, dropFilter(PLAIN, rules.slice(0, 1), 14)!);
  await send("127.0.0.2", 4003, 4);
  await send("127.0.0.2", 4001, 4);
  assert.equal(passed(socket), 4);
  for (const fd of [socket, ...counters]) n.close(fd);
});

test("bytes of what the kernel drops are estimated from its counts", { skip: libpcapObstacle }, async () => {
  const units = [256, 2048, 65_536];
  const counters = n.openFrameCounters("lo", 8, countingChoice(RAW, [rule("tcp"), rule("udp")], units)!);
  await send("127.0.0.2", 4001, 3000);
  const counts = counters.map(passed);
  const [frames, small, ...large] = counts.slice(5);
  assert.deepEqual([counts.slice(0, 5), large, frames! + small!], [[0, 0, 0, 0, 0], [0, 0], 3000]);
  // Of 68 bytes each; six standard deviations.
  const bytes = small! * 256;
  assert.ok(Math.abs(bytes / (3000 * 68) - 1) < 0.2, `${bytes} of ${3000 * 68}`);
  for (const fd of counters) n.close(fd);
});

test("samples come up at about their rate", { skip: libpcapObstacle }, async () => {
  const socket = n.openPacketSocket("lo", -1, 0, dropFilter(PLAIN, [rule("udp", true, 10)], 14)!);
  await send("127.0.0.2", 4001, 3000);
  const came = passed(socket);
  assert.ok(came > 200 && came < 400, `${came} of 3000`);
  n.close(socket);
});

test("the kernel takes all that libpcap makes of real expressions, up to as much as it takes at all", {
  skip: libpcapObstacle,
}, () => {
  const all = EXPRESSIONS.map((expression) => rule(expression));
  const filter = dropFilter(PLAIN, all, 14)!;
  const many = Array.from({ length: 60 }, (_, i) => rule(`${EXPRESSIONS.at(-2)} or udp port ${i}`));
  const largest = dropFilter(PLAIN, many.slice(0, 14), 14)!;
  assert.ok(largest.length / 8 > MAX_INSTRUCTIONS / 2 && dropFilter(PLAIN, many, 14) === null, `${largest.length / 8}`);
  for (const program of [filter, largest]) n.close(n.openPacketSocket("lo", -1, 0, program));
  for (const fd of n.openFrameCounters("lo", all.length, countingChoice(RAW, all)!)) n.close(fd);
  const none = { program: encodeProgram([{ code: RETURN, jt: 0, jf: 0, k: 0 }]), drops: true, sample: null };
  for (const fd of n.openFrameCounters("lo", 255, countingChoice(RAW, Array<KernelRule>(255).fill(none))!)) n.close(fd);
});
