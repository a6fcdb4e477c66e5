import assert from "node:assert/strict";
import { test } from "node:test";
import { effectiveConfig, parseConfig } from "../../src/control/config.ts";

const HEAD = `cluster: lab
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }, { name: s2, dip: 10.0.1.12 }]
`;
const parse = (section: string) => parseConfig(`${HEAD}conductor: ${section}\n`, "c.yaml");

test("defaults of the conductor are written out, and read again the same", () => {
  const result = parseConfig(HEAD, "c.yaml");
  assert.ok("config" in result);
  const { conductor } = result.config;
  assert.deepEqual([conductor.candidates, conductor.holdMs, conductor.leaseSeconds], [null, 1000, 5]);
  const effective = effectiveConfig(result.config);
  assert.match(effective, /candidates: all/);
  assert.deepEqual(parseConfig(effective, "c.yaml"), result);
});

test("candidates are hosts of the cluster, or none", () => {
  for (const list of [["s2"], []]) {
    const result = parse(`{ candidates: ${JSON.stringify(list)} }`);
    assert.deepEqual("config" in result && result.config.conductor.candidates, list);
  }
});

for (const [section, line] of [
  ["{ candidates: [s1, s3] }", 'candidates[1]: no host is named "s3" (did you mean "s1"?)'],
  ["{ candidates: [s1, s1] }", 'candidates[1]: "s1" is a candidate already (remove one)'],
  ["{ candidates: none }", 'candidates: "none" is not a list of hosts (write all, [s1, s2], or [] for none)'],
  ["{ freezeShare: 0 }", "freezeShare: 0 is not a share (write a number above 0 up to 1, like 0.34)"],
  ["{ holdMsec: 1 }", 'holdMsec: unknown key (did you mean "holdMs"?)'],
] as const) {
  test(`refused: conductor: ${section}`, () => {
    assert.deepEqual(parse(section), { errors: [`c.yaml: conductor.${line}`] });
  });
}

test("a host is not held down for less than it has to be healthy", () => {
  const result = parse("{ riseSeconds: 10, riseMaxSeconds: 5 }");
  assert.deepEqual("errors" in result && result.errors, [
    "c.yaml: conductor: riseMaxSeconds is less than riseSeconds (write a larger riseMaxSeconds)",
  ]);
});
