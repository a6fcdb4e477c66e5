import assert from "node:assert/strict";
import { test } from "node:test";
import { type Chain, createChain, dropFirst, setChain } from "../../src/dataplane/chain.ts";
import { createFlowMemory, type FlowMemory } from "../../src/dataplane/flow-memory.ts";
import { createParsed, type Parsed } from "../../src/dataplane/parsed.ts";
import { plainQuestions } from "../../src/dataplane/socket-questions.ts";
import { plainTables } from "../../src/replay/offline-host.ts";
import { flowTableBytes, viewFlows } from "../../src/shm/flow-table.ts";
import type { TablesSpec } from "../../src/shm/forwarding-table.ts";
import { FRAGMENTS_BYTES, viewFragments } from "../../src/shm/fragment-table.ts";
import { SYNS_BYTES, viewSyns } from "../../src/shm/syn-memory.ts";
import { NO_HOST } from "../../src/steering/maglev.ts";

const NOW = 1_700_000_000;
const SYN = 0x02;
const ACK = 0x10;
const TCP = 0x406;
const UDP = 0x411;

/** Tables of a single bucket with the given chain; hosts 0 to 5, of which `down` are not alive. Service 0 is `flow`, 1 is stateless. */
function tables(chain: readonly number[], down: readonly number[] = []) {
  const hosts = Array.from({ length: 6 }, (_, id) => ({
    id,
    name: `s${id}`,
    ipv4: 100 + id,
    ipv6: null,
    mtu: 1500,
    alive: !down.includes(id),
  }));
  const planes = Array.from({ length: 4 }, (_, hop) => Uint16Array.of(chain[hop] ?? NO_HOST));
  const services = (["flow", "stateless"] as const).map((udp, id) => ({
    id,
    name: udp,
    pool: 0,
    hash: "5-tuple" as const,
    udp,
    quic: null,
  }));
  const none = { vips: [], egress: [] };
  const spec: TablesSpec = {
    generation: 1,
    tableSize: 1,
    self: 5,
    flowKey: [1, 2],
    guePort: 6080,
    hosts,
    services,
    pools: [{ planes }],
    ...none,
  };
  return plainTables(spec);
}

function memory(directs = true): FlowMemory {
  const flows = viewFlows(new ArrayBuffer(flowTableBytes(1000)), 1000);
  const m = createFlowMemory(
    flows,
    viewSyns(new ArrayBuffer(SYNS_BYTES)),
    viewFragments(new ArrayBuffer(FRAGMENTS_BYTES)),
    plainQuestions(() => false),
    directs,
  );
  m.now = NOW;
  return m;
}

function packet(kind: number, flags = 0): Parsed {
  return Object.assign(createParsed(), { version: 4, kind, protocol: kind & 255, tcpFlags: flags, hash: 77, hash2: 88 });
}

function chainFor(m: FlowMemory, t: ReturnType<typeof tables>, p: Parsed, service = 0): number[] {
  const chain: Chain = createChain();
  setChain(chain, m, t, service, 0, p);
  return chain.first === NO_HOST ? [] : [chain.first, ...chain.hops.subarray(0, chain.count)];
}

test("a SYN goes to the first hop alone, and its flow with it from then on, whatever the table says", () => {
  const m = memory();
  assert.deepEqual(chainFor(m, tables([1, 2, 3]), packet(TCP, SYN)), [1]);
  assert.deepEqual(chainFor(m, tables([2, 1]), packet(TCP, ACK)), [1]);
  assert.deepEqual(chainFor(m, tables([2, 3]), packet(TCP, ACK)), [1], "also when it has left the chain");
});

test("an unknown flow carries all hosts of its bucket, and a guess is no reason to leave them out", () => {
  const m = memory();
  assert.deepEqual(chainFor(m, tables([1, 2, 3, 4]), packet(TCP, ACK)), [1, 2, 3, 4]);
  assert.deepEqual(chainFor(m, tables([1, 2, 3, 4]), packet(TCP, ACK)), [1, 2, 3, 4]);
  assert.deepEqual(chainFor(m, tables([4, 1]), packet(TCP, ACK)), [1, 4], "the guess stays first");
  assert.deepEqual(chainFor(memory(), tables([1]), packet(TCP, ACK)), [1], "a chain of one needs no hops");
});

test("a SYN sent again goes where it went; one of a new connection on old ports goes by the table", () => {
  const m = memory();
  chainFor(m, tables([1]), packet(TCP, SYN));
  assert.deepEqual(chainFor(m, tables([2, 1]), packet(TCP, SYN)), [1]);
  chainFor(m, tables([2, 1]), packet(TCP, ACK));
  assert.deepEqual(chainFor(m, tables([2, 1]), packet(TCP, SYN)), [2]);
  assert.deepEqual(chainFor(m, tables([1, 2]), packet(TCP, ACK)), [2]);
});

test("a SYN that comes long after the last is of a new connection, also when nothing else was seen of the old one", () => {
  const m = memory();
  chainFor(m, tables([1]), packet(TCP, SYN));
  m.now = NOW + 10;
  assert.deepEqual(chainFor(m, tables([2, 1]), packet(TCP, SYN)), [1]);
  m.now = NOW + 11;
  assert.deepEqual(chainFor(m, tables([2, 1]), packet(TCP, SYN)), [2]);
  assert.deepEqual(chainFor(m, tables([1, 2]), packet(TCP, ACK)), [2]);
});

test("a host that is down has lost its flows", () => {
  const m = memory();
  chainFor(m, tables([1]), packet(TCP, SYN));
  assert.deepEqual(chainFor(m, tables([2, 3], [1]), packet(TCP, ACK)), [2, 3]);
});

test("without a flow table every packet but a SYN carries the chain", () => {
  const m = memory(false);
  assert.deepEqual(chainFor(m, tables([1, 2]), packet(TCP, SYN)), [1]);
  assert.deepEqual(chainFor(m, tables([2, 1]), packet(TCP, ACK)), [2, 1]);
});

test("UDP flows come back to the first hop behind the last; stateless UDP and echo requests go there at once", () => {
  assert.deepEqual(chainFor(memory(), tables([1, 2, 3, 4]), packet(UDP)), [1, 2, 3, 4, 1]);
  assert.deepEqual(chainFor(memory(), tables([1, 2]), packet(UDP), 1), [1]);
  assert.deepEqual(chainFor(memory(), tables([1, 2]), packet(0x401)), [1]);
});

test("an ICMP error follows its flow and leaves no trace", () => {
  const m = memory();
  const error = Object.assign(packet(TCP), { icmpError: true });
  assert.deepEqual(chainFor(m, tables([1, 2]), error), [1, 2]);
  assert.deepEqual(chainFor(m, tables([2, 1]), error), [2, 1], "nothing was remembered");
  chainFor(m, tables([1, 2]), packet(TCP, SYN));
  assert.deepEqual(chainFor(m, tables([2, 1]), error), [1]);
});

test("a pool without hosts has no chain; dropping the first hop leaves the rest", () => {
  assert.deepEqual(chainFor(memory(), tables([]), packet(TCP, ACK)), []);
  const chain = createChain();
  setChain(chain, memory(), tables([1, 2, 3]), 0, 0, packet(TCP, ACK));
  dropFirst(chain);
  assert.deepEqual([chain.first, ...chain.hops.subarray(0, chain.count)], [2, 3]);
});
