import assert from "node:assert/strict";
import { test } from "node:test";
import { SAMPLE_BYTES, SampleRing, samplesBytes } from "../../src/shm/sample-ring.ts";

const packet = new DataView(Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff).buffer);

test("what is written is read, oldest first, cut to what a sample holds", () => {
  const buffer = new ArrayBuffer(samplesBytes(2));
  const ring = new SampleRing(buffer, 1);
  ring.write(packet, 3, 10, 5, 7, 1_700_000_000_123.5);
  ring.write(packet, 0, 5000, 6, -1, 1_700_000_000_124);
  const [first, second] = new SampleRing(buffer, 1).read(0);
  assert.deepEqual(first, {
    verdict: 5,
    rule: 7,
    time: 1_700_000_000_123_500,
    bytes: Uint8Array.of(3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
    length: 10,
  });
  assert.equal(second!.bytes.length, SAMPLE_BYTES);
  assert.equal(second!.length, 5000);
  assert.deepEqual(
    ring.read(1).map((s) => s.verdict),
    [6],
  );
  assert.deepEqual(new SampleRing(buffer, 0).read(0), [], "each worker has its own");
});

test("the oldest is overwritten, and a reader who was too slow gets what is left", () => {
  const ring = new SampleRing(new ArrayBuffer(samplesBytes(1)), 0);
  for (let i = 1; i <= 2000; i++) ring.write(packet, 0, 4, i, 0, 0);
  const samples = ring.read(0);
  assert.equal(samples.at(-1)!.verdict, 2000);
  assert.equal(samples[0]!.verdict, ring.oldest + 1);
  assert.ok(samples.length > 500 && samples.length < 512);
  assert.deepEqual(ring.read(ring.taken), []);
});
