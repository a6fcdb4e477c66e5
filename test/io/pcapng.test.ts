import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { LINKTYPE_RAW, readCapture } from "../../src/io/pcap.ts";
import { pcapngPacket, pcapngStart } from "../../src/io/pcapng.ts";
import * as make from "../support/packets.ts";

const PACKET = make.udp(["198.51.100.7", 123], ["192.0.2.10", 53], make.filler(21));
const TIME = 1_700_000_000_123_456;
const FILE = Buffer.concat([
  pcapngStart("s1", 2016),
  pcapngPacket(PACKET, 1500, TIME, "drop_rule (rule ntp)"),
  pcapngPacket(PACKET.subarray(0, 30), 49, TIME + 1, ""),
]);

test("our own reader takes it", () => {
  const [first, second, ...more] = [...readCapture(FILE)];
  assert.deepEqual(
    { ...first!, bytes: [...first!.bytes] },
    { link: LINKTYPE_RAW, time: TIME, bytes: [...PACKET], originalLength: 1500 },
  );
  assert.equal(second!.bytes.length, 30);
  assert.deepEqual(more, []);
  assert.ok(FILE.includes("drop_rule (rule ntp)"));
});

const tcpdump = spawnSync("tcpdump", ["--version"]);
test("tcpdump takes it", { skip: tcpdump.error !== undefined && "no tcpdump" }, () => {
  const { stdout, stderr, status } = spawnSync("tcpdump", ["-nr", "-"], { input: FILE, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /IP 198\.51\.100\.7\.123 > 192\.0\.2\.10\.53/);
});
