import assert from "node:assert/strict";
import { test } from "node:test";
import { compileRules, replayRules, rulesForKernel, uplinkFilter } from "../../src/control/drop-rules.ts";
import { LINK_ETHERNET } from "../../src/io/packet-io.ts";
import { MAX_INSTRUCTIONS, vipFilter } from "../../src/io/vip-filter.ts";
import { parsePrefix } from "../../src/wire/address.ts";
import { runBpf } from "../support/bpf.ts";
import { EXPRESSIONS } from "../support/filter-expressions.ts";
import { libpcapObstacle } from "../support/libpcap.ts";

type Limit = { pps: number | null; bps: number | null; per: number | null } | null;
const rule = (match: string, limit: Limit = null, name = "r") => ({ name, match, sample: null, limit });
const vip = parsePrefix("192.0.2.10")!;

test("errors name each rule; all of them", { skip: libpcapObstacle }, () => {
  const { rules, errors, missing } = compileRules({ drop: [rule("udp"), rule("udp and"), rule("port 1 or (")] });
  assert.deepEqual([rules, missing], [[], null]);
  assert.equal(errors.length, 2);
  assert.match(errors[0]!, /^drop\[1\]\.match: .*syntax error.* \(write it as for tcpdump; see man pcap-filter\)$/);
  assert.match(errors[1]!, /^drop\[2\]\.match: /);
  assert.throws(() => replayRules({ drop: [rule("udp and")] }, "c.yaml"), /^Failure: c\.yaml: drop\[0\]\.match: |c\.yaml: drop/);
});

test("a prefix length stands for one of each family", { skip: libpcapObstacle }, () => {
  const lengths = [null, 0, 8, 24, 32, 48, 64, 128].map((per) => {
    const { prefix4, prefix6 } = replayRules({ drop: [rule("udp", { pps: 1, bps: null, per })] }, "c")[0]!.limit!;
    return [prefix4, prefix6];
  });
  assert.deepEqual(lengths, [
    [0, 0],
    [0, 0],
    [8, 16],
    [24, 48],
    [32, 64],
    [24, 48],
    [32, 64],
    [32, 128],
  ]);
});

test("the kernel gets the first rules, as many as fit", { skip: libpcapObstacle }, () => {
  const large = EXPRESSIONS.at(-1)!;
  const rules = compileRules({ drop: Array.from({ length: 40 }, () => rule(large)) }).rules;
  const count = rulesForKernel([vip], LINK_ETHERNET, rules);
  assert.ok(count > 3 && count < 40, `${count}`);
  const filter = uplinkFilter([vip], LINK_ETHERNET, rules, count);
  assert.ok(filter.length / 8 <= MAX_INSTRUCTIONS && filter.length / 8 > MAX_INSTRUCTIONS * 0.7);
  const short = compileRules({ drop: Array.from({ length: 300 }, () => rule("ip")) }).rules;
  assert.equal(rulesForKernel([vip], LINK_ETHERNET, short), 255);
});

test("a rule that reads the length of packets, and those behind it, are left to user space", { skip: libpcapObstacle }, () => {
  const count = (...matches: string[]): number =>
    rulesForKernel([vip], LINK_ETHERNET, compileRules({ drop: matches.map((match) => rule(match)) }).rules);
  assert.equal(count("udp port 123", "greater 1600", "tcp"), 1);
  assert.equal(count("ip[2:2] > 1600", "tcp"), 0);
  assert.equal(count("udp port 123", "tcp"), 2);
});

test("rules stay in the filter when there is no room for the VIPs beside them", { skip: libpcapObstacle }, () => {
  const vips = Array.from({ length: 900 }, (_, i) => parsePrefix(`192.${1 + (i >> 8)}.${i & 255}.10`)!);
  assert.ok(vipFilter(vips, LINK_ETHERNET).length / 8 > 3000);
  const { rules } = compileRules({ drop: [rule(EXPRESSIONS.at(-1)!), rule("udp")] });
  const filter = uplinkFilter(vips, LINK_ETHERNET, rules, 2);
  const frame = new Uint8Array(60);
  frame.set([8, 0, 0x45], 12);
  frame.set([192, 1, 5, 10], 30);
  frame[23] = 17;
  assert.equal(runBpf(filter, frame, { packetType: 0, protocol: 0x0800 }), 0);
  frame[23] = 6;
  assert.ok(runBpf(filter, frame, { packetType: 0, protocol: 0x0800 }) > 0);
});

test("no rules, or limits alone: the filter for VIPs as it is", { skip: libpcapObstacle }, () => {
  const { rules } = compileRules({ drop: [rule("udp", { pps: 1, bps: null, per: null })] });
  assert.deepEqual(uplinkFilter([vip], LINK_ETHERNET, rules, 1), vipFilter([vip], LINK_ETHERNET));
});
