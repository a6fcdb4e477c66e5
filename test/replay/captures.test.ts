/** GUE as the Linux kernel itself sends it, through a target. What each packet should get is told from its bytes, naively. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import type { CapturedPacket } from "../../src/io/pcap.ts";
import { replay } from "../../src/replay/replay.ts";
import { CAPTURES, capturedIn, withoutLink } from "../support/captures.ts";
import { configOf } from "../support/fixture.ts";

/** The verdict packets.md gives, from the bytes in hex; and the inner packet when it is delivered. */
function expected(packet: CapturedPacket, dips: readonly string[]): { verdict: string; inner: string } {
  const hex = Buffer.from(withoutLink(packet)).toString("hex");
  const at = (byte: number, bytes: number): string => hex.slice(byte * 2, (byte + bytes) * 2);
  const none = { verdict: "not_ours", inner: "" };
  let udp: number;
  if (hex.startsWith("45")) {
    if (at(9, 1) !== "11" || at(16, 4) !== dips[0]) return none;
    udp = 20;
  } else if (hex.startsWith("6")) {
    if (at(24, 16) !== dips[1]) return none;
    udp = at(6, 1) === "3c" ? 48 : 40;
    if (at(udp === 48 ? 40 : 6, 1) !== "11") return none;
  } else {
    return none;
  }
  if (at(udp + 2, 2) !== "17c0") return none;
  const gue = udp + 8;
  if (at(gue + 2, 2) !== "0000") return { verdict: "gue_malformed", inner: "" };
  const inner = gue + 4;
  const v4 = at(gue + 1, 1) === "04";
  const vip = v4 ? at(inner + 16, 4) === "c000020a" : at(inner + 24, 16) === "20010db8001000000000000000000010";
  if (!vip) return { verdict: "not_a_vip", inner: "" };
  const length = v4 ? Number.parseInt(at(inner + 2, 2), 16) : 40 + Number.parseInt(at(inner + 4, 2), 16);
  return { verdict: "delivered", inner: at(inner, length) };
}

for (const capture of CAPTURES) {
  test(`${capture.file}: every packet gets the verdict of packets.md, every inner packet comes out as it went in`, (t) => {
    const packets = capturedIn(capture);
    const wanted = packets.map((packet) => expected(packet, capture.dips));
    const counts: Record<string, number> = {};
    for (const { verdict } of wanted) counts[verdict] = (counts[verdict] ?? 0) + 1;

    const result = replay(configTables(configOf(capture.config), capture.host), "target", packets, 0);
    t.diagnostic(JSON.stringify(result.verdicts));
    assert.deepEqual({ ...result.verdicts }, counts);
    assert.ok(counts.delivered! > 100, `${counts.delivered} delivered`);
    const out = result.out.map((p) => Buffer.from(p.bytes).toString("hex"));
    const inner = wanted.filter((w) => w.verdict === "delivered").map((w) => w.inner);
    assert.deepEqual(out, inner);
  });
}
