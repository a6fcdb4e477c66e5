/** The one file of a cluster: what is wanted goes in and out of it, and all else stays as it was written. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreRefused } from "../../src/store/store.ts";
import { wantedOf, withWanted } from "../../src/store/wanted-file.ts";

const FILE = `# of the lab
cluster:   lab    # a name
seed: 0123456789abcdef0123456789abcdef

# the machines
hosts:
    - {name: s1,   dip: 10.0.1.11}   # first
io: {uplink: eth0}   # all have it

services:
- name: web    # the only one
# the end
`;
const WANTED = `# the machines
hosts:
    - {name: s1,   dip: 10.0.1.11}   # first
services:
- name: web    # the only one
# the end
`;

test("the wanted parts of a file are cut out as they are written, and go back to where they were", () => {
  assert.equal(wantedOf(FILE), WANTED);
  assert.equal(withWanted(FILE, WANTED, "f"), FILE);
});

test("a part that is another is another in its place; new ones come last, those that are gone leave; this host's own stay", () => {
  const other = "drop: []\n# now two\nhosts: [a,   b]\nseed: not mine";
  assert.equal(
    withWanted(FILE, other, "f"),
    FILE.replace(/# the machines\nhosts:\n.*\n/, "# now two\nhosts: [a,   b]\n").replace(/services:[\s\S]*/, "drop: []\n"),
  );
});

test("what does not go together is refused", () => {
  assert.throws(() => withWanted(FILE, "- 1\n", "f"), StoreRefused);
  assert.throws(() => withWanted("{ cluster: a }", WANTED, "f"), StoreRefused);
  assert.throws(() => withWanted(FILE, "hosts: *nobody\n", "f"), /f: .*\(write out what `\*` stands for\)/);
  assert.equal(wantedOf("hosts: ["), "hosts: [", "who reads it says what is wrong");
  assert.equal(withWanted(null, WANTED, "f"), WANTED);
});
