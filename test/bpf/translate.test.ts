import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { decodeProgram, encodeProgram, type Instruction, validateProgram } from "../../src/bpf/program.ts";
import { translate } from "../../src/bpf/translate.ts";
import { native } from "../../src/io/native.ts";
import { LINKTYPE_ETHERNET, readCapture } from "../../src/io/pcap.ts";
import { EXPRESSIONS } from "../support/filter-expressions.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import { FIXTURES_DIR } from "../support/make-fixtures.ts";
import { randomPacket, randomProgram, unitRandom } from "../support/random-bpf.ts";

const DLT_RAW = 12;
/** Something in front of the packet and behind it, which a program must not reach. */
const MARGIN = 7;

function run(filter: ReturnType<typeof translate>, packet: Uint8Array): number {
  const around = new Uint8Array(packet.length + 2 * MARGIN).fill(0xa5);
  around.set(packet, MARGIN);
  return filter(new DataView(around.buffer), MARGIN, packet.length) >>> 0;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("random programs do over random packets what libpcap's interpreter does", { skip: libpcapObstacle }, () => {
  const random = unitRandom(20);
  let [matches, runs] = [0, 0];
  for (let i = 0; i < 4000; i++) {
    const program = randomProgram(random, i % 40 === 0 ? 400 : 24);
    const filter = translate(program);
    const bytes = encodeProgram(program);
    for (let j = 0; j < 6; j++) {
      const packet = randomPacket(random, 64);
      const expected = native().runFilter(bytes, packet);
      assert.equal(run(filter, packet), expected, `program ${hex(bytes)} over ${hex(packet)}`);
      runs++;
      if (expected !== 0) matches++;
    }
  }
  assert.ok(matches > runs / 10 && matches < (runs * 9) / 10, `${matches} of ${runs} match: too one-sided to tell`);
});

function fixturePackets(): Uint8Array[] {
  return readdirSync(FIXTURES_DIR).flatMap((name) =>
    [...readCapture(readFileSync(join(FIXTURES_DIR, name, "in.pcap")))].map(({ link, bytes }) =>
      link === LINKTYPE_ETHERNET ? bytes.subarray(14) : bytes,
    ),
  );
}

test("real expressions over all fixture packets", { skip: libpcapObstacle }, () => {
  const packets = fixturePackets().flatMap((packet) => [packet, packet.subarray(0, packet.length >> 1), packet.subarray(0, 21)]);
  for (const expression of EXPRESSIONS) {
    const bytes = native().compileFilter(expression, DLT_RAW);
    const filter = translate(decodeProgram(bytes));
    for (const packet of packets) {
      assert.equal(run(filter, packet) !== 0, native().runFilter(bytes, packet) !== 0, `${expression} over ${hex(packet)}`);
    }
  }
});

const op = (code: number, k = 0, jt = 0, jf = 0): Instruction => ({ code, jt, jf, k });
const RET = op(0x06, 1);

test("programs that the kernel would refuse are refused", () => {
  const wrong: [Instruction[], RegExp][] = [
    [[], /0 instructions/],
    [new Array<Instruction>(4097).fill(RET), /4097 instructions/],
    [[op(0x00)], /behind the end/],
    [[op(0x05, 1), RET], /behind the end/],
    [[op(0x15, 0, 0, 1), RET], /behind the end/],
    [[op(0x05, 0xffffffff), RET], /behind the end/],
    [[op(0x34, 0), RET], /division by zero/],
    [[op(0x64, 32), RET], /shift by 32/],
    [[op(0x60, 0), RET], /not written/],
    [[op(0x02, 16), RET], /no scratch word 16/],
    [[op(0x15, 0, 0, 1), op(0x02, 3), op(0x60, 3), RET], /scratch word 3 is not written/],
    [[op(0x20, 0xfffff004), RET], /ancillary/],
    [[op(0x0e), RET], /unknown code 0xe/],
  ];
  for (const [program, message] of wrong) {
    assert.match(validateProgram(program) ?? "good", message);
    assert.throws(() => translate(program), message);
  }
  assert.throws(() => decodeProgram(new Uint8Array(9)), /whole instructions/);
});

test("a program of 4096 instructions that all are jump targets", () => {
  const program = [...Array.from({ length: 4095 }, (_, i) => op(0x15, i, 0, i < 4094 ? 1 : 0)), RET];
  assert.equal(run(translate(program), new Uint8Array(1)), 1);
});

test("the edges of 32 bits", () => {
  const result = (...program: Instruction[]): number =>
    run(translate([...program, op(0x16)]), Uint8Array.of(0xff, 0xff, 0xff, 0xfe));
  assert.equal(result(op(0x20, 0)), 0xfffffffe);
  assert.equal(result(op(0x20, 0), op(0x04, 3)), 1);
  assert.equal(result(op(0x20, 0), op(0x34, 3)), Math.floor(0xfffffffe / 3));
  assert.equal(result(op(0x20, 0), op(0x34, 1)), 0xfffffffe);
  assert.equal(result(op(0x20, 0), op(0x94, 0x80000000)), 0x7ffffffe);
  assert.equal(result(op(0x20, 0), op(0x24, 0xffffffff)), 2);
  assert.equal(result(op(0x00, 1), op(0x84)), 0xffffffff);
  assert.equal(result(op(0x00, 1), op(0x01, 32), op(0x6c)), 0);
  assert.equal(result(op(0x00, 5), op(0x01, 0), op(0x3c)), 0, "division by zero ends the program");
  assert.equal(result(op(0x30, 4)), 0, "one byte too far");
  assert.equal(result(op(0x01, 0xffffffff), op(0x50, 1)), 0, "offsets do not wrap");
});
