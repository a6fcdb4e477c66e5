import assert from "node:assert/strict";
import { test } from "node:test";
import { configChains, configTables } from "../../src/control/offline.ts";
import type { TablesSpec } from "../../src/shm/forwarding-table.ts";
import type { RangeSpec } from "../../src/shm/port-table.ts";
import { NO_HOST } from "../../src/steering/maglev.ts";
import { formatAddress } from "../../src/wire/address.ts";
import { configOf } from "../support/fixture.ts";
import { seededRandom } from "../support/random.ts";

const HEAD = `cluster: t
seed: 000102030405060708090a0b0c0d0e0f
table: { size: 251 }
hosts:
  - { name: s1, dip: [10.0.1.1, "fd00::1"] }
  - { name: s2, dip: [10.0.1.2, "fd00::2"], weight: 3 }
  - { name: s3, dip: "fd00::3", state: draining }
  - { name: s4, dip: [10.0.1.4, "fd00::4"], state: down }
services:
`;

const specOf = (services: string, host = "s1"): TablesSpec => configTables(configOf(HEAD + services), host, 1500);

/** `192.0.2.10/128 tcp 80>0 443>1 ... echo 0`, one line for each VIP. */
function lines(spec: TablesSpec): string[] {
  const ranges = (list: readonly RangeSpec[]): string =>
    list.map(({ from, to, service }) => ` ${from === to ? from : `${from}-${to}`}>${service}`).join("");
  return spec.vips.map(
    ({ words, family, length, tcp, udp, portless }) =>
      `${formatAddress({ words, family })}/${length} tcp${ranges(tcp)} udp${ranges(udp)} echo ${portless}`,
  );
}

test("a VIP has the ports of all services on it, in ascending order", () => {
  const spec = specOf(`
  - { name: a, vips: [192.0.2.10, "2001:db8::10"], ports: { tcp: [8000-8100, 80] } }
  - { name: b, vips: [192.0.2.10], ports: { tcp: [443], udp: any } }
`);
  assert.deepEqual(lines(spec), [
    "192.0.2.10/128 tcp 80>0 443>1 8000-8100>0 udp 0-65535>1 echo 0",
    "2001:db8::10/128 tcp 80>0 8000-8100>0 udp echo 0",
  ]);
});

test("prefix lengths count over 128 bits, in both families", () => {
  const spec = specOf('  - { name: a, vips: [192.0.2.0/24, "2001:db8::/64"], ports: { tcp: 80 } }\n');
  assert.deepEqual(lines(spec), ["192.0.2.0/120 tcp 80>0 udp echo 0", "2001:db8::/64 tcp 80>0 udp echo 0"]);
});

test("what a VIP does not serve itself falls to the wider prefix around it, the narrowest first", () => {
  const spec = specOf(`
  - { name: net, vips: [192.0.0.0/16], ports: { tcp: any, udp: [53] } }
  - { name: half, vips: [192.0.2.0/24], ports: { tcp: [80, 8000-8100] } }
  - { name: one, vips: [192.0.2.10], ports: { tcp: [443, 8050] } }
  - { name: other, vips: [198.51.100.1, "2001:db8::/32"], ports: { udp: 53 } }
`);
  assert.deepEqual(lines(spec), [
    "192.0.0.0/112 tcp 0-65535>0 udp 53>0 echo 0",
    "192.0.2.0/120 tcp 0-79>0 80>1 81-7999>0 8000-8100>1 8101-65535>0 udp 53>0 echo 1",
    "192.0.2.10/128 tcp 0-79>0 80>1 81-442>0 443>2 444-7999>0 8000-8049>1 8050>2 8051-8100>1 8101-65535>0 udp 53>0 echo 2",
    "198.51.100.1/128 tcp udp 53>3 echo 3",
    "2001:db8::/32 tcp udp 53>3 echo 3",
  ]);
});

