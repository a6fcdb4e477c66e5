import assert from "node:assert/strict";
import { test } from "node:test";
import { findPort, portTableWords, type RangeSpec, type VipPorts, writePortTable } from "../../src/shm/port-table.ts";
import { seededRandom } from "../support/random.ts";

const AT = 5; // the table need not start at the beginning

function table(vips: readonly VipPorts[]): Int32Array {
  const words = new Int32Array(AT + portTableWords(vips));
  writePortTable(words, AT, vips);
  return words;
}

const range = (from: number, to: number, service: number): RangeSpec => ({ from, to, service });

test("single ports and ranges, by protocol and VIP", () => {
  const words = table([
    { tcp: [range(80, 80, 0), range(443, 443, 1), range(8000, 8100, 2)], udp: [range(443, 443, 3)] },
    { tcp: [], udp: [range(0, 65535, 4)] },
  ]);
  const cases: [number, boolean, number, number][] = [
    [0, false, 80, 0],
    [0, false, 443, 1],
    [0, false, 7999, -1],
    [0, false, 8000, 2],
    [0, false, 8100, 2],
    [0, false, 8101, -1],
    [0, true, 443, 3],
    [0, true, 80, -1],
    [1, false, 80, -1],
    [1, true, 0, 4],
    [1, true, 65535, 4],
  ];
  for (const [vip, udp, port, service] of cases)
    assert.equal(findPort(words, AT, vip, udp, port), service, `${vip} ${udp} ${port}`);
});

test("the highest port and the most services fit", () => {
  const words = table([{ tcp: [range(0, 0, 1023), range(65535, 65535, 65534)], udp: [] }]);
  assert.equal(findPort(words, AT, 0, false, 0), 1023);
  assert.equal(findPort(words, AT, 0, false, 65535), 65534);
});

test("random tables agree with a search through the list", () => {
  const random = seededRandom(3);
  for (let round = 0; round < 40; round++) {
    const list = (): RangeSpec[] => {
      const ranges: RangeSpec[] = [];
      for (let from = random(4); from < 120; ) {
        const to = from + (random(2) === 0 ? 0 : random(9));
        ranges.push(range(from, to, random(1000)));
        from = to + 1 + random(6);
      }
      return ranges;
    };
    const vips = Array.from({ length: 1 + random(20) }, () => ({ tcp: list(), udp: random(3) === 0 ? [] : list() }));
    const words = table(vips);
    for (const [vip, ports] of vips.entries()) {
      for (const [udp, ranges] of [
        [false, ports.tcp],
        [true, ports.udp],
      ] as const) {
        for (let port = 0; port < 130; port++) {
          const expected = ranges.find((r) => r.from <= port && port <= r.to)?.service ?? -1;
          assert.equal(findPort(words, AT, vip, udp, port), expected);
        }
      }
    }
  }
});
