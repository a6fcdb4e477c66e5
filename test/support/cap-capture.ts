/**
 * Captures with `cap` (libpcap) on a device of the namespace it runs in, until standard input closes; then writes a pcap file:
 * `node cap-capture.js DEVICE FILTER FILE`. Prints "ready" when it listens.
 */
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { LINKTYPE_ETHERNET, writeCapture } from "../../src/io/pcap.ts";

interface Capture {
  open(device: string, filter: string, bufferBytes: number, packet: Buffer): string;
  on(event: "packet", listener: (bytes: number, truncated: boolean) => void): void;
  close(): void;
}

const [device = "", filter = "", file = ""] = process.argv.slice(2);
const { Cap } = createRequire(import.meta.url)("cap") as { Cap: new () => Capture };
const capture = new Cap();
const packet = Buffer.alloc(70_000);
const packets: { bytes: Uint8Array; time: number }[] = [];
const link = capture.open(device, filter, 32 << 20, packet);
if (link !== "ETHERNET") throw new Error(`link type ${link}`);
capture.on("packet", (bytes, truncated) => {
  if (truncated) throw new Error("packet cut off");
  packets.push({ bytes: Uint8Array.from(packet.subarray(0, bytes)), time: Math.floor(performance.now() * 1000) });
});
process.stdin.resume().on("end", () => {
  capture.close();
  writeFileSync(file, writeCapture(packets, LINKTYPE_ETHERNET));
});
process.stdout.write("ready\n");
