/** What a case under pcap-fixtures/ is made of. The files there are written from these by make-fixtures.ts. */

import { createLookup } from "../../src/cli/lookup.ts";
import { type Config, parseConfig } from "../../src/control/config.ts";
import type { Role } from "../../src/replay/offline-host.ts";
import { parseFlow } from "../../src/steering/flow.ts";

/**
 * One packet that comes in, its verdict, and what leaves because of it. More than one verdict, or none, where packets are held
 * back for a later step.
 */
export interface Step {
  readonly in: Uint8Array;
  readonly verdict: string | readonly string[];
  readonly out?: readonly Uint8Array[];
  /** Milliseconds since the step before; 1 unless said otherwise. */
  readonly after?: number;
  /** What the virtio header in front of it says, by RX_* word: it is a super-segment, or its checksum is open. */
  readonly offloads?: Readonly<Record<number, number>>;
}

export interface Fixture {
  /** Name of the folder. */
  readonly name: string;
  /** What it shows, in a sentence or two. */
  readonly shows: string;
  readonly role: Role;
  readonly link?: "ethernet" | "raw";
  readonly config?: string;
  /** Largest outer packet to every host, bytes. */
  readonly mtu?: number;
  readonly steps: readonly Step[];
}

/** The host every case runs on. */
export const HOST = "s1";

/** Service web lives on s2 alone, home on s1 alone, nobody on none; s3 has an IPv6 address only. */
export const CONFIG = `cluster: fixtures
seed: 000102030405060708090a0b0c0d0e0f
hosts:
  - { name: s1, dip: [10.0.1.11, "fd00:1::11"] }
  - { name: s2, dip: [10.0.1.12, "fd00:1::12"] }
  - { name: s3, dip: "fd00:1::13" }
services:
  - name: web
    vips: [192.0.2.10, "2001:db8::10"]
    ports: { tcp: [80, 8000-8100], udp: [53] }
    pool: [s2]
  - name: home
    vips: [192.0.2.20, "2001:db8::20"]
    ports: { tcp: [80], udp: [53] }
    pool: [s1]
  - name: nobody
    vips: [192.0.2.30, "2001:db8::30"]
    ports: { tcp: any }
    pool: []
  - name: six
    vips: [192.0.2.60, "2001:db8::60"]
    ports: { tcp: [80], udp: [53] }
    pool: [s3]
`;

export interface Family {
  readonly name: "ipv4" | "ipv6";
  readonly client: string;
  /** VIPs of the services web, home, nobody and six. */
  readonly web: string;
  readonly home: string;
  readonly nobody: string;
  readonly six: string;
  /** An address that is nobody's here. */
  readonly elsewhere: string;
}

export const IPV4: Family = {
  name: "ipv4",
  client: "198.51.100.7",
  web: "192.0.2.10",
  home: "192.0.2.20",
  nobody: "192.0.2.30",
  six: "192.0.2.60",
  elsewhere: "203.0.113.9",
};
export const IPV6: Family = {
  name: "ipv6",
  client: "2001:db8:c::7",
  web: "2001:db8::10",
  home: "2001:db8::20",
  nobody: "2001:db8::30",
  six: "2001:db8::60",
  elsewhere: "2001:db8:ffff::9",
};

/** The same case for both IP versions. */
export const both = (make: (family: Family) => Fixture): Fixture[] =>
  [IPV4, IPV6].map((family) => {
    const fixture = make(family);
    return { ...fixture, name: `${fixture.name}-${family.name}` };
  });

/** Reads a config that must be good. */
export function configOf(text: string): Config {
  const result = parseConfig(text, "config.yaml");
  if (!("config" in result)) throw new Error(result.errors.join("\n"));
  return result.config;
}

/** Outer source port of a flow, which only the product's own hash can tell. */
export function sourcePortOf(config: string, flow: string): number {
  const parsed = parseFlow(flow);
  if (typeof parsed === "string") throw new Error(parsed);
  const port = createLookup(configOf(config))(parsed).sourcePort;
  if (port === null) throw new Error(`${flow} goes nowhere`);
  return port;
}