test("ports of nested prefixes are as one by one look-ups say", () => {
  const whole = seededRandom(7);
  const vips = ["10.128.0.0/9", "10.192.0.0/10", "10.224.0.0/11", "10.255.255.255/32"];
  for (let round = 0; round < 50; round++) {
    const lists = vips.map(() => {
      const cuts = [...new Set(Array.from({ length: 2 * (1 + whole(3)) }, () => 1 + whole(60)))].sort((a, b) => a - b);
      return Array.from({ length: cuts.length >> 1 }, (_, i): [number, number] => [cuts[2 * i]!, cuts[2 * i + 1]!]);
    });
    if (lists.some((list) => list.length === 0)) continue;
    const services = vips.map((vip, i) => {
      const ports = lists[i]!.map(([from, to]) => `${from}-${to}`).join(", ");
      return `  - { name: v${i}, vips: [${vip}], ports: { tcp: [${ports}] } }\n`;
    });
    const { tcp } = specOf(services.join("")).vips.at(-1)!;
    for (let port = 0; port < 70; port++) {
      const owner = [3, 2, 1, 0].find((i) => lists[i]!.some(([from, to]) => from <= port && port <= to));
      assert.equal(tcp.find(({ from, to }) => from <= port && port <= to)?.service, owner, `port ${port}`);
    }
    for (const [i, range] of tcp.entries()) assert.ok(range.from <= range.to && (i === 0 || tcp[i - 1]!.to < range.from));
  }
});

test("echo requests go to the first service that has hosts", () => {
  const spec = specOf(`
  - { name: none, vips: [192.0.2.10], ports: { tcp: 80 }, pool: [] }
  - { name: zero, vips: [192.0.2.10], ports: { tcp: 81 }, pool: { s1: 0 } }
  - { name: some, vips: [192.0.2.10], ports: { tcp: 82 }, pool: [s2] }
  - { name: alone, vips: [192.0.2.11], ports: { tcp: 82 }, pool: [] }
`);
  assert.deepEqual(
    spec.vips.map(({ portless }) => portless),
    [2, 3],
  );
});

test("hosts: ids by the order of the config, addresses, who is alive", () => {
  const { hosts, self } = specOf("  - { name: a, vips: [192.0.2.10], ports: any }\n", "s2");
  assert.equal(self, 1);
  assert.deepEqual(
    hosts.map(({ id, name, ipv4, mtu, alive }) => [id, name, ipv4, mtu, alive]),
    [
      [0, "s1", 0x0a000101, 1500, true],
      [1, "s2", 0x0a000102, 1500, true],
      [2, "s3", null, 1500, true],
      [3, "s4", 0x0a000104, 1500, false],
    ],
  );
  assert.deepEqual(
    hosts.map(({ ipv6 }) => ipv6),
    [
      [0xfd000000, 0, 0, 1],
      [0xfd000000, 0, 0, 2],
      [0xfd000000, 0, 0, 3],
      [0xfd000000, 0, 0, 4],
    ],
  );
});

test("modes of services, pools that are alike are one, a pool without hosts has empty planes", () => {
  const spec = specOf(`
  - { name: a, vips: [192.0.2.1], ports: any, pool: [s1, s2], hash: source, udp: stateless }
  - { name: b, vips: [192.0.2.2], ports: any, pool: { s1: 1, s2: 3 }, hash: source-port }
  - { name: c, vips: [192.0.2.3], ports: any, pool: [] }
  - { name: d, vips: [192.0.2.4], ports: any, pool: [s4], udp: quic }
`);
  assert.deepEqual(
    spec.services.map(({ name, pool, hash, udp, quic }) => [name, pool, hash, udp, quic?.servers ?? null]),
    [
      ["a", 0, "source", "stateless", null],
      ["b", 0, "source-port", "flow", null],
      ["c", 1, "5-tuple", "flow", null],
      ["d", 1, "5-tuple", "quic", []],
    ],
  );
  const first = new Set(spec.pools[0]!.planes[0]);
  assert.deepEqual([...first].sort(), [0, 1]);
  assert.ok(spec.pools[1]!.planes.every((plane) => plane.every((host) => host === NO_HOST)));
});

test("a draining host is behind the first hop, one that is down nowhere", () => {
  const text = `${HEAD}  - { name: a, vips: [192.0.2.1], ports: any }\n`;
  const chains = configChains(configOf(text)).get("a")!;
  assert.deepEqual(chains.names, ["s1", "s2", "s3"]);
  const { planes } = configTables(configOf(text), "s1").pools[0]!;
  assert.deepEqual([...new Set(planes[0])].sort(), [0, 1]);
  assert.ok(planes[1]!.includes(2));
  assert.ok(planes.every((plane) => !plane.includes(3)));
});
