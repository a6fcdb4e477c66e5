import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { viewOf } from "../../src/wire/bytes.ts";
import { ipInEthernet } from "../../src/wire/ethernet.ts";
import { address, checksum, concat, transportChecksum } from "../support/packets.ts";
import type { Expect, Row } from "./katran-row.ts";
import { DIPS, GUE_PORT, Session } from "./katran-setup.ts";
import { MARKDOWN, markdown, TABLE } from "./katran-table.ts";

const DATA = fileURLToPath(new URL("../../../../shared/conformance/katran", import.meta.url));
const skip = existsSync(DATA) ? false : `the reference data is not here: ${DATA}`;

interface Reference {
  readonly n: number;
  readonly expectedReturn: string;
  readonly inputBase64: string;
  readonly outputBase64: string;
}

const ETHERNET = 14;
const hex = (b: Uint8Array): string => Buffer.from(b).toString("hex");
const word = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;
const version = (b: Uint8Array): number => b[0]! >> 4;
const tos = (b: Uint8Array): number => (version(b) === 4 ? b[1]! : ((b[0]! & 15) << 4) | (b[1]! >> 4));
const headerOf = (b: Uint8Array): number => (version(b) === 4 ? (b[0]! & 15) * 4 : 40);
const addresses = (b: Uint8Array): [string, string] =>
  version(b) === 4 ? [hex(b.subarray(12, 16)), hex(b.subarray(16, 20))] : [hex(b.subarray(8, 24)), hex(b.subarray(24, 40))];

test("the table has every case once, and katran.md says the same", () => {
  assert.equal(TABLE.length, 193);
  assert.equal(new Set(TABLE.map(({ file, n }) => `${file} ${n}`)).size, 193);
  for (const { file, n, status, reason, expect } of TABLE) {
    assert.equal(reason === "", status === "same", `${file} ${n}: a reason is for what differs`);
    assert.equal(expect === null, status === "not applicable", `${file} ${n}`);
  }
  assert.equal(readFileSync(MARKDOWN, "utf8"), markdown(), "run katran-table.js and look at the difference");
});

test("the table is of these files", { skip }, () => {
  const files = readdirSync(DATA).filter((name) => name.endsWith(".json"));
  const cases = files.flatMap((name) => read(name.replace(".json", "")).map(({ n }) => `${name.replace(".json", "")} ${n}`));
  assert.deepEqual(cases.sort(), TABLE.map(({ file, n }) => `${file} ${n}`).sort());
});

const read = (file: string): Reference[] => JSON.parse(readFileSync(join(DATA, `${file}.json`), "utf8")) as Reference[];

/** Host that a packet in GUE goes to; checks the wrapper. */
function unwrap(out: Uint8Array, family: number, traffic: number): { host: string; inner: Uint8Array } {
  assert.equal(version(out), family, "outer IP version");
  assert.equal(tos(out), traffic, "outer TOS");
  const [from, to] = addresses(out);
  const own = DIPS.lb!.map((dip) => hex(address(dip)));
  assert.ok(own.includes(from), "comes from the balancer");
  const host = Object.keys(DIPS).find((name) => DIPS[name]!.some((dip) => hex(address(dip)) === to));
  assert.ok(host !== undefined, `${to} is a host's address`);
  const udp = headerOf(out);
  assert.equal(out[family === 4 ? 9 : 6], 17);
  if (family === 4) assert.equal(checksum(out.subarray(0, udp)), 0, "outer header checksum");
  assert.equal(word(out, udp + 2), GUE_PORT);
  assert.equal(word(out, udp + 4), out.length - udp);
  const inner = out.subarray(udp + 12);
  assert.deepEqual([...out.subarray(udp + 8, udp + 12)], [0, version(inner) === 4 ? 4 : 41, 0, 0], "plain GUE header");
  return { host, inner };
}

const POOL = { 4: ["r41", "r42", "r43"], 6: ["r61", "r62", "r63"] } as const;

function checkSent(expect: Extract<Expect, { kind: "sent" }>, out: readonly Uint8Array[], packet: Uint8Array): string {
  assert.equal(out.length, 1);
  const { host, inner } = unwrap(out[0]!, expect.family, tos(packet));
  assert.equal(hex(inner), hex(packet), "inner bytes");
  assert.ok((POOL[expect.family] as readonly string[]).includes(host), `${host} is of the pool`);
  if (expect.host !== undefined) assert.equal(host, expect.host);
  return host;
}

/** The fragments are the packet. */
function checkFragments(out: readonly Uint8Array[], packet: Uint8Array): void {
  assert.ok(out.length > 1);
  const inner = out.map((o) => unwrap(o, 4, tos(packet)).inner);
  assert.equal(new Set(out.map((o) => unwrap(o, 4, tos(packet)).host)).size, 1);
  assert.equal(hex(concat(...inner.map((i) => i.subarray(20)))), hex(packet.subarray(20)));
  let offset = 0;
  for (const [i, fragment] of inner.entries()) {
    assert.equal(word(fragment, 6), (offset >> 3) | (i < inner.length - 1 ? 0x2000 : 0));
    assert.equal(hex(fragment.subarray(12, 20)), hex(packet.subarray(12, 20)));
    assert.equal(checksum(fragment.subarray(0, 20)), 0);
    offset += fragment.length - 20;
  }
}

