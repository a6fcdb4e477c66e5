import assert from "node:assert/strict";
import { test } from "node:test";
import { effectiveConfig, parseConfig } from "../../src/control/config.ts";
import { configTables } from "../../src/control/offline.ts";
import { configOf } from "../support/fixture.ts";

const config = (ids: readonly string[], service: string): string =>
  `cluster: q
seed: 0123456789abcdef0123456789abcdef
hosts:
${ids.map((id, i) => `  - { name: s${i + 1}, dip: 10.0.1.${i + 1}${id === "" ? "" : `, serverId: ${id}`} }`).join("\n")}
services:
  - { name: web, vips: [192.0.2.10], ports: { udp: 443 }, ${service} }
`;

function errors(text: string): string[] {
  const result = parseConfig(text, "c.yaml");
  return "errors" in result ? result.errors : [];
}

test("server ids are numbers or hex; without them, and outside quic services, there are none", () => {
  const read = configOf(config(["0x0102", "258000", '"0xfFFFffff"', ""], "udp: quic, quic: { length: 4 }"));
  assert.deepEqual(
    read.hosts.map(({ serverId }) => serverId),
    [258, 258000, 0xffffffff, null],
  );
  assert.deepEqual(read.services[0]!.quic, { offset: 1, length: 4, selfLength: false });
  assert.deepEqual(configOf(config([""], "udp: quic")).services[0]!.quic, { offset: 1, length: 2, selfLength: false });
  assert.equal(configOf(config(["7"], "udp: flow")).services[0]!.quic, null);
});

test("what `check --effective` prints is the same config", () => {
  const read = configOf(config(["0x0102", "", "3"], "udp: quic, quic: { offset: 4, length: 3, selfLength: true }"));
  assert.deepEqual(configOf(effectiveConfig(read)), read);
  const flow = configOf(config([""], "udp: flow"));
  assert.deepEqual(configOf(effectiveConfig(flow)), flow);
});

const FORM = "(write a number from 0 to 4294967295, or hex like 0x0102)";
const BAD: [what: string, ids: string[], service: string, ...lines: string[]][] = [
  ["a server id that is none", ["s1"], "udp: quic", `hosts[0].serverId: "s1" is not a server id ${FORM}`],
  ["a server id too large", ["4294967296"], "udp: quic", `hosts[0].serverId: 4294967296 is not a server id ${FORM}`],
  ["hex that is not marked", ["01ab"], "udp: quic", `hosts[0].serverId: "01ab" is not a server id ${FORM}`],
  [
    "a server id used twice",
    ["258", "0x0102"],
    "udp: quic",
    "hosts[1].serverId: 0x102 is the server id of hosts[0] already (each host has its own)",
  ],
  [
    "a server id that does not fit",
    ["0x0102"],
    "udp: quic, quic: { length: 1 }",
    'services[0].quic.length: 1 bytes do not hold 0x102, the server id of host "s1" (write a larger length)',
  ],
  [
    "a layout in a service that is not quic",
    ["1"],
    "quic: { length: 1 }",
    "services[0].quic: is read in services with udp: quic only, this one has udp: flow (remove it, or write udp: quic)",
  ],
  [
    "a layout longer than a connection ID",
    ["1"],
    "udp: quic, quic: { offset: 18, length: 4 }",
    "services[0].quic: reaches beyond 20 bytes, the longest connection ID (offset and length together are at most 20)",
  ],
  [
    "offset 0, where the first octet is",
    ["1"],
    "udp: quic, quic: { offset: 0 }",
    "services[0].quic.offset: 0 is not valid here (write a whole number from 1 to 19)",
  ],
  ["a misspelt key", ["1"], "udp: quic, quic: { lenght: 2 }", 'services[0].quic.lenght: unknown key (did you mean "length"?)'],
];
for (const [what, ids, service, ...lines] of BAD) {
  test(`refused: ${what}`, () => {
    assert.deepEqual(
      errors(config(ids, service)),
      lines.map((line) => `c.yaml: ${line}`),
    );
  });
}

test("tables name the hosts of the pool that have an id and are not down", () => {
  const text = config(["1", "2", "", "4"], "pool: { s1: 1, s2: 0, s3: 1 }, udp: quic, quic: { length: 1 }");
  assert.deepEqual(configTables(configOf(text), "s1").services[0]!.quic?.servers, [
    [1, 0],
    [2, 1],
  ]);
  const down = text.replace("10.0.1.2,", "10.0.1.2, state: down,");
  assert.deepEqual(configTables(configOf(down), "s1").services[0]!.quic?.servers, [[1, 0]]);
});

test("the effective config of several QUIC services can be read again, as an agent that takes over does", () => {
  const service = (name: string, i: number): string =>
    `- { name: ${name}, vips: [192.0.2.${i}], ports: { udp: [443] }, udp: quic }\n`;
  const config = configOf(`cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11, serverId: 1 }]
services:
${service("a", 10)}${service("b", 11)}`);
  const again = parseConfig(effectiveConfig(config), "again");
  assert.ok("config" in again, JSON.stringify(again));
  assert.deepEqual(again.config.services, config.services);
});
