/** The fast path against the long way: a packet whose checksum the network card is to finish takes the long one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { createParsed } from "../../src/dataplane/parsed.ts";
import { RX_CSUM_OFFSET, RX_CSUM_START, RX_FLAGS, RX_NEEDS_CSUM } from "../../src/io/packet-io.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { load, type TablesSpec, tablesBytes, writeTables } from "../../src/shm/forwarding-table.ts";
import { CONFIG, configOf, type Family, HOST, IPV4, IPV6 } from "../support/fixture.ts";
import * as make from "../support/packets.ts";
import { seededRandom } from "../support/random.ts";

const spec = configTables(configOf(CONFIG), HOST);
const SYN = 0x02;
const ACK = 0x10;

/** Takes a packet; tells what left and whether it went the fast way, which has no packet in hand. */
function take(host: OfflineHost, packet: Uint8Array, offloads: Readonly<Record<number, number>> = {}) {
  const inHand = createParsed();
  host.context.parsed = inHand;
  const out = host.take(packet, offloads);
  return { out, fast: host.context.parsed === inHand };
}

/** The packet as a sender's kernel leaves it to its network card: the checksum field has the pseudo-header's sum. */
function unfinished(packet: Uint8Array, { client }: Family, vip: string): [Uint8Array, Record<number, number>] {
  const frame = packet.slice();
  const l4 = frame[0]! >> 4 === 4 ? 20 : 40;
  const length = frame.length - l4;
  const addresses = make.concat(make.address(client), make.address(vip));
  const sum = ~make.checksum(make.concat(addresses, make.bytes(0, 6, length >> 8, length & 255))) & 0xffff;
  frame.set([sum >> 8, sum & 255], l4 + 16);
  return [frame, { [RX_FLAGS]: RX_NEEDS_CSUM, [RX_CSUM_START]: l4, [RX_CSUM_OFFSET]: 16 }];
}

test("packets of known flows leave by the fast path as they do by the long one, and count alike", () => {
  const random = seededRandom(11);
  const [quick, slow] = [new OfflineHost(spec, "director"), new OfflineHost(spec, "director")];
  for (const host of [quick, slow]) host.now = 1_000_000;
  let fast = 0;
  for (let flow = 0; flow < 400; flow++) {
    const family = random(2) === 0 ? IPV4 : IPV6;
    const [from, to]: [make.End, make.End] = [
      [family.client, 1024 + random(60_000)],
      [family.web, 80],
    ];
    const tos = random(256);
    const packet = (flags: number, payload: number): Uint8Array =>
      make.tcp(from, to, make.filler(payload, flow), { flags, sequence: random(2 ** 32), ip: { tos } });
    const begin = packet(SYN, 0);
    assert.deepEqual(take(quick, begin).out, take(slow, begin).out);
    for (const flags of [ACK, ACK | 0x08, ACK | 0x01, 0x04, SYN | ACK]) {
      const data = packet(flags, random(1400));
      const one = take(quick, data);
      const other = take(slow, ...unfinished(data, family, family.web));
      assert.equal(other.fast, false);
      assert.deepEqual(one.out, other.out);
      assert.equal(quick.lastVerdict(), slow.lastVerdict());
      if (one.fast) {
        fast++;
        assert.equal(quick.lastVerdict(), "forwarded");
      }
    }
  }
  assert.ok(fast > 1000, `${fast} packets took the fast path`);
  assert.deepEqual(quick.context.counters, slow.context.counters);
  assert.deepEqual(quick.memory.flows.words, slow.memory.flows.words);
});

test("what the fast path does not take goes the long way", () => {
  const host = new OfflineHost(spec, "director");
  const from: make.End = [IPV4.client, 4000];
  const packet = (flags: number, payload = 0, source = from): Uint8Array =>
    make.tcp(source, [IPV4.web, 80], make.filler(payload), { flags });
  const port = Array.from({ length: 100 }, (_, i) => 4000 + i).find((p) => {
    host.take(packet(SYN, 0, [IPV4.client, p]));
    return host.lastVerdict() === "forwarded";
  })!;
  const source: make.End = [IPV4.client, port];
  const known = packet(ACK, 100, source);
  assert.equal(take(host, known).fast, true);
  assert.equal(take(host, packet(SYN, 0, source)).fast, false, "a SYN");
  assert.equal(take(host, packet(ACK, 0, [IPV4.client, 999])).fast, false, "a flow that is not known");
  const use = (tables: TablesSpec): void => {
    const buffer = new ArrayBuffer(tablesBytes(tables));
    writeTables(buffer, tables);
    load(host.tables, buffer);
  };
  use({ ...spec, hosts: spec.hosts.map((one) => ({ ...one, mtu: 120 })) });
  assert.equal(take(host, known).fast, false, "a packet that does not fit the path");
  use(spec);
  assert.equal(take(host, known).fast, true);
  use({ ...spec, hosts: spec.hosts.map((one) => ({ ...one, alive: false })) });
  assert.equal(take(host, known).fast, false, "a flow of a host that is down");
  const off = new OfflineHost(spec, "director", { directorFlows: false });
  off.take(packet(SYN, 0, source));
  assert.equal(take(off, known).fast, false, "without flow tables");
});
