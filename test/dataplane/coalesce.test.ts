/** Putting packets together for the kernel: what it takes apart again must be what comes out one packet at a time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { COALESCED_MOST, createCoalescer } from "../../src/dataplane/coalesce.ts";
import { type Context, createContext, flush } from "../../src/dataplane/context.ts";
import { createFlowMemory } from "../../src/dataplane/flow-memory.ts";
import { settleHeld } from "../../src/dataplane/fragments.ts";
import { HELD_BYTES } from "../../src/dataplane/held-fragments.ts";
import { plainQuestions } from "../../src/dataplane/socket-questions.ts";
import { receiveGue } from "../../src/dataplane/target.ts";
import { NativeVerifier } from "../../src/io/checksums.ts";
import { addToBurst, createBurst, memoryKernel, memoryPeers, memoryVerifier } from "../../src/io/memory.ts";
import {
  CHECK_GOOD,
  CHECK_STRIDE,
  type ChecksumVerifier,
  createTxQueue,
  HEADROOM,
  type PacketSink,
  RX_GSO_SIZE,
  RX_PEER,
  RX_TRAFFIC_CLASS,
  TX_STRIDE,
  type TxQueue,
  UP_STRIDE,
} from "../../src/io/packet-io.ts";
import { plainTables } from "../../src/replay/offline-host.ts";
import { countersBytes, workerBlock } from "../../src/shm/counters.ts";
import { flowTableBytes, viewFlows } from "../../src/shm/flow-table.ts";
import { FRAGMENTS_BYTES, viewFragments } from "../../src/shm/fragment-table.ts";
import { SYNS_BYTES, viewSyns } from "../../src/shm/syn-memory.ts";
import { VERDICT_NAMES } from "../../src/shm/verdict.ts";
import { viewOf } from "../../src/wire/bytes.ts";
import {
  ACK,
  type Burst,
  FIN,
  type Gue,
  oddZero,
  peerWords,
  randomBursts,
  SYN,
  tcpFlow,
  tcpPacket,
  udpFlow,
  udpPacket,
  wrap,
} from "../support/bursts.ts";
import { CONFIG, configOf, HOST, IPV4, IPV6 } from "../support/fixture.ts";
import { hexOf, isV4, transportOf } from "../support/naive.ts";
import { checksum } from "../support/packets.ts";
import { seededRandom } from "../support/random.ts";
import { finishPacket, leftOpen, segmented, type Write } from "../support/segmenter.ts";

const EGRESS = `${CONFIG}egress:
  - { ip: 198.51.100.99, sliceSize: 2048, owners: { s1: [1, 4], s2: [2] } }
  - { ip: "2001:db8:e::99", sliceSize: 2048, owners: { s1: [1, 4], s2: [2] } }
`;
const spec = configTables({ ...configOf(EGRESS), table: { size: 4099, drainSeconds: 300 } }, HOST);

const RECORDS = 128;
const SLOT = HEADROOM + 65_536 + 64;
const SCRATCH = 65_536;
const FLOWS = 4096;

interface Room {
  readonly messages: number;
  readonly pairs: number;
  /** Packets that can wait. */
  readonly waiting: number;
}
/** As a worker has it. */
const ROOM: Room = { messages: 1024, pairs: 2 * COALESCED_MOST, waiting: COALESCED_MOST };

type MakeVerifier = (pool: Uint8Array, packets: number) => ChecksumVerifier;
const plainVerifier: MakeVerifier = (pool, packets) => memoryVerifier(viewOf(pool), packets);
const nativeVerifier: MakeVerifier = (pool, packets) => new NativeVerifier(pool, packets);

/** A target in plain memory. */
class Target {
  readonly context: Context;
  readonly pool = new Uint8Array(RECORDS * SLOT + SCRATCH + HELD_BYTES);
  writes: Write[] = [];
  sent: string[] = [];
  readonly #burst = createBurst(RECORDS);
  readonly #counters = workerBlock(new ArrayBuffer(countersBytes(1)), 0);

