/** The captures under test/captures/, and configurations under which their receivers are hosts of ours. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type CapturedPacket, LINKTYPE_SLL2, readCapture } from "../../src/io/pcap.ts";

export interface Capture {
  readonly file: string;
  /** The host that receives. */
  readonly host: string;
  /** Its addresses, in hex. */
  readonly dips: readonly string[];
  readonly config: string;
}

const config = (hosts: string): string => `cluster: captures
seed: 000102030405060708090a0b0c0d0e0f
hosts:
${hosts}
services:
  - { name: web, vips: [192.0.2.10, "2001:db8:10::10"], ports: { tcp: any, udp: any } }
`;

export const CAPTURES: readonly Capture[] = [
  {
    file: "kernel-gue.pcap",
    host: "receiver",
    dips: ["0a090002", "fd090000000000000000000000000002"],
    config: config(`  - { name: sender, dip: [10.9.0.1, "fd09::1"] }
  - { name: receiver, dip: [10.9.0.2, "fd09::2"] }`),
  },
  {
    file: "ipvs-gue.pcap",
    host: "real2",
    dips: ["0a140202", "fd200002000000000000000000000002"],
    config: config(`  - { name: director2, dip: [10.20.2.1, "fd20:2::1"] }
  - { name: director3, dip: [10.20.3.1, "fd20:3::1"] }
  - { name: real2, dip: [10.20.2.2, "fd20:2::2"] }
  - { name: real3, dip: [10.20.3.2, "fd20:3::2"] }`),
  },
];

/** A capture's packets as they were recorded. */
export function capturedIn({ file }: Capture): CapturedPacket[] {
  const path = fileURLToPath(new URL(`../../../test/captures/${file}`, import.meta.url));
  // Not as a Buffer, whose slice() is no copy.
  return [...readCapture(new Uint8Array(readFileSync(path)))];
}

/** A recorded packet without its link header. */
export const withoutLink = ({ link, bytes }: CapturedPacket): Uint8Array => bytes.subarray(link === LINKTYPE_SLL2 ? 20 : 14);
