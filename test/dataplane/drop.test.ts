import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { flush } from "../../src/dataplane/context.ts";
import { DropRules } from "../../src/dataplane/drop.ts";
import { TokenBuckets } from "../../src/dataplane/token-buckets.ts";
import { addToBurst, createBurst } from "../../src/io/memory.ts";
import { native } from "../../src/io/native.ts";
import { GSO_UDP_L4, HEADROOM, LINK_ETHERNET, LINK_RAW, RX_GSO_SIZE, RX_GSO_TYPE } from "../../src/io/packet-io.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { BUCKETS_BYTES } from "../../src/shm/bucket-layout.ts";
import {
  RULE_DROPPED,
  RULE_DROPPED_BYTES,
  RULE_PASSED,
  RULE_STRIDE,
  type RuleSpec,
  ruleBlock,
  ruleCountersBytes,
} from "../../src/shm/rules.ts";
import { SampleRing, samplesBytes } from "../../src/shm/sample-ring.ts";
import { VERDICT_NAMES } from "../../src/shm/verdict.ts";
import { CONFIG, configOf, HOST } from "../support/fixture.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import * as make from "../support/packets.ts";

const SPEC = configTables(configOf(CONFIG), HOST);
const SLOT = 2048 + HEADROOM;

const rule = (name: string, match: string, changes: Partial<RuleSpec> = {}): RuleSpec => ({
  name,
  slot: 0,
  program: native().compileFilter(match, 12),
  sample: null,
  limit: null,
  inKernel: false,
  ...changes,
});

/** A host with rules, its rule counters and its samples. */
class Bench {
  readonly host = new OfflineHost(SPEC, "director");
  readonly counts = ruleBlock(new ArrayBuffer(ruleCountersBytes(1)), 0);
  readonly ring = new SampleRing(new ArrayBuffer(samplesBytes(1)), 0);
  readonly rules: DropRules;

  constructor(specs: readonly RuleSpec[]) {
    const buckets = new TokenBuckets(new ArrayBuffer(BUCKETS_BYTES), 1, 2);
    this.rules = new DropRules(specs, this.counts, this.ring, buckets);
  }

  /** Takes packets in one burst; gives the verdicts that were counted. */
  burst(
    packets: readonly Uint8Array[],
    link: typeof LINK_RAW | typeof LINK_ETHERNET = LINK_RAW,
    gsoSize = 0,
  ): Record<string, number> {
    const { context, pool } = this.host;
    const burst = createBurst(packets.length);
    packets.forEach((packet, i) => {
      pool.set(packet, i * SLOT + HEADROOM);
      const r = addToBurst(burst, i * SLOT + HEADROOM, packet.length);
      burst.records[r + RX_GSO_SIZE] = gsoSize;
      burst.records[r + RX_GSO_TYPE] = gsoSize > 0 ? GSO_UDP_L4 : 0;
    });
    const before = this.host.verdicts();
    this.rules.direct(context, burst, link);
    flush(context);
    const after = Object.entries(this.host.verdicts()).map(([name, n]) => [name, n - (before[name] ?? 0)] as const);
    return Object.fromEntries(after.filter(([, n]) => n > 0));
  }

  count(slot: number, word: number): number {
    return this.counts[slot * RULE_STRIDE + word]!;
  }

  samples(): string[] {
    return this.ring.read(0).map(({ verdict, rule: slot }) => `${slot} ${VERDICT_NAMES[verdict]}`);
  }
}

const udp = (port: number, client = "198.51.100.7"): Uint8Array => make.udp([client, port], ["192.0.2.10", 53], make.filler(20));
const framed = (packet: Uint8Array, ...tags: number[]): Uint8Array =>
  Uint8Array.from([...new Array<number>(12).fill(2), ...tags.flatMap((tag) => [0x81, 0, 0, tag]), 8, 0, ...packet]);

