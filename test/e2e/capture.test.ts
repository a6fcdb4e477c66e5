/** What Haflinger puts on the wire, captured with `cap` on a host's link and held against what came in from the client. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readCapture } from "../../src/io/pcap.ts";
import { routeVips } from "../../src/lab/lab.ts";
import { runLoad } from "../../src/lab/load.ts";
import { ended, spawnIn } from "../../src/lab/namespace.ts";
import { FAMILIES, type LabSpec, VIP } from "../../src/lab/topology.ts";
import { planTraffic } from "../../src/lab/traffic.ts";
import { labObstacle, labSpec, runOn, withLab } from "../support/lab.ts";
import {
  actualChecksum,
  decodeFrame,
  decodePacket,
  expectedChecksum,
  headerChecksumGood,
  type Plain,
  tcpParts,
  withChecksum,
} from "../support/plain-decoder.ts";

const GUE_PORT = 6080;
const UPLOAD_BYTES = 300_000;
const VIPS_IN_HEX = ["c000020a", "20010db8000000000000000000000010"];
const RECORDER = fileURLToPath(new URL("../support/cap-capture.js", import.meta.url));

/** Why there can be no capture; false when there can. */
function obstacle(): string | false {
  if (labObstacle) return labObstacle;
  try {
    createRequire(import.meta.url)("cap");
  } catch {
    return "the optional package cap is not built";
  }
  const missing = ["ethtool", "tcpdump", "curl"].find((tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0);
  return missing === undefined ? false : `${missing} is not installed`;
}

/** Captures s1's link while something happens. Gives the frames; the file stays for other readers. */
async function capture(spec: LabSpec, file: string, act: () => Promise<void>): Promise<Uint8Array[]> {
  const recorder = spawnIn(spec.name, "s1", [process.execPath, RECORDER, "eth0", "ip or ip6", file], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const end = ended(recorder);
  try {
    const first = await Promise.race([once(recorder.stdout!, "data"), end]);
    assert.ok(Array.isArray(first), "the recorder captures");
    await act();
    // What libpcap holds back it hands over within its read timeout.
    await sleep(500);
  } finally {
    recorder.stdin!.end();
  }
  assert.equal(await end, 0);
  return [...readCapture(readFileSync(file))].map((p) => p.bytes);
}

const flowKey = (p: Plain): string => `${p.protocol} ${p.source}:${p.sourcePort} > ${p.destination}:${p.destinationPort}`;

/** A GUE packet taken apart by hand: 4 bytes, no flags, no private data, then an IP packet. */
function unwrap(outer: Plain): Plain {
  const gue = outer.l4 + 8;
  const header = Buffer.from(outer.packet.subarray(gue, gue + 4)).readUInt32BE();
  const inner = decodePacket(outer.packet.subarray(gue + 4))!;
  assert.equal(
    header,
    inner.version === 4 ? 0x00040000 : 0x00290000,
    "GUE: variant 0, data, no flags, protocol of what is inside",
  );
  assert.equal(inner.packet.length, outer.packet.length - gue - 4, "the inner packet fills the datagram");
  return inner;
}

/** Whether `inner` is `sent`, or a segment of it when the kernel handed it over as a super-segment. */
function isPartOf(inner: Plain, sent: Plain): boolean {
  if (sent.packet.length <= 1500) return Buffer.compare(inner.packet, withChecksum(sent)) === 0;
  const [a, b] = [tcpParts(inner), tcpParts(sent)];
  const at = (a.sequence - b.sequence) >>> 0;
  return (
    at + a.payload.length <= b.payload.length && Buffer.compare(a.payload, b.payload.subarray(at, at + a.payload.length)) === 0
  );
}

function checkOuter(outer: Plain, version: 4 | 6): void {
  assert.equal(outer.version, version);
  assert.equal(Buffer.from(outer.packet.subarray(outer.l4 + 4, outer.l4 + 6)).readUInt16BE(), outer.packet.length - outer.l4);
  assert.ok(headerChecksumGood(outer), "outer header checksum");
  assert.equal(actualChecksum(outer), expectedChecksum(outer), "outer UDP checksum");
  assert.ok(outer.dontFragment, "outer DF");
  assert.ok(outer.sourcePort >= 49152, `source port ${outer.sourcePort}`);
}

const skip = obstacle();
for (const dips of ["4", "6"] as const) {
  test(`GUE over IPv${dips}: valid outside, and inside byte for byte what came from the client`, {
    skip,
    timeout: 60_000,
  }, async (t) => {
    const spec = labSpec({ name: `e2e-cap${dips}-${process.pid}`, hosts: 2, clients: 1, dips });
    const dir = mkdtempSync(join(tmpdir(), "hafl-cap-"));
    t.after(() => rmSync(dir, { recursive: true }));
    await withLab(spec, async () => {
      // In a capture on the sending host checksums are unfinished unless the device leaves them to the kernel.
      await runOn(spec.name, "s1", ["ethtool", "-K", "eth0", "tx", "off"]);
      await routeVips(spec.name, [1]);
      const file = join(dir, "eth0.pcap");
      const frames = await capture(spec, file, async () => {
        await runLoad(spec.name, planTraffic(spec, 40), () => {});
        for (const family of FAMILIES) {
          const url = `http://${family === 6 ? `[${VIP[6]}]` : VIP[4]}/`;
          for (let i = 0; i < 4; i++) {
            await runOn(spec.name, "c1", ["sh", "-c", `head -c ${UPLOAD_BYTES} /dev/urandom | curl -sS -m 10 -T - ${url}`]);
          }
        }
      });
      const packets = frames.map(decodeFrame).filter((p) => p !== null);
      const dip = dips === "4" ? "0a00010b" : "fd000001000000000000000000000011";
      const outgoing = packets.filter((p) => p.protocol === 17 && p.destinationPort === GUE_PORT && p.source === dip);
      const sent = new Map<string, Plain[]>();
      for (const p of packets.filter((one) => VIPS_IN_HEX.includes(one.destination))) {
        sent.set(flowKey(p), [...(sent.get(flowKey(p)) ?? []), p]);
      }
      assert.ok(outgoing.length > 100, `${outgoing.length} GUE packets`);

      const portOf = new Map<string, number>();
      for (const outer of outgoing) {
        checkOuter(outer, dips === "4" ? 4 : 6);
        const inner = unwrap(outer);
        assert.equal(actualChecksum(inner), expectedChecksum(inner), "inner checksum");
        assert.ok(headerChecksumGood(inner), "inner header checksum");
        assert.ok(
          sent.get(flowKey(inner))?.some((p) => isPartOf(inner, p)),
          `${flowKey(inner)}: not what came in`,
        );
        const port = portOf.get(flowKey(inner)) ?? outer.sourcePort;
        assert.equal(outer.sourcePort, port, "one source port for all packets of a flow");
        portOf.set(flowKey(inner), port);
      }
      assert.ok(new Set(portOf.values()).size > 10, "flows are spread over source ports");
      t.diagnostic(`${outgoing.length} GUE packets of ${portOf.size} flows, ${new Set(portOf.values()).size} source ports`);

      const said = await runOn(spec.name, "s1", [
        "tcpdump",
        "-nvvr",
        file,
        `udp dst port ${GUE_PORT} and src host ${dips === "4" ? "10.0.1.11" : "fd00:1::11"}`,
      ]);
      assert.equal(said.match(/udp sum ok/g)?.length, outgoing.length, "tcpdump finds every outer checksum good");
      // Only what it says of the outer packet: payload from port 49152 it takes for a Broadcom protocol's.
      const outerLines = said.split("\n").filter((line) => / > .*\.6080: |^\d\d:/.test(line));
      const complaints = outerLines.filter((line) => /bad |truncated|invalid|wrong|\[\|/.test(line));
      assert.deepEqual(complaints.slice(0, 3), []);
    });
  });
}
