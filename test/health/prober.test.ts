import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../../src/control/config.ts";
import { FINE, failed } from "../../src/health/finding.ts";
import { probedBy } from "../../src/health/prober.ts";
import { VipTurns } from "../../src/health/vip-turns.ts";
import { formatAddress, parsePrefix } from "../../src/wire/address.ts";

/** For each host, by whom it is probed. */
function probers(hosts: readonly string[], more = ""): Map<string, string[]> {
  const list = hosts.map((fields, i) => `  - { dip: 10.0.${i >> 8}.${i & 255}, ${fields} }\n`).join("");
  const result = parseConfig(`cluster: lab\nseed: 0123456789abcdef0123456789abcdef\nhosts:\n${list}${more}`, "c.yaml");
  assert.ok("config" in result, "errors" in result ? result.errors.join() : "");
  const found = new Map<string, string[]>(result.config.hosts.map(({ name }) => [name, []]));
  for (const { name } of result.config.hosts) for (const host of probedBy(name, result.config)) found.get(host.name)!.push(name);
  return found;
}
const named = (count: number): string[] => Array.from({ length: count }, (_, i) => `name: s${i + 1}`);

test("in a small cluster every host is probed by all others", () => {
  for (const [host, by] of probers(named(5))) assert.equal(by.length, 4, `${host} by ${by}`);
  assert.deepEqual([...probers(named(1))], [["s1", []]]);
});

test("in a large one by some, everybody has as much to do, and nobody probes itself", () => {
  const found = probers(named(300), "health: { tunnel: { probers: 3 } }\n");
  const work = new Map<string, number>();
  for (const [host, by] of found) {
    assert.equal(new Set(by).size, 3);
    assert.ok(!by.includes(host));
    for (const one of by) work.set(one, (work.get(one) ?? 0) + 1);
  }
  assert.deepEqual(new Set(work.values()), new Set([3]));
});

test("who is down takes no part; where not all may conduct those probe that may", () => {
  const found = probers(["name: s1", "name: s2, state: down", "name: s3, state: draining"], "conductor: { candidates: [s1] }\n");
  assert.deepEqual(Object.fromEntries(found), { s1: [], s2: [], s3: ["s1"] });
});

test("a host is probed from its own site, unless it is alone there", () => {
  const found = probers(["name: a1, site: a", "name: a2, site: a", "name: a3, site: a", "name: b1, site: b"]);
  assert.deepEqual(Object.fromEntries([...found].map(([host, by]) => [host, by.sort().join()])), {
    a1: "a2,a3",
    a2: "a1,a3",
    a3: "a1,a2",
    b1: "a1,a2,a3",
  });
});

test("VIPs take turns, but for one that fails", async () => {
  const vips = ["192.0.2.10", "198.51.100.0/24", "2001:db8::10"].map((text) => parsePrefix(text)!);
  const asked: string[] = [];
  let fails = false;
  const turns = new VipTurns({ vips }, () => true);
  const ask = () =>
    turns.take(async (vip) => {
      asked.push(formatAddress(vip));
      return fails ? failed("silent", "") : FINE;
    });
  for (let i = 0; i < 4; i++) await ask();
  fails = true;
  for (let i = 0; i < 2; i++) await ask();
  fails = false;
  for (let i = 0; i < 2; i++) await ask();
  const [a, b, c] = ["192.0.2.10", "198.51.100.1", "2001:db8::10"];
  assert.deepEqual(asked, [a, b, c, a, b, b, b, c]);
  assert.equal(new VipTurns({ vips }, (family) => family === 6).count, 1);
});
