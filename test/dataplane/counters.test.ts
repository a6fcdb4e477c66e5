import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import { RX_FLAGS, RX_TRUNCATED } from "../../src/io/packet-io.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { counterAt, WORKER_COUNTERS, type WorkerCounter } from "../../src/shm/counters.ts";
import { CONFIG, configOf, HOST, IPV4 } from "../support/fixture.ts";
import * as make from "../support/packets.ts";

const spec = configTables(configOf(CONFIG), HOST);
const counted = (host: OfflineHost, name: WorkerCounter): number => host.context.counters[counterAt(name)]!;

test("what leaves is counted by where it goes", () => {
  const host = new OfflineHost(spec, "director");
  for (let port = 1; port <= 3; port++) host.take(make.tcp([IPV4.client, port], [IPV4.web, 80], make.bytes()));
  for (let port = 1; port <= 2; port++) host.take(make.tcp([IPV4.client, port], [IPV4.home, 80], make.bytes()));
  assert.deepEqual([counted(host, "gueSends"), counted(host, "kernelWrites")], [3, 2]);
});

test("a frame longer than its slot is malformed, and counted as cut", () => {
  const host = new OfflineHost(spec, "director");
  const packet = make.tcp([IPV4.client, 1], [IPV4.web, 80], make.filler(100));
  host.take(packet.subarray(0, 90), { [RX_FLAGS]: RX_TRUNCATED });
  assert.deepEqual(host.verdicts(), { malformed: 1 });
  assert.equal(counted(host, "truncated"), 1);
});

test("packets that are sent on are counted by how far along their chain they are", () => {
  const host = new OfflineHost(spec, "target");
  const inner = make.tcp([IPV4.client, 1], [IPV4.web, 80], make.bytes());
  const [self, other] = ["10.0.1.11", "10.0.1.12"];
  for (const index of [0, 0, 0, 1, 1, 2, 3]) {
    host.take(make.gue(other, self, inner, { hops: [other, other, other, other], index }));
  }
  assert.deepEqual(host.verdicts(), { next_hop: 7 });
  assert.deepEqual([counted(host, "secondHops"), counted(host, "thirdHops"), counted(host, "furtherHops")], [3, 2, 2]);
});

test("names of counters are different", () => {
  assert.equal(new Set(WORKER_COUNTERS).size, WORKER_COUNTERS.length);
});
