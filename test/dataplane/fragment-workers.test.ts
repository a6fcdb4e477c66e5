/** Fragments of one datagram at two workers of a host, which share the fragment table and nothing else. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { CONFIG, configOf, type Family, HOST, IPV4, IPV6, sourcePortOf } from "../support/fixture.ts";
import { MemoryWorker, sharedMemory } from "../support/memory-worker.ts";
import * as make from "../support/packets.ts";

const SPEC = configTables(configOf(CONFIG), HOST);
const [DIP1, DIP2] = ["10.0.1.11", "10.0.1.12"];
const PEER2 = 0x0a00010c;
const PORT = 40_002;

/** A UDP datagram in fragments of 32 bytes. */
function fragments(f: Family, to: string, id: number, count = 4): Uint8Array[] {
  const whole = make.udpDatagram([f.client, PORT], [to, 53], make.filler(32 * count - 8, id));
  return Array.from({ length: count }, (_, i) =>
    make.ip(f.client, to, 17, whole.subarray(i * 32, (i + 1) * 32), { id, offset: i * 32, more: i < count - 1 }),
  );
}

const bracket = (a: string): string => (a.includes(":") ? `[${a}]` : a);
const sourcePort = (f: Family): number => sourcePortOf(CONFIG, `udp ${bracket(f.client)}:${PORT} > ${bracket(f.web)}:53`);
const toS2 = (f: Family, inner: Uint8Array): Uint8Array => make.gue(DIP1, DIP2, inner, { sourcePort: sourcePort(f) });

const hex = (packets: readonly Uint8Array[]): string[] => packets.map((p) => Buffer.from(p).toString("hex"));

interface Pair {
  readonly a: MemoryWorker;
  readonly b: MemoryWorker;
  /** Lets time pass, ms. */
  readonly pass: (ms: number) => void;
}

function workers(t: TestContext): Pair {
  t.mock.timers.enable({ apis: ["Date"], now: 1_700_000_000_000 });
  const shared = sharedMemory();
  return { a: new MemoryWorker(SPEC, shared), b: new MemoryWorker(SPEC, shared), pass: (ms) => t.mock.timers.tick(ms) };
}

