import assert from "node:assert/strict";
import { test } from "node:test";
import { TokenBuckets } from "../../src/dataplane/token-buckets.ts";
import { BUCKET_SETS, BUCKET_WAYS, BUCKETS_BYTES } from "../../src/shm/bucket-layout.ts";

const NONE = Number.POSITIVE_INFINITY;
const make = (): TokenBuckets => new TokenBuckets(new ArrayBuffer(BUCKETS_BYTES), 0x1234, 0x5678);

/** How many of `times` packets of `bits` pass. */
function passing(buckets: TokenBuckets, source: number, now: number, times: number, pps: number, bps = NONE, bits = 800): number {
  let passed = 0;
  for (let i = 0; i < times; i++) {
    buckets.key.set([4, source, 0, 0, 0]);
    if (buckets.take(now, 1, bits, pps, bps)) passed++;
  }
  return passed;
}

test("a bucket begins full, holds a second's worth and fills at its rate", () => {
  const buckets = make();
  assert.equal(passing(buckets, 1, 0, 100, 10), 10);
  assert.equal(passing(buckets, 1, 99, 100, 10), 0);
  assert.equal(passing(buckets, 1, 350, 100, 10), 3);
  assert.equal(passing(buckets, 1, 1_000_000, 100, 10), 10);
  assert.equal(passing(buckets, 1, 900_000, 100, 10), 0, "a clock set back gives nothing");
});

test("bits: at least one packet of the largest size, then the rate", () => {
  const buckets = make();
  const bits = 12_000;
  assert.equal(passing(buckets, 1, 0, 1000, NONE, 1_200_000, bits), 100);
  assert.equal(passing(buckets, 1, 500, 1000, NONE, 1_200_000, bits), 50);
  assert.ok(passing(buckets, 2, 0, 1, NONE, 1000, 65_535 * 8) === 1);
});

test("both limits together; a debt is worked off", () => {
  const buckets = make();
  buckets.key.set([4, 1, 0, 0, 0]);
  assert.ok(buckets.take(0, 40, 40 * 800, 10, NONE), "a super-segment larger than the bucket");
  assert.equal(passing(buckets, 1, 3000, 10, 10), 0);
  assert.equal(passing(buckets, 1, 3200, 10, 10), 2);
  assert.equal(passing(buckets, 9, 0, 100, 50, 524_280, 52_428), 10);
});

test("sources do not share; more of them than there is room push out the oldest only", () => {
  const buckets = make();
  const many = BUCKET_SETS * BUCKET_WAYS * 4;
  for (let source = 0; source < many; source++) assert.equal(passing(buckets, source, source, 2, 1), 1);
  let kept = 0;
  for (let source = many - 1000; source < many; source++) if (passing(buckets, source, source, 1, 0.0001) === 0) kept++;
  assert.equal(kept, 1000, "the newest are still there");
});
