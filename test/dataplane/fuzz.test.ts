import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "../support/fuzz.ts";

test("400,000 mutated packets: each has one verdict, what leaves decodes and is what entered, no exception, no write outside", (t) => {
  const seed = 20_261_120;
  const verdicts = fuzz(200_000, seed);
  t.diagnostic(`seed ${seed}: ${JSON.stringify(verdicts)}`);
  // The mutations reach every part of the parsers, and every way out.
  for (const [role, names] of [
    [
      "director",
      ["forwarded", "delivered", "malformed", "ext_headers", "fragment_bad", "icmp_other", "loop", "too_big", "no_slice"],
    ],
    ["target", ["delivered", "next_hop", "gue_malformed", "ecn", "not_a_peer", "not_a_vip", "fragment_bad"]],
  ] as const) {
    for (const name of names) assert.ok(verdicts[role][name]! > 0, `${role}: ${name}`);
  }
});
