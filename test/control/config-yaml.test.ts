/** What a YAML text may cost: texts that take long, or that the parser cannot bear, are refused before they are parsed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readYaml } from "../../src/control/config-yaml.ts";
import { tooCostly } from "../../src/control/yaml-cost.ts";

const refused = (text: string): string => {
  const result = readYaml(text, "f");
  assert.ok("errors" in result, text.slice(0, 60));
  return result.errors[0]!;
};

test("anchors and aliases are refused, in quotes they are text", () => {
  assert.match(refused("a: &a [*a]\nhosts: *a\n"), /^f:1: has an anchor or an alias/);
  assert.match(refused("a: 1\nb: &x 2\n"), /^f:2: has an anchor/);
  assert.deepEqual(readYaml('a: "&x *y"\nb: x & y\n', "f"), { raw: { a: "&x *y", b: "x & y" } });
});

test("what is nested too deeply is refused, on one line and by indentation", () => {
  for (const text of ["[".repeat(2000), "{a: ".repeat(100), "- ".repeat(1000), "? ".repeat(1000)])
    assert.match(refused(text), /^f:1: has too many lists and maps inside each other/);
  const deep = Array.from({ length: 300 }, (_, i) => `${" ".repeat(i)}a:`).join("\n");
  assert.match(refused(deep), /^f:\d+: is indented too far/);
  assert.ok("raw" in readYaml(`a: ${"[".repeat(30)}${"]".repeat(30)}\nb: ["tcp[tcpflags] = 1", "x["]\n`, "f"));
});

test("brackets count until they are closed, and positions are told", () => {
  const rules = Array.from({ length: 500 }, (_, i) => `  - { name: r${i}, match: "tcp[${i}] = 1" }`).join("\n");
  assert.equal(tooCostly(`drop:\n${rules}\n`), null);
  assert.match(refused("a: 1\nb: [1, 2\nc: 3\n"), /^f:\d+:\d+: not YAML: /);
});

test("keys used twice are named with their place each, in time that grows with the text", () => {
  const result = readYaml("a: 1\nb: { c: 1, c: 2 }\na: 2\n", "f");
  assert.deepEqual(result, {
    errors: ["f:3:1: not YAML: Map keys must be unique", "f:2:12: not YAML: Map keys must be unique"],
  });
});

test("too many tokens, directives or bytes are refused", () => {
  assert.match(refused(`a: [${"1,".repeat(400_000)}]`), /^f:1: has too many keys and values/);
  assert.match(refused("%a\n".repeat(10)), /^f:5: has too many directives/);
  assert.match(refused("x".repeat(5 << 20)), /^f: has 5242880 bytes/);
});

test("a text that is full of errors gives some of them", () => {
  const result = readYaml(Array.from({ length: 5000 }, () => "a: 1").join("\n"), "f");
  assert.ok("errors" in result && result.errors.length === 20);
  assert.match(refused('"'.repeat(50_001)), /^f:1:\d+: not YAML: /);
});
