/** Whose flow is it: every question a target asks, alone and in order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { CONFIG, configOf, type Family, HOST, IPV4, IPV6 } from "../support/fixture.ts";
import * as make from "../support/packets.ts";

const SELF = "10.0.1.11";
const PEER = "10.0.1.12";
const SYN = 0x02;
const ACK = 0x10;
const RST = 0x04;
const NOW = 1_700_000_000;
const spec = configTables(configOf(CONFIG), HOST);

/** Hosts whose kernel says the same of every flow, and how often it was asked. */
class Target extends OfflineHost {
  asked = 0;

  constructor(hasSocket = false) {
    super(spec, "target", {
      hasSocket: () => {
        this.asked++;
        return hasSocket;
      },
    });
    this.memory.now = NOW;
  }
}

const target = (hasSocket = false): Target => new Target(hasSocket);

/** Verdict of one packet in GUE with so many hops left. */
function verdict(host: OfflineHost, packet: Uint8Array, hops: number): string {
  const before = host.verdicts();
  host.take(make.gue(PEER, SELF, packet, { hops: new Array<string>(hops).fill(PEER) }));
  const after = host.verdicts();
  return Object.keys(after).find((name) => after[name] !== before[name])!;
}

const tcp = (f: Family, flags: number, port = 4000): Uint8Array =>
  make.tcp([f.client, port], [f.web, 80], make.filler(4), { flags });
const udp = (f: Family, port = 4000): Uint8Array => make.udp([f.client, port], [f.web, 53], make.filler(4));

for (const f of [IPV4, IPV6]) {
  // The matrix of the kernel's self-test for Cloudflare's redirector.
  for (const known of [true, false]) {
    for (const hops of [0, 1]) {
      for (const [name, packet] of [
        ["SYN", tcp(f, SYN)],
        ["ACK", tcp(f, ACK)],
        ["no flags", tcp(f, 0)],
        ["UDP", udp(f)],
      ] as const) {
        const expected = hops === 0 || known || name === "SYN" ? "delivered" : "next_hop";
        test(`${f.name}: ${name} of ${known ? "a known" : "an unknown"} connection with ${hops} hops is ${expected}`, () => {
          assert.equal(verdict(target(known), packet, hops), expected);
        });
      }
    }
  }

  test(`${f.name}: a flow that began here is known without asking the kernel`, () => {
    const host = target();
    verdict(host, tcp(f, SYN), 1);
    assert.equal(verdict(host, tcp(f, ACK), 1), "delivered");
    verdict(host, tcp(f, SYN, 4001), 0);
    assert.equal(verdict(host, tcp(f, ACK, 4001), 1), "delivered");
    verdict(host, udp(f, 4002), 0);
    assert.equal(verdict(host, udp(f, 4002), 1), "delivered");
    assert.equal(host.asked, 0);
    assert.equal(verdict(host, tcp(f, ACK, 4003), 1), "next_hop", "another flow");
    assert.equal(host.asked, 1);
  });

  test(`${f.name}: the kernel is asked once a second about a flow it does not know, and never again about one it knows`, () => {
    const stranger = target();
    for (let i = 0; i < 5; i++) verdict(stranger, tcp(f, ACK), 1);
    assert.equal(stranger.asked, 1);
    stranger.memory.now = NOW + 1;
    verdict(stranger, tcp(f, ACK), 1);
    assert.equal(stranger.asked, 2);
    const owner = target(true);
    for (let i = 0; i < 5; i++) {
      owner.memory.now = NOW + i;
      assert.equal(verdict(owner, tcp(f, ACK), 1), "delivered");
    }
    assert.equal(owner.asked, 1);
  });

  test(`${f.name}: an ACK completes a SYN-cookie handshake within a minute, when the flow table has lost the flow`, () => {
    const host = target();
    verdict(host, tcp(f, SYN), 0);
    host.memory.flows.words.fill(0);
    assert.equal(verdict(host, tcp(f, ACK | RST), 1), "next_hop");
    assert.equal(verdict(host, tcp(f, ACK), 1), "delivered");
    host.memory.now = NOW + 200;
    assert.equal(verdict(host, tcp(f, ACK), 1), "next_hop");
  });
}

test("many unknown flows in one burst are asked about together, and each gets its own answer", () => {
  const host = new OfflineHost(configTables(configOf(CONFIG), HOST), "target", {
    hasSocket: (p) => ((p.ports >>> 16) & 1) === 0,
  });
  host.memory.now = NOW;
  for (let port = 5000; port < 5400; port++) verdict(host, tcp(IPV4, ACK, port), 1);
  assert.deepEqual(host.verdicts(), { delivered: 200, next_hop: 200 });
});