for (const f of [IPV4, IPV6]) {
  test(`${f.name}: later fragments wait at one worker and follow the first, which comes to another`, (t) => {
    const { a, b, pass } = workers(t);
    const [first, ...later] = fragments(f, f.web, 7);
    const [second, third, fourth] = later as [Uint8Array, Uint8Array, Uint8Array];
    assert.deepEqual(a.turn(fourth, second), []);
    pass(20);
    assert.deepEqual(a.turn(third), []);
    assert.deepEqual([a.holds, a.verdicts()], [3, {}]);

    assert.deepEqual(hex(b.turn(first!)), hex([toS2(f, first!)]));
    assert.deepEqual([b.holds, b.verdicts()], [0, { forwarded: 1 }]);
    // Nothing comes to the first worker any more: it looks by itself.
    pass(5);
    assert.deepEqual(hex(a.turn()), hex([fourth, second, third].map((p) => toS2(f, p))));
    assert.deepEqual([a.holds, a.verdicts()], [0, { forwarded: 3 }]);
    assert.deepEqual(a.turn(), []);
  });

  test(`${f.name}: what is held leaves in the order it came, also when places have become free in between`, (t) => {
    const { a, b } = workers(t);
    const [one, two] = [fragments(f, f.web, 1), fragments(f, f.web, 2)];
    a.turn(one[1]!, two[1]!);
    b.turn(one[0]!);
    assert.deepEqual(hex(a.turn()), hex([toS2(f, one[1]!)]));
    a.turn(two[2]!, two[3]!);
    b.turn(two[0]!);
    assert.deepEqual(hex(a.turn()), hex(two.slice(1).map((p) => toS2(f, p))));
  });

  test(`${f.name}: after 50 ms without a first one they are orphans, at the worker that held them`, (t) => {
    const { a, b, pass } = workers(t);
    const [first, second, third] = fragments(f, f.web, 7);
    a.turn(second!);
    pass(30);
    a.turn(third!);
    pass(19);
    a.turn();
    assert.deepEqual([a.holds, a.verdicts()], [2, {}]);
    pass(1);
    assert.deepEqual(a.turn(), []);
    assert.deepEqual([a.holds, a.verdicts()], [1, { fragment_orphan: 1 }]);
    pass(30);
    assert.deepEqual(a.turn(), []);
    assert.deepEqual([a.holds, a.verdicts(), b.verdicts()], [0, { fragment_orphan: 2 }, {}]);
    // Too late for those; others of the datagram find it for 5 seconds.
    b.turn(first!);
    pass(5000);
    assert.deepEqual(hex(a.turn(third!)), hex([toS2(f, third!)]));
    pass(1);
    assert.deepEqual(a.turn(third!), []);
    assert.equal(a.holds, 1);
  });

  test(`${f.name}: a worker that stops sends those whose first has come, and counts the others`, (t) => {
    const { a, b } = workers(t);
    const [one, two] = [fragments(f, f.web, 1), fragments(f, f.web, 2)];
    a.turn(one[1]!, two[1]!, two[2]!);
    b.turn(one[0]!);
    assert.deepEqual(hex(a.stop()), hex([toS2(f, one[1]!)]));
    assert.deepEqual([a.holds, a.verdicts()], [0, { forwarded: 1, fragment_orphan: 2 }]);
    b.turn(two[0]!);
    assert.deepEqual(a.turn(), []);
  });

  test(`${f.name}: they share the first one's fate: delivered here, or dropped with its verdict`, (t) => {
    const { a, b } = workers(t);
    const [home, nobody, tiny] = [fragments(f, f.home, 1), fragments(f, f.nobody, 2), fragments(f, f.web, 3)];
    a.turn(home[1]!, nobody[1]!, tiny[1]!);
    assert.equal(a.holds, 3);
    const cut = make.ip(f.client, f.web, 17, make.filler(4), { id: 3, offset: 0, more: true });
    assert.deepEqual(hex(b.turn(home[0]!, nobody[0]!, cut)), hex([home[0]!]));
    assert.deepEqual(hex(a.turn()), hex([home[1]!]));
    for (const worker of [a, b]) assert.deepEqual(worker.verdicts(), { delivered: 1, no_service: 1, fragment_bad: 1 });
  });

  test(`${f.name}: in GUE, sent on along the chain as the first was`, (t) => {
    const { a, b } = workers(t);
    const gueOf = (packet: Uint8Array): Uint8Array => make.gue(DIP2, DIP1, packet, { hops: [DIP2] }).subarray(28);
    const on = (packet: Uint8Array): Uint8Array =>
      make.gue(DIP1, DIP2, packet, { hops: [DIP2], index: 1, sourcePort: sourcePort(f) });
    const [first, second, third] = fragments(f, f.web, 7);
    assert.deepEqual(a.fromPeer(PEER2, gueOf(third!), gueOf(second!)), []);
    assert.equal(a.holds, 2);
    assert.deepEqual(hex(b.fromPeer(PEER2, gueOf(first!))), hex([on(first!)]));
    assert.deepEqual(hex(a.turn()), hex([on(third!), on(second!)]));
    assert.deepEqual(a.verdicts(), { next_hop: 2 });
  });
}

test("a worker holds 32 at a time: the next is an orphan at once", (t) => {
  const { a, b } = workers(t);
  const many = fragments(IPV4, IPV4.web, 7, 40);
  a.turn(...many.slice(1, 34));
  assert.deepEqual([a.holds, a.verdicts()], [32, { fragment_orphan: 1 }]);
  b.turn(many[0]!);
  assert.equal(a.turn().length, 32);
  assert.deepEqual(a.verdicts(), { fragment_orphan: 1, forwarded: 32 });
});
