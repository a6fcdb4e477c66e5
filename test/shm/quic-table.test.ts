import assert from "node:assert/strict";
import { test } from "node:test";
import {
  findServer,
  listServers,
  type QuicSpec,
  quicLength,
  quicOffset,
  quicSelfLength,
  quicWords,
  writeQuic,
} from "../../src/shm/quic-table.ts";

const AT = 5; // a record need not start at the beginning

function record(servers: readonly (readonly [number, number])[]): Int32Array {
  const spec: QuicSpec = { offset: 1, length: 4, selfLength: true, servers };
  const words = new Int32Array(AT + quicWords(spec));
  writeQuic(words, AT, spec);
  return words;
}

test("every server id is found, and nothing else", () => {
  for (const count of [0, 1, 2, 3, 64, 1000]) {
    const servers = Array.from({ length: count }, (_, i) => [(i * 2_654_435_761) >>> 0, i % 77] as const);
    const words = record(servers);
    for (const [id, host] of servers) assert.equal(findServer(words, AT, id | 0), host);
    const known = new Set(servers.map(([id]) => id));
    for (let id = 1; id < 300; id++) if (!known.has(id)) assert.equal(findServer(words, AT, id), -1);
  }
});

test("ids at the ends of the range, and the layout", () => {
  const words = record([
    [0xffffffff, 1],
    [0, 2],
    [0x80000000, 3],
    [0x7fffffff, 4],
  ]);
  assert.deepEqual(
    [-1, 0, -0x80000000, 0x7fffffff].map((id) => findServer(words, AT, id)),
    [1, 2, 3, 4],
  );
  const listed = listServers(words, AT).map(([id, host]) => [id >>> 0, host]);
  assert.deepEqual(listed, [
    [0x80000000, 3],
    [0xffffffff, 1],
    [0, 2],
    [0x7fffffff, 4],
  ]);
  assert.deepEqual([quicOffset(words, AT), quicLength(words, AT), quicSelfLength(words, AT)], [1, 4, true]);
});
