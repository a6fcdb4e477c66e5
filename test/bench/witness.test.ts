/** A measurement whose packets went elsewhere is noticed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CONNECTIONS, type PathName } from "../../src/bench/paths.ts";
import { type Counts, complaint } from "../../src/bench/witness.ts";

const HOSTS = ["s1", "s2", "s3", "s4"];

interface Change {
  readonly links?: Record<string, number>;
  readonly forwarded?: Record<string, number>;
  readonly delivered?: Record<string, number>;
  readonly haproxy?: Record<string, number>;
  readonly spliced?: number;
}

/** Counts, with something added. */
function counts({ links = {}, forwarded = {}, delivered = {}, haproxy = {}, spliced = 0 }: Change = {}): Counts {
  const add = (name: string, to: Record<string, number>): number => 5000 + (to[name] ?? 0);
  return {
    links: Object.fromEntries(HOSTS.map((host) => [host, add(host, links)])),
    agents: Object.fromEntries(["s3", "s4"].map((h) => [h, { forwarded: add(h, forwarded), delivered: add(h, delivered) }])),
    haproxy: {
      bytes: { haproxy: add("haproxy", haproxy), "haproxy-splice": add("haproxy-splice", haproxy) },
      spliced: 5000 + spliced,
    },
  };
}

const said = (path: PathName, change: Change): string | null => complaint(CONNECTIONS[path]!, HOSTS, counts(), counts(change));

test("packets that went their way", () => {
  assert.equal(said("direct", { links: { s1: 10_000, s2: 40 } }), null);
  const there = { links: { s3: 10_000, s4: 20_000 }, forwarded: { s3: 9_000 }, delivered: { s4: 9_000 } };
  assert.equal(said("haflinger", there), null);
  assert.equal(said("haproxy", { links: { s1: 10_000, s2: 20_000 }, haproxy: { haproxy: 1e6 } }), null);
  assert.equal(said("haproxy-splice", { links: { s1: 9, s2: 9 }, haproxy: { "haproxy-splice": 1e6 }, spliced: 1e6 }), null);
});

test("a host on the way that saw nothing, and one beside it that saw much", () => {
  assert.equal(said("direct", {}), "no packets passed s1");
  assert.equal(said("haproxy", { links: { s1: 10_000 }, haproxy: { haproxy: 1 } }), "no packets passed s2");
  assert.equal(said("direct", { links: { s1: 10_000, s3: 9_000 } }), "9000 packets passed s3");
});

test("agents that should have worked and did not, or the other way round", () => {
  const links = { s3: 10_000, s4: 20_000 };
  assert.equal(said("haflinger", { links, delivered: { s4: 9_000 } }), "the agent of s3 forwarded 0 packets");
  assert.equal(said("haflinger", { links, forwarded: { s3: 9_000 } }), "the agent of s4 delivered 0 packets");
  assert.equal(said("direct", { links: { s1: 10_000 }, delivered: { s4: 900 } }), "the agent of s4 delivered 900 packets");
});

test("HAProxy in the wrong section, or splicing where it should not", () => {
  const links = { s1: 10_000, s2: 20_000 };
  assert.equal(said("haproxy", { links }), "HAProxy moved no bytes");
  assert.equal(said("haproxy", { links, haproxy: { "haproxy-splice": 1 } }), "HAProxy's haproxy-splice moved bytes");
  assert.equal(said("haproxy", { links, haproxy: { haproxy: 1 }, spliced: 1 }), "HAProxy spliced");
  assert.equal(said("haproxy-splice", { links, haproxy: { "haproxy-splice": 1 } }), "HAProxy spliced nothing");
});