  /** `rate` is how many new flows a second it can remember. */
  constructor(verifier: MakeVerifier | null, room = ROOM, tcp = true, udp = true, rate = FLOWS) {
    const { pool } = this;
    const queue = createTxQueue(UP_STRIDE, room.messages, room.pairs, 1);
    const kernel: PacketSink = { queue, flush: () => this.#write(queue) };
    const peers = memoryPeers(
      pool,
      createTxQueue(TX_STRIDE, 256, 1024, 16),
      { ipv4: 0x0a00010b, ipv6: [0, 0, 0, 0], guePort: 6080 },
      (packet) => this.sent.push(hexOf(packet)),
    );
    const memory = createFlowMemory(
      viewFlows(new ArrayBuffer(flowTableBytes(FLOWS)), rate),
      viewSyns(new ArrayBuffer(SYNS_BYTES)),
      viewFragments(new ArrayBuffer(FRAGMENTS_BYTES)),
      plainQuestions((p) => ((p.ports >>> 16) & 1) === 0),
      true,
    );
    const [from, to] = [RECORDS * SLOT, RECORDS * SLOT + SCRATCH];
    const origin = memoryKernel(pool, createTxQueue(UP_STRIDE, 64, 64, 1), (packet) => this.sent.push(hexOf(packet)));
    this.context = createContext(viewOf(pool), this.#counters, plainTables(spec), peers, kernel, origin, from, to, memory);
    if (verifier !== null) this.context.coalescer = createCoalescer(verifier(pool, room.waiting), tcp, udp);
  }

  take(burst: Burst): void {
    this.#burst.count = 0;
    let slot = 0;
    for (const { datagrams, size, trafficClass, peer } of burst) {
      const all = Buffer.concat(datagrams);
      const at = slot++ * SLOT + HEADROOM;
      this.pool.set(all, at);
      const r = addToBurst(this.#burst, at, all.length);
      this.#burst.records[r + RX_GSO_SIZE] = size;
      this.#burst.records[r + RX_TRAFFIC_CLASS] = trafficClass;
      this.#burst.records.set(peerWords(peer), r + RX_PEER);
    }
    receiveGue(this.context, this.#burst);
    settleHeld(this.context);
    flush(this.context);
  }

  packets(): Uint8Array[] {
    return this.writes.flatMap((write) => write.packets);
  }

  /** Packets that went with others. */
  joined(): number {
    return this.writes.reduce((sum, { packets }) => sum + (packets.length > 1 ? packets.length : 0), 0);
  }

  verdicts(): Record<string, number> {
    return Object.fromEntries(VERDICT_NAMES.map((name, i) => [name, this.#counters[i]!]));
  }

  #write(queue: TxQueue): number {
    this.writes.push(...segmented(this.pool, queue));
    queue.count = 0;
    queue.iovCount = 0;
    return 0;
  }
}

const ANY = "any flow";

/** The flow of a packet; fragments may be of any. */
function flowOf(packet: Uint8Array): string {
  const addresses = hexOf(isV4(packet) ? packet.subarray(12, 20) : packet.subarray(8, 40));
  const { l4, protocol, later } = transportOf(packet);
  const fragment = isV4(packet) ? (((packet[6]! << 8) | packet[7]!) & 0x3fff) !== 0 : packet[6] === 44;
  if (later || fragment) return ANY;
  if (protocol !== 6 && protocol !== 17) return `${addresses} ${protocol}`;
  return `${addresses} ${protocol} ${hexOf(packet.subarray(l4, l4 + 4))}`;
}

/** The packets of each flow, in order, and with those that may be of any flow among them. */
function byFlow(packets: readonly Uint8Array[]): Map<string, Uint8Array[]> {
  const keys = packets.map(flowOf);
  const flows = new Map([...new Set(keys)].map((key) => [key, [] as Uint8Array[]]));
  packets.forEach((packet, i) => {
    if (keys[i] !== ANY) flows.get(keys[i]!)!.push(packet);
    else for (const list of flows.values()) list.push(packet);
  });
  return flows;
}

/**
 * Whether a packet is as it was. Identifications that stay, with DF, may count up when the kernel takes packets apart, which
 * means nothing (RFC 6864, 4.1); virtio has no word for it. `before` is the one before in the flow.
 */
function isSame(a: Uint8Array, b: Uint8Array, before: Uint8Array | undefined): boolean {
  if (Buffer.compare(a, b) === 0) return true;
  if (!isV4(a) || a.length !== b.length || a[0] !== 0x45 || (a[6]! & b[6]! & 0x40) === 0) return false;
  if (before === undefined || b[4] !== before[4] || b[5] !== before[5]) return false;
  const c = a.slice();
  c.set(b.subarray(4, 6), 4);
  finishPacket(c, 20, c[9]!);
  return Buffer.compare(c, b) === 0;
}

/** Fails when the target with a coalescer does not do what it does without. */
function compare(together: Target, alone: Target): void {
  assert.deepEqual(together.verdicts(), alone.verdicts(), "verdicts");
  assert.deepEqual(together.sent, alone.sent, "what goes on to others");
  const [got, expected] = [byFlow(together.packets()), byFlow(alone.packets())];
  assert.deepEqual([...got.keys()].sort(), [...expected.keys()].sort(), "flows");
  for (const [flow, packets] of expected) {
    const mine = got.get(flow)!;
    const at = packets.findIndex((packet, i) => mine[i] === undefined || !isSame(mine[i]!, packet, packets[i - 1]));
    if (at >= 0) assert.equal(hexOf(mine[at] ?? new Uint8Array()), hexOf(packets[at]!), `packet ${at} of flow ${flow}`);
    assert.equal(mine.length, packets.length, `packets of flow ${flow}`);
  }
}

function both(bursts: readonly Burst[], verifier: MakeVerifier, room = ROOM, tcp = true, udp = true): Target {
  const [together, alone] = [new Target(verifier, room, tcp, udp), new Target(null, room)];
  for (const burst of bursts) {
    together.take(burst);
    alone.take(burst);
    compare(together, alone);
    assert.ok(
      alone.writes.every(({ packets }) => packets.length === 1),
      "one packet at a time",
    );
  }
  return together;
}

const ROUNDS = 60;

for (const [name, verifier] of [
  ["TypeScript", plainVerifier],
  ["the addon", nativeVerifier],
] as const) {
  test(`random bursts come out of the kernel as they came in, verified by ${name}`, () => {
    let [joined, all, longest] = [0, 0, 0];
    for (let round = 0; round < ROUNDS; round++) {
      const target = both(randomBursts(round, 4), verifier);
      joined += target.joined();
      all += target.packets().length;
      longest = Math.max(longest, ...target.writes.map(({ length }) => length));
    }
    assert.ok(all > 8000, `${all} packets`);
    assert.ok(joined > all / 4, `${joined} of ${all} packets joined`);
    assert.ok(longest > 20_000, `the longest write has ${longest} bytes`);
  });
}

test("random bursts come out as they came in where little has room", () => {
  const random = seededRandom(77);
  for (let round = 0; round < 30; round++) {
    const room = { messages: 1 + random(6), pairs: 1 + random(20), waiting: 1 + random(24) };
    both(randomBursts(1000 + round, 3), plainVerifier, room);
  }
});

test("protocols that are not put together go one packet at a time", () => {
  for (const protocol of [6, 17]) {
    let joined = 0;
    for (let round = 0; round < 12; round++) {
      const target = both(randomBursts(2000 + round, 2), plainVerifier, ROOM, protocol === 6, protocol === 17);
      const supers = target.writes.filter(({ packets }) => packets.length > 1);
      assert.ok(supers.every(({ packets }) => transportOf(packets[0]!).protocol === protocol));
      joined += supers.length;
    }
    assert.ok(joined > 10, `${joined} super-segments of protocol ${protocol}`);
  }
});

const alone = (...datagrams: readonly Gue[]): Burst =>
  datagrams.map((bytes) => ({ datagrams: [bytes], size: 0, trafficClass: 0, peer: "10.0.1.12" }));

for (const family of [IPV4, IPV6]) {
  test(`${family.name}: a train ends at 65,535 bytes`, () => {
    // 65,536 and 65,535 bytes, if all went into one.
    const headers = family === IPV4 ? 40 : 60;
    let longest = 0;
    for (const size of [1, 7, 900, 1448, 9000, (65_536 - headers) / 4, (65_535 - headers) / 5, 32_747]) {
      const flow = tcpFlow(family, 40_000, family.home);
      const bursts = [];
      for (let left = 2 * Math.ceil(65_535 / size); left > 0; left -= RECORDS) {
        bursts.push(alone(...Array.from({ length: Math.min(left, RECORDS) }, () => wrap(tcpPacket(flow, size)))));
        if (bursts.length > 4) break;
      }
      const target = both(bursts, plainVerifier);
      assert.ok(size > 32_740 || target.joined() > 0, `${size}: joined`);
      longest = Math.max(longest, ...target.writes.map(({ length }) => length));
    }
    assert.equal(longest, 65_535);
  });

  test(`${family.name}: more packets in a burst than may wait, and than one write takes`, () => {
    const flow = tcpFlow(family, 40_000, family.home);
    const udp = udpFlow(family, 40_002, family.home);
    const records: Burst = Array.from({ length: 40 }, (_, k) => {
      const datagrams = Array.from({ length: 200 }, () => wrap(k % 5 === 4 ? udpPacket(udp, 20) : tcpPacket(flow, 20)));
      return { datagrams, size: datagrams[0]!.length, trafficClass: 0, peer: "10.0.1.12" };
    });
    const target = both([records], nativeVerifier);
    const counts = target.writes.map(({ packets }) => packets.length);
    assert.equal(target.packets().length, 8000);
    assert.ok(Math.max(...counts) === 512, `${Math.max(...counts)} packets in a write`);
    assert.ok(target.joined() > 7900, `${target.joined()} joined`);
  });
}

for (const family of [IPV4, IPV6]) {
  test(`${family.name}: checksums that the sender's kernel left open are finished by ours`, () => {
    for (const [flow, make] of [
      [tcpFlow(family, 40_000, family.home), tcpPacket],
      [udpFlow(family, 40_002, family.home), udpPacket],
    ] as const) {
      const good = [100, 1400, 1400, 1400, 1400, 7, 20_000].map((size) => make(flow, size));
      const open = good.map(leftOpen);
      // Alone, after each other as a train would, between good ones, and a super-segment whose packets nobody tells of.
      const mixed = [open[0]!, ...open.slice(1, 4), good[4]!, open[5]!, open[6]!];
      for (const one of [mixed, ...open.map((packet) => [packet])]) {
        const target = both([alone(...one.map((packet) => wrap(packet)))], nativeVerifier);
        const whole = one === mixed ? good : [good[open.indexOf(one[0]!)]!];
        assert.deepEqual(target.packets().map(hexOf), whole.map(hexOf));
      }
      // A host that is asked whether the flow is its own, and is the next hop itself.
      const further = both([alone(wrap(open[0]!, ["10.0.1.11"]))], plainVerifier);
      assert.deepEqual(further.packets().map(hexOf), [hexOf(good[0]!)]);
    }
  });
}

test("the addon verifies checksums of all lengths, wherever they lie", () => {
  const random = seededRandom(5);
  const pool = new Uint8Array(70_000);
  const verifiers = [nativeVerifier(pool, 8), plainVerifier(pool, 8)];
  for (let round = 0; round < 600; round++) {
    const fill = random(4);
    for (let i = 0; i < pool.length; i += fill < 2 ? 1 : 97) pool[i] = fill === 0 ? 0xff : random(256);
    const length = random(10) === 0 ? random(65_000) : random(300);
    const [start, pseudo, good] = [1 + random(4000), random(65_536), random(3) > 0];
    if (length < 2) continue;
    const field = start + 2 * random(length >> 1);
    pool.set([0, 0], field);
    const open = (~checksum(pool.subarray(start, start + length)) & 0xffff) + pseudo;
    const sum = (~((open & 0xffff) + (open >>> 16)) + (good ? 0 : 1 + random(0xfffe))) & 0xffff;
    pool.set([sum >> 8, sum & 255], field);
    const expected = (open + sum) % 0xffff === 0 && open + sum > 0 ? 1 : 0;
    for (const v of verifiers) {
      v.checks.set([start, length, pseudo, 7, 0, 0, 0, 0], CHECK_STRIDE);
      v.checks.fill(0, 0, CHECK_STRIDE);
      v.checks[CHECK_GOOD] = 7;
      v.verify(2);
      assert.deepEqual([v.checks[CHECK_GOOD], v.checks[CHECK_STRIDE + CHECK_GOOD]], [7, expected], `${length} bytes at ${start}`);
    }
  }
});

test("checksums that are the other zero of one's complement come out as they came", () => {
  for (const at of [0, 1, 2]) {
    const flow = tcpFlow(IPV4, 40_000, IPV4.home);
    const v = viewOf(tcpPacket({ ...flow, id: 0 }, 500));
    flow.id = v.getUint16(10) - at;
    flow.ones = true;
    const packets = Array.from({ length: 6 }, () => tcpPacket(flow, 500));
    assert.equal(viewOf(packets[at]!).getUint16(10), 0xffff);
    const target = both([alone(...packets.map((packet) => wrap(packet)))], plainVerifier);
    assert.ok(target.joined() >= 3);
    for (const next of [tcpFlow, udpFlow]) {
      for (const family of [IPV4, IPV6]) {
        const f = next(family, 40_000, family.home);
        const l4 = family === IPV4 ? 20 : 40;
        const [field, odd] = f.protocol === 6 ? [l4 + 16, 0xffff] : [l4 + 6, 0];
        const some = Array.from({ length: 6 }, () => (f.protocol === 6 ? tcpPacket(f, 500) : udpPacket(f, 500)));
        oddZero(some[at]!, field, l4 + 100, () => finishPacket(some[at]!, l4, f.protocol));
        assert.equal(viewOf(some[at]!).getUint16(field), odd);
        assert.ok(both([alone(...some.map((packet) => wrap(packet)))], plainVerifier).joined() >= 3);
      }
    }
  }
});

test("a FIN is asked about like one that comes alone, where only the SYN of its flow is known", () => {
  const flow = tcpFlow(IPV4, 40_001, IPV4.home);
  const hops = ["10.0.1.12"];
  const syn = wrap(tcpPacket(flow, 0, SYN), hops);
  flow.sequence++;
  const [asked, data, fin] = [ACK, ACK, ACK | FIN].map((flags) => wrap(tcpPacket(flow, 100, flags), hops));
  const train = { datagrams: [data!, fin!], size: data!.length, trafficClass: 0, peer: "10.0.1.12" };
  const targets = [plainVerifier, null].map((verifier) => new Target(verifier, ROOM, true, true, 0));
  for (const target of targets) for (const burst of [alone(syn), alone(asked!), [train]]) target.take(burst);
  compare(targets[0]!, targets[1]!);
  assert.equal(targets[0]!.verdicts().next_hop, 1);
});