test("a burst: what matches is dropped and counted, the rest goes on", { skip: libpcapObstacle }, () => {
  const bench = new Bench([rule("a", "src port 1"), rule("b", "src portrange 1-2", { slot: 7 })]);
  assert.deepEqual(bench.burst([udp(3), udp(1), udp(4), udp(2), udp(1), udp(5)]), { forwarded: 3, drop_rule: 3 });
  assert.deepEqual([bench.count(0, RULE_DROPPED), bench.count(7, RULE_DROPPED)], [2, 1]);
  assert.equal(bench.count(0, RULE_DROPPED_BYTES), 2 * udp(1).length);
  assert.deepEqual(bench.samples(), []);
});

test("what the kernel counts is not counted twice; what it cannot have judged is", { skip: libpcapObstacle }, () => {
  const bench = new Bench([rule("a", "src port 1", { inKernel: true, sample: 1000 })]);
  assert.deepEqual(bench.burst([framed(udp(1)), framed(udp(1), 5)], LINK_ETHERNET), { drop_rule: 2 });
  assert.equal(bench.count(0, RULE_DROPPED), 1, "the one with a tag");
  assert.equal(bench.count(0, RULE_DROPPED_BYTES), udp(1).length, "nor are its bytes");
  assert.deepEqual(bench.samples(), ["0 drop_rule"], "what the kernel lets through is a sample");
});

test("traffic that the kernel has judged is not judged again, what it could not judge is", { skip: libpcapObstacle }, () => {
  const bench = new Bench([rule("a", "src port 1", { inKernel: true }), rule("b", "src port 1", { slot: 1 })]);
  assert.deepEqual(bench.burst([framed(udp(1)), framed(udp(1), 5), framed(udp(2))], LINK_ETHERNET), {
    forwarded: 1,
    drop_rule: 2,
  });
  assert.deepEqual([bench.count(0, RULE_DROPPED), bench.count(1, RULE_DROPPED)], [1, 1]);
});

test("one in so many is a sample, with its own verdict, also of what passes a limit", { skip: libpcapObstacle }, () => {
  const limit = { pps: 3, bps: null, prefix4: 24, prefix6: 48 };
  const bench = new Bench([rule("a", "src port 1", { sample: 2, limit })]);
  const verdicts = bench.burst([udp(1), udp(9), udp(1), udp(1), udp(9), udp(1), udp(1), udp(1)]);
  assert.deepEqual(verdicts, { forwarded: 5, rate_limited: 3 });
  assert.deepEqual(bench.samples(), ["0 forwarded", "0 rate_limited", "0 rate_limited"]);
  assert.deepEqual([bench.count(0, RULE_PASSED), bench.count(0, RULE_DROPPED)], [3, 3]);
  const [sample] = bench.ring.read(0);
  assert.deepEqual(Buffer.from(sample!.bytes), Buffer.from(udp(1)));
  assert.equal(bench.host.verdicts().none, undefined);
});

test("tokens come back with time, by prefix", { skip: libpcapObstacle }, () => {
  const limit = { pps: 2, bps: null, prefix4: 24, prefix6: 48 };
  const bench = new Bench([rule("a", "udp", { limit })]);
  const burst = (client: string): number => bench.burst([udp(1, client), udp(2, client), udp(3, client)]).forwarded ?? 0;
  bench.rules.now[0] = 1_000_000;
  assert.deepEqual([burst("198.51.100.7"), burst("198.51.100.8"), burst("198.51.101.8")], [2, 0, 2]);
  bench.rules.now[0] += 500;
  assert.deepEqual([burst("198.51.100.7"), burst("198.51.100.8")], [1, 0]);
  bench.rules.now[0] += 60_000;
  assert.equal(burst("198.51.100.9"), 2, "no more than a second's worth is saved up");
});

test("a super-segment counts as its packets", { skip: libpcapObstacle }, () => {
  const bench = new Bench([rule("a", "udp")]);
  const whole = make.udp(["198.51.100.7", 1], ["192.0.2.10", 53], make.filler(1000));
  assert.deepEqual(bench.burst([whole], LINK_RAW, 100), { drop_rule: 10 });
  assert.equal(bench.count(0, RULE_DROPPED), 10);
});
