import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { bucketFor, destinationVip, hashFlow, serviceOf } from "../../src/dataplane/flow.ts";
import { parseNetwork, parseTransport } from "../../src/dataplane/parse.ts";
import { createParsed, type Parsed } from "../../src/dataplane/parsed.ts";
import { plainTables } from "../../src/replay/offline-host.ts";
import type { Tables } from "../../src/shm/forwarding-table.ts";
import { OK, VERDICT_NAMES } from "../../src/shm/verdict.ts";
import { viewOf } from "../../src/wire/bytes.ts";
import { configOf } from "../support/fixture.ts";
import * as make from "../support/packets.ts";

const SERVICES = ["tuple", "source", "port", "net", "any", "none", "to"] as const;
const CONFIG = `cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts:
  - { name: s1, dip: [10.0.1.1, "fd00::1"] }
  - { name: s2, dip: [10.0.1.2, "fd00::2"] }
services:
  - { name: tuple, vips: [192.0.2.1, "2001:db8::1"], ports: { tcp: [80, 8000-8100], udp: [53] } }
  - { name: source, vips: [192.0.2.2, 192.0.2.22, "2001:db8::2", "2001:db8::22"], ports: any, hash: source }
  - { name: port, vips: [192.0.2.3, "2001:db8::3"], ports: any, hash: source-port }
  - { name: net, vips: [192.0.2.64/26, "2001:db8:1::/48"], ports: { tcp: [80] } }
  - { name: any, vips: [192.0.2.100, "2001:db8:1::100"], ports: { udp: any } }
  - { name: none, vips: [192.0.2.5, "2001:db8::5"], ports: { tcp: [80] }, pool: [] }
  - { name: to, vips: [192.0.2.6, 192.0.2.66, "2001:db8::6", "2001:db8::66"], ports: any, hash: destination-port }
egress:
  - { ip: 198.51.100.1, owners: { s1: [1] } }
`;
const t: Tables = plainTables(configTables(configOf(CONFIG), "s1"));

/** Reads a packet as a director does: the VIP it is for, which is looked up before the packet inside an ICMP error is read. */
function parsed(packet: Uint8Array): { p: Parsed; vip: number } {
  const p = createParsed();
  const b = viewOf(packet);
  assert.equal(parseNetwork(b, 0, packet.length, p), OK);
  const vip = destinationVip(t, p);
  assert.equal(parseTransport(b, p), OK);
  hashFlow(t, p);
  return { p, vip };
}

/** Name of the service of a packet, or of the verdict. */
function serviceName(packet: Uint8Array): string {
  const { p, vip } = parsed(packet);
  if (vip < 0) return "not_ours";
  if (vip >= t.firstEgress) return "egress";
  const service = serviceOf(t, vip, p);
  return service < 0 ? VERDICT_NAMES[-service]! : SERVICES[service]!;
}

function bucket(packet: Uint8Array): number {
  const { p, vip } = parsed(packet);
  return bucketFor(t, serviceOf(t, vip, p), p);
}

const FAMILIES = [
  {
    name: "IPv4",
    vip: (n: number): string => `192.0.2.${n}`,
    net: (n: number): string => `192.0.2.${n}`,
    client: "198.51.100.7",
    error: 3,
    outside: ["192.0.2.63", "192.0.2.128"],
  },
  {
    name: "IPv6",
    vip: (n: number): string => `2001:db8::${n}`,
    net: (n: number): string => `2001:db8:1::${n}`,
    client: "2001:db8:c::7",
    error: 1,
    outside: ["2001:db8:0:ffff::1", "2001:db8:2::"],
  },
] as const;

