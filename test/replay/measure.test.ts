/** What `hafl replay` says a packet costs, with drop rules in front. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { native } from "../../src/io/native.ts";
import { LINKTYPE_RAW } from "../../src/io/pcap.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { replay } from "../../src/replay/replay.ts";
import { RULE_DROPPED, RULE_PASSED, type RuleSpec } from "../../src/shm/rules.ts";
import { CONFIG, configOf, HOST, IPV4 } from "../support/fixture.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import * as make from "../support/packets.ts";

const SPEC = configTables(configOf(CONFIG), HOST);
const PACKETS = Array.from({ length: 300 }, (_, i) => make.tcp([IPV4.client, 20_000 + i], [IPV4.web, 80], make.bytes()));

const rule = (limit: RuleSpec["limit"]): RuleSpec => ({
  name: "r",
  slot: 0,
  program: native().compileFilter("tcp", 12),
  sample: null,
  limit,
  inKernel: false,
});

test("packets that a rule drops cost time, and count", { skip: libpcapObstacle }, () => {
  const captured = PACKETS.map((bytes) => ({ link: LINKTYPE_RAW, bytes, originalLength: bytes.length, time: 1e12 }));
  const { nsPerPacket, verdicts } = replay(SPEC, "director", captured, 20, [rule(null)]);
  assert.deepEqual(verdicts, { drop_rule: PACKETS.length });
  assert.ok(nsPerPacket > 0, `${nsPerPacket} ns each`);
});

test("in each round that is measured a limit lets the same pass as in the replay", { skip: libpcapObstacle }, () => {
  const host = new OfflineHost(SPEC, "director", { drop: [rule({ pps: 100, bps: null, prefix4: 0, prefix6: 0 })] });
  // 150 at once, and 150 a second later.
  const times = PACKETS.map((_, i) => 1e9 + (i < 150 ? 0 : 1000));
  for (const [i, packet] of PACKETS.entries()) {
    host.now = times[i]!;
    host.take(packet.slice());
  }
  const passed = host.ruleCounts[RULE_PASSED]!;
  assert.equal(passed, 200);
  // Bursts are of 128: those behind the first time are all of one.
  const even = PACKETS.map((_, i) => times[i - (i % 128)]!);
  assert.ok(host.measure(PACKETS, 20, even) > 0);
  const [rounds, more] = [
    host.ruleCounts[RULE_DROPPED]! + host.ruleCounts[RULE_PASSED]! - 300,
    host.ruleCounts[RULE_PASSED]! - 200,
  ];
  assert.ok(rounds >= 300 && rounds % 300 === 0);
  assert.equal(more / (rounds / 300), 100 + 44, "128 and 128 at once, 44 a second later");
});
