/** Drop rules mean packets on the wire: what they say of a super-segment is what they would say of the largest packet in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { native } from "../../src/io/native.ts";
import {
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_NEEDS_CSUM,
} from "../../src/io/packet-io.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { RULE_DROPPED, RULE_DROPPED_BYTES, RULE_PASSED, type RuleSpec } from "../../src/shm/rules.ts";
import { bigFrame } from "../support/big-frame.ts";
import { CONFIG, configOf, type Family, HOST, IPV4, IPV6 } from "../support/fixture.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import * as make from "../support/packets.ts";

const SPEC = configTables(configOf(CONFIG), HOST);
const SIZE = 1000;

const rule = (match: string, limit: RuleSpec["limit"] = null): RuleSpec => ({
  name: "r",
  slot: 0,
  program: native().compileFilter(match, 12),
  sample: null,
  limit,
  inKernel: false,
});

type Frame = [Uint8Array, Record<number, number>];

/** A super-segment of `length` bytes of payload in packets of SIZE. */
function frameOf(f: Family, protocol: "tcp" | "udp", length: number): Frame {
  const [from, to]: [make.End, make.End] = [
    [f.client, 40_000],
    [f.web, protocol === "tcp" ? 80 : 53],
  ];
  if (length > 65_000) {
    const { frame, offloads } = bigFrame(make.tcp(from, to, make.bytes()), make.filler(length), SIZE, f === IPV6);
    return [frame, offloads];
  }
  const frame = protocol === "tcp" ? make.tcp(from, to, make.filler(length)) : make.udp(from, to, make.filler(length));
  const type = protocol === "udp" ? GSO_UDP_L4 : f === IPV4 ? GSO_TCPV4 : GSO_TCPV6;
  const offloads = {
    [RX_FLAGS]: RX_NEEDS_CSUM,
    [RX_GSO_TYPE]: type,
    [RX_GSO_SIZE]: SIZE,
    [RX_CSUM_START]: f === IPV4 ? 20 : 40,
    [RX_CSUM_OFFSET]: protocol === "tcp" ? 16 : 6,
  };
  return [frame, offloads];
}

function verdicts(match: string, [frame, offloads]: Frame): Record<string, number> {
  const host = new OfflineHost(SPEC, "director", { drop: [rule(match)] });
  const plain = new OfflineHost(SPEC, "director");
  const out = host.take(frame.slice(), offloads);
  if (host.lastVerdict() !== "drop_rule")
    assert.deepEqual(out, plain.take(frame.slice(), offloads), "nothing is changed by a look");
  return host.verdicts();
}

for (const f of [IPV4, IPV6]) {
  for (const [protocol, length] of [
    ["tcp", 64_000],
    ["tcp", 185_000],
    ["udp", 64_000],
  ] as const) {
    test(`${f.name}, ${protocol}, ${length} bytes: lengths are those of the largest packet`, { skip: libpcapObstacle }, () => {
      const frame = frameOf(f, protocol, length);
      const ip = f === IPV4 ? 20 : 40;
      const packet = ip + (protocol === "tcp" ? 20 : 8) + SIZE;
      const packets = length / SIZE;
      const field = f === IPV4 ? "ip[2:2]" : "ip6[4:2]";
      const said = f === IPV4 ? packet : packet - 40;
      const cases: [string, boolean][] = [
        [`greater ${packet + 1}`, false],
        [`greater ${packet}`, true],
        [`less ${packet - 1}`, false],
        [`less ${packet}`, true],
        [`${field} > ${said}`, false],
        [`${field} = ${said}`, true],
        [f === IPV4 ? `ip[${packet - 1}] >= 0` : `ip6[${packet - 1}] >= 0`, true],
        [f === IPV4 ? `ip[${packet}] >= 0` : `ip6[${packet}] >= 0`, false],
      ];
      if (protocol === "udp") {
        const udp = f === IPV4 ? "udp[4:2]" : "ip6[44:2]";
        cases.push([`${udp} = ${SIZE + 8}`, true], [`${udp} > ${SIZE + 8}`, false]);
      }
      for (const [match, matches] of cases) {
        assert.deepEqual(verdicts(match, frame), { [matches ? "drop_rule" : "forwarded"]: packets }, match);
      }
    });
  }
}

test("counts and limits are of packets, with headers of their own", { skip: libpcapObstacle }, () => {
  const [frame, offloads] = frameOf(IPV4, "tcp", 2500);
  const host = new OfflineHost(SPEC, "director", { drop: [rule("tcp")] });
  host.take(frame, offloads);
  assert.equal(host.ruleCounts[RULE_DROPPED], 3);
  assert.equal(host.ruleCounts[RULE_DROPPED_BYTES], 2500 + 3 * 40);
  for (const [pps, passed] of [
    [5, 3],
    [6, 6],
  ] as const) {
    const limit = { pps, bps: null, prefix4: 0, prefix6: 0 };
    const limited = new OfflineHost(SPEC, "director", { drop: [rule("tcp", limit)] });
    limited.now = 1_700_000_000_000;
    for (let i = 0; i < 2; i++) limited.take(frame.slice(), offloads);
    assert.deepEqual([limited.ruleCounts[RULE_PASSED], limited.ruleCounts[RULE_DROPPED]], [passed, 6 - passed]);
  }
});
