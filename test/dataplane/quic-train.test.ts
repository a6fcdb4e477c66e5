/** A super-segment of QUIC whose datagrams go different ways, some of them to whoever owns their flow. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { GSO_UDP_L4, RX_GSO_SIZE, RX_GSO_TYPE } from "../../src/io/packet-io.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { configOf, HOST } from "../support/fixture.ts";
import * as make from "../support/packets.ts";

const CONFIG = `cluster: trains
seed: 000102030405060708090a0b0c0d0e0f
hosts:
  - { name: s1, dip: 10.0.1.11, serverId: 1 }
  - { name: s2, dip: 10.0.1.12, serverId: 2, state: draining }
  - { name: s3, dip: 10.0.1.13, serverId: 3 }
services:
  - name: quic
    vips: [192.0.2.10]
    ports: { udp: [443] }
    pool: { s1: 1, s2: 1, s3: 0 }
    udp: quic
    quic: { offset: 1, length: 2 }
`;

const named = (id: number): Uint8Array => make.bytes(0x40, 0x07, 0, id, 1, 2, 3, 4);
const unnamed = make.bytes(0x40, 0xe7, 0, 3, 1, 2, 3, 4);
const datagram = (port: number, payload: Uint8Array): Uint8Array =>
  make.udp(["198.51.100.7", port], ["192.0.2.10", 443], payload);

test("datagrams that go by the flow wait for its owner together with the others, and none leaves twice", () => {
  const spec = configTables(configOf(CONFIG), HOST);
  for (const found of [false, true]) {
    const host = new OfflineHost(spec, "director", { hasSocket: () => found });
    // A port whose bucket went from s2, which drains, to this host: the kernel is asked whether the flow is here.
    const verdictOf = (port: number): string => {
      const one = new OfflineHost(spec, "director");
      one.take(datagram(port, unnamed));
      return one.lastVerdict();
    };
    const port = Array.from({ length: 200 }, (_, i) => 50_000 + i).find((p) => verdictOf(p) === "forwarded")!;
    const parts = [named(3), unnamed, unnamed, named(3), unnamed, named(1)];
    const out = host.take(datagram(port, make.concat(...parts)), { [RX_GSO_TYPE]: GSO_UDP_L4, [RX_GSO_SIZE]: 8 });
    assert.deepEqual(host.verdicts(), found ? { forwarded: 2, delivered: 4 } : { forwarded: 5, delivered: 1 });
    const toPeers = out
      .filter((packet) => packet[16] === 10)
      .map((packet) => `${packet[19]}: ${Buffer.from(packet.subarray(-8)).toString("hex")}`);
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    const [third, second] = [`13: ${hex(named(3))}`, `12: ${hex(unnamed)}`];
    assert.deepEqual(toPeers.sort(), (found ? [third, third] : [second, second, second, third, third]).sort());
    const here = out.filter((packet) => packet[16] === 192).map((packet) => hex(packet.subarray(28)));
    const own = [hex(named(1)), ...(found ? [hex(make.concat(unnamed, unnamed)), hex(unnamed)] : [])];
    assert.deepEqual(here.sort(), own.sort());
  }
});
