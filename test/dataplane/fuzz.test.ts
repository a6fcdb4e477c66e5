import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "../support/fuzz.ts";

test("a million mutated packets get counted verdicts: no exception, no write outside the frame, what leaves decodes", (t) => {
  const seed = 20_261_120;
  const verdicts = fuzz(500_000, seed);
  t.diagnostic(`seed ${seed}: ${JSON.stringify(verdicts)}`);
  // The mutations reach every part of the parsers.
  const reached = new Set([...Object.keys(verdicts.director!), ...Object.keys(verdicts.target!)]);
  for (const name of [
    "forwarded",
    "delivered",
    "malformed",
    "gue_malformed",
    "ext_headers",
    "fragment_bad",
    "icmp_other",
    "ecn",
    "loop",
  ]) {
    assert.ok(reached.has(name), name);
  }
});