for (const f of FAMILIES) {
  const tcp = (to: string, port: number, from = f.client as string, fromPort = 40_000): Uint8Array =>
    make.tcp([from, fromPort], [to, port], make.bytes(1));
  const udp = (to: string, port: number, from = f.client as string, fromPort = 40_000): Uint8Array =>
    make.udp([from, fromPort], [to, port], make.bytes(1));
  const otherClient = f.client.replace(/7$/, "8");

  test(`${f.name}: service by VIP, protocol and port`, () => {
    for (const [packet, name] of [
      [tcp(f.vip(1), 80), "tuple"],
      [tcp(f.vip(1), 7999), "no_service"],
      [tcp(f.vip(1), 8000), "tuple"],
      [tcp(f.vip(1), 8100), "tuple"],
      [tcp(f.vip(1), 8101), "no_service"],
      [udp(f.vip(1), 53), "tuple"],
      [udp(f.vip(1), 80), "no_service"],
      [tcp(f.vip(1), 53), "no_service"],
      [tcp(f.vip(2), 0), "source"],
      [udp(f.vip(2), 65_535), "source"],
      [tcp(f.vip(5), 80), "none"],
      [tcp(f.vip(9), 80), "not_ours"],
      [make.echo(f.client, f.vip(1), 5), "tuple"],
    ] as const) {
      assert.equal(serviceName(packet), name);
    }
  });

  test(`${f.name}: prefixes, and a VIP inside of one that leaves it the ports it does not have`, () => {
    assert.equal(serviceName(tcp(f.net(64), 80)), "net");
    assert.equal(serviceName(tcp(f.net(99), 80)), "net");
    assert.equal(serviceName(tcp(f.net(99), 81)), "no_service");
    assert.equal(serviceName(udp(f.net(99), 80)), "no_service");
    assert.equal(serviceName(udp(f.net(100), 80)), "any");
    assert.equal(serviceName(tcp(f.net(100), 80)), "net");
    assert.equal(serviceName(tcp(f.net(100), 81)), "no_service");
    assert.equal(serviceName(make.echo(f.client, f.net(100), 5)), "any");
    for (const outside of f.outside) assert.equal(serviceName(tcp(outside, 80)), "not_ours");
  });

  test(`${f.name}: an ICMP error goes by the VIP and port inside it`, () => {
    const about = (from: string, port: number, to: string): Uint8Array =>
      make.icmp(f.client, to, f.error, 0, [0, 0, 0, 0], make.tcp([from, port], [f.client, 9], make.bytes()));
    assert.equal(serviceName(about(f.vip(1), 80, f.vip(1))), "tuple");
    assert.equal(serviceName(about(f.vip(3), 99, f.vip(1))), "port");
    assert.equal(serviceName(about(f.vip(1), 81, f.vip(1))), "no_service");
    assert.equal(serviceName(about(f.vip(9), 80, f.vip(1))), "icmp_other");
  });

  test(`${f.name}: 5-tuple: each of the five moves the bucket`, () => {
    const buckets = [
      tcp(f.vip(1), 8000),
      tcp(f.vip(1), 8001),
      tcp(f.vip(1), 8000, otherClient),
      tcp(f.vip(1), 8000, f.client, 40_001),
      udp(f.vip(1), 53),
      tcp(f.net(64), 80),
    ].map(bucket);
    assert.equal(new Set(buckets).size, buckets.length);
    assert.equal(bucket(tcp(f.vip(1), 8000)), buckets[0]);
  });

  test(`${f.name}: hash source: one bucket for all that comes from an address`, () => {
    const all = [
      tcp(f.vip(2), 80),
      tcp(f.vip(2), 443, f.client, 1),
      udp(f.vip(2), 53),
      tcp(f.vip(22), 80),
      make.echo(f.client, f.vip(2), 77),
      make.icmp(f.client, f.vip(2), f.error, 0, [0, 0, 0, 0], make.tcp([f.vip(2), 80], [f.client, 9], make.bytes())),
    ].map(bucket);
    assert.equal(new Set(all).size, 1);
    assert.notEqual(bucket(tcp(f.vip(2), 80, otherClient)), all[0]);
  });

  test(`${f.name}: hash source-port: one bucket for an address and port, whatever it goes to`, () => {
    assert.equal(bucket(tcp(f.vip(3), 80)), bucket(tcp(f.vip(3), 443)));
    assert.notEqual(bucket(tcp(f.vip(3), 80)), bucket(tcp(f.vip(3), 80, f.client, 40_001)));
    assert.notEqual(bucket(tcp(f.vip(3), 80)), bucket(tcp(f.vip(3), 80, otherClient)));
    assert.notEqual(bucket(tcp(f.vip(3), 80)), bucket(udp(f.vip(3), 80)));
    const error = make.icmp(
      f.client,
      f.vip(3),
      f.error,
      0,
      [0, 0, 0, 0],
      make.tcp([f.vip(3), 80], [f.client, 40_000], make.bytes()),
    );
    assert.equal(bucket(error), bucket(tcp(f.vip(3), 8080)));
  });

  test(`${f.name}: hash destination-port: one bucket for all that goes to a port`, () => {
    const about = make.tcp([f.vip(6), 5060], [f.client, 9], make.bytes());
    const all = [
      tcp(f.vip(6), 5060),
      tcp(f.vip(6), 5060, otherClient, 1),
      udp(f.vip(6), 5060),
      tcp(f.vip(66), 5060),
      make.icmp(f.client, f.vip(6), f.error, 0, [0, 0, 0, 0], about),
      make.udp(["203.0.113.1", 7], ["192.0.2.6", 5060], make.bytes()),
    ].map(bucket);
    assert.equal(new Set(all).size, 1);
    const others = Array.from({ length: 200 }, (_, port) => bucket(tcp(f.vip(6), port)));
    assert.ok(new Set(others).size > 190);
    assert.notEqual(bucket(make.echo(f.client, f.vip(6), 1)), bucket(make.echo(f.client, f.vip(6), 2)), "no port: by 5-tuple");
  });

  test(`${f.name}: sources spread over the buckets`, () => {
    const from = (i: number): string => f.client.replace(/7$/, f.name === "IPv4" ? `${i}` : i.toString(16));
    const seen = new Set(Array.from({ length: 200 }, (_, i) => bucket(tcp(f.vip(2), 80, from(i + 1)))));
    assert.ok(seen.size > 190);
  });
}

test("an egress IP is no VIP, and both families are apart", () => {
  assert.equal(serviceName(make.tcp(["203.0.113.1", 80], ["198.51.100.1", 2048], make.bytes())), "egress");
  assert.equal(serviceName(make.tcp(["2001:db8:c::7", 1], ["::ffff:c000:201", 80], make.bytes())), "not_ours");
});