/** Packet too big, from the VIP to the source, with the packet's beginning. */
function checkTold(mtu: number, out: readonly Uint8Array[], packet: Uint8Array): void {
  assert.equal(out.length, 1);
  const told = out[0]!;
  assert.deepEqual(addresses(told), addresses(packet).reverse());
  assert.deepEqual([told[6], told[40], told[41], word(told, 44), word(told, 46)], [58, 2, 0, 0, mtu]);
  const [from, to] = ["fc00:1::1", "fc00:2::1"];
  assert.equal(hex(told.subarray(8, 40)), hex(concat(address(from), address(to))));
  assert.equal(transportChecksum(from, to, 58, told.subarray(40)), 0);
  assert.equal(hex(told.subarray(48)), hex(packet.subarray(0, told.length - 48)));
}

/** What the reference and the row agree on when both call it the same. */
function checkAgreement(expect: Expect, reference: Reference, packet: Uint8Array): void {
  const output = Buffer.from(reference.outputBase64, "base64").subarray(ETHERNET);
  const returns = { sent: "TX", told: "TX", dropped: "DROP", kernel: "PASS", delivered: "PASS", fragmented: "none" } as const;
  const code = reference.expectedReturn.replace("TC_ACT_PIPE", "XDP_PASS");
  assert.equal(code, `XDP_${returns[expect.kind]}`, "what Katran returns");
  if (expect.kind === "sent") {
    assert.equal(version(output), expect.family, "Katran's outer IP version");
    assert.equal(tos(output), tos(packet), "Katran's outer TOS");
    assert.equal(hex(output.subarray(headerOf(output) + 8)), hex(packet), "Katran's inner bytes");
  }
  if (expect.kind === "delivered") assert.equal(hex(output), hex(innerOf(packet)), "Katran's inner bytes");
  if (expect.kind === "told") {
    assert.deepEqual(addresses(output), addresses(packet).reverse());
    assert.equal(word(output, 46), expect.mtu, "Katran's MTU");
  }
}

/** What is in GUE variant 1: behind the outer IP and UDP headers. */
const innerOf = (packet: Uint8Array): Uint8Array => packet.subarray(headerOf(packet) + 8);

function run(session: Session, row: Row, reference: Reference, hosts: Map<string, string>): void {
  const frame = new Uint8Array(Buffer.from(reference.inputBase64, "base64"));
  const packet = frame.subarray(ETHERNET);
  const expect = row.expect;
  if (expect === null) return;
  if (row.status === "same") checkAgreement(expect, reference, packet);
  if (ipInEthernet(viewOf(frame), 0, frame.length) < 0) {
    assert.equal(expect.kind, "kernel", "what is not IP is the kernel's");
    return;
  }
  const host = session.host(row.place);
  const out = host.take(packet);
  const verdict = host.lastVerdict();
  if (expect.kind === "sent") {
    assert.equal(verdict, "forwarded");
    const name = checkSent(expect, out, packet);
    if (expect.like !== undefined) assert.equal(name, hosts.get(expect.like), `goes where ${expect.like} went`);
    if (row.key !== "") hosts.set(row.key, name);
  } else if (expect.kind === "fragmented") {
    assert.equal(verdict, "forwarded");
    checkFragments(out, packet);
  } else if (expect.kind === "told") {
    assert.equal(verdict, "too_big");
    checkTold(expect.mtu, out, packet);
  } else if (expect.kind === "delivered") {
    assert.equal(verdict, "delivered");
    assert.deepEqual(out.map(hex), [hex(innerOf(packet))]);
  } else {
    // A later fragment may be held for a moment before it is dropped.
    const wanted =
      expect.kind === "kernel" ? ["not_ours"] : [expect.verdict, ...(expect.verdict === "fragment_orphan" ? ["none"] : [])];
    assert.ok(wanted.includes(verdict), `${verdict} instead of ${wanted[0]}`);
    assert.equal(out.length, 0);
  }
}

const GOES_ON: Readonly<Record<string, string>> = { "udp-flow-migration-2": "udp-flow-migration-1" };
const sessions = new Map<string, Session>();

for (const file of [...new Set(TABLE.map((row) => row.file))]) {
  test(`katran: ${file}`, { skip }, async (t) => {
    const before = sessions.get(GOES_ON[file] ?? "");
    before?.goOn(file);
    const session = before ?? new Session(file);
    sessions.set(file, session);
    const hosts = new Map<string, string>();
    const references = read(file);
    for (const row of TABLE.filter((r) => r.file === file)) {
      const reference = references.find(({ n }) => n === row.n)!;
      if (row.expect === null) continue; // Not applicable: the table says why.
      await t.test(`${row.n} ${row.status}: ${row.what}`, () => run(session, row, reference, hosts));
    }
  });
}
