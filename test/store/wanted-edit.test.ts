/** Edits of the config document: what is asked for changes, and not a character more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Edited, editHost, editPool, withoutParts } from "../../src/store/wanted-edit.ts";

const TEXT = `# the cluster of the lab
cluster:   lab       # its name
seed: 0123456789abcdef0123456789abcdef

hosts:   # three
    - {name: s1,   dip: 10.0.1.11}   # in braces
    - name: s2      # in lines
      dip:
        - 10.0.1.12
        - "2001:db8::12"
      # about its weight
      weight: 2   # twice

    - { name: s3, state: draining, drainSeconds: 600, dip: 10.0.1.13, }
    - state: active
      name: s4
      dip: 10.0.1.14
services:
- name: web
  vips: [192.0.2.10]
  pool: { s1: 1, s2: 3 }   # by hand
- name: dns
  vips: [192.0.2.11]
  pool: [s1]
# the end
`;

function textOf(edited: Edited): string {
  assert.ok("text" in edited, JSON.stringify(edited));
  return edited.text;
}

/** Lines that are gone, and lines that came. */
function difference(after: string, before = TEXT): { gone: string[]; came: string[] } {
  const [a, b] = [before.split("\n"), after.split("\n")];
  return { gone: a.filter((line) => !b.includes(line)), came: b.filter((line) => !a.includes(line)) };
}

const CASES: readonly [what: string, edited: () => Edited, gone: string[], came: string[]][] = [
  [
    "a field into braces",
    () => editHost(TEXT, "s1", { state: "draining" }),
    ["    - {name: s1,   dip: 10.0.1.11}   # in braces"],
    ["    - {name: s1,   dip: 10.0.1.11, state: draining}   # in braces"],
  ],
  [
    "a field into lines",
    () => editHost(TEXT, "s2", { state: "draining", drainSeconds: 90 }),
    [],
    ["      drainSeconds: 90", "      state: draining"],
  ],
  ["another value", () => editHost(TEXT, "s2", { weight: 7 }), ["      weight: 2   # twice"], ["      weight: 7   # twice"]],
  [
    "a field out of braces",
    () => editHost(TEXT, "s3", { state: "active", drainSeconds: null }),
    ["    - { name: s3, state: draining, drainSeconds: 600, dip: 10.0.1.13, }"],
    ["    - { name: s3, state: active, dip: 10.0.1.13, }"],
  ],
  ["a field out of lines", () => editHost(TEXT, "s2", { weight: null }), ["      weight: 2   # twice"], []],
  [
    "the first field of an entry",
    () => editHost(TEXT, "s4", { state: null }),
    ["    - state: active", "      name: s4"],
    ["    - name: s4"],
  ],
  ["a field that is not there", () => editHost(TEXT, "s1", { drainSeconds: null }), [], []],
  [
    "a weight in a pool",
    () => editPool(TEXT, "web", "s2", 5),
    ["  pool: { s1: 1, s2: 3 }   # by hand"],
    ["  pool: { s1: 1, s2: 5 }   # by hand"],
  ],
  [
    "parts at the top",
    () => withoutParts(TEXT, ["cluster", "seed", "io"]),
    ["cluster:   lab       # its name", "seed: 0123456789abcdef0123456789abcdef"],
    [],
  ],
];

for (const [what, edited, gone, came] of CASES) {
  test(`edit: ${what}`, () => {
    const found = difference(textOf(edited()));
    assert.deepEqual(found.gone, gone);
    assert.deepEqual(found.came.sort(), came);
  });
}

test("edit: lines that end as on Windows", () => {
  const windows = TEXT.replaceAll("\n", "\r\n");
  assert.ok(textOf(editHost(windows, "s2", { state: "draining" })).includes("# in lines\r\n      state: draining\r\n"));
  assert.equal(textOf(withoutParts(windows, ["seed"])), windows.replace(/seed: .*\r\n/, ""));
});

test("edit: what goes and comes again leaves the document as it was", () => {
  const drained = textOf(editHost(TEXT, "s1", { state: "draining", drainSeconds: 60 }));
  assert.equal(textOf(editHost(drained, "s1", { state: null, drainSeconds: null })), TEXT);
});

test("edit: the last part without a newline behind it", () => {
  assert.equal(textOf(withoutParts("hosts: []\nio:\n  workers: 2", ["io"])), "hosts: []\n");
});

test("edit: what cannot be written in place is refused with its reason", () => {
  const errorOf = (edited: Edited): string => ("error" in edited ? edited.error : assert.fail(edited.text));
  assert.match(errorOf(editHost(TEXT, "s9", { weight: 1 })), /hosts: nobody is named "s9"/);
  assert.match(errorOf(editPool(TEXT, "dns", "s1", 2)), /pool gives no weights/);
  assert.match(errorOf(editHost("hosts:\n- &a { name: s1 }\n- *a\n", "s2", { weight: 1 })), /alias/);
  const shared = "services:\n- { name: a, pool: &p { s1: 1 } }\n- { name: b, pool: *p }\n";
  assert.match(errorOf(editPool(shared, "a", "s1", 2)), /cannot be edited in place/);
  assert.match(errorOf(editHost("hosts: [", "s1", { weight: 1 })), /not YAML/);
  assert.match(errorOf(withoutParts("- 1\n", ["io"])), /not a map/);
});
