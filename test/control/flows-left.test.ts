import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { flowsLeft, isConnectionTo } from "../../src/control/flows-left.ts";
import { OwnedFlows } from "../../src/control/owned-flows.ts";
import { takenOver } from "../../src/control/running-config.ts";
import { configOf } from "../support/fixture.ts";

const CONFIG = configOf(`
cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts: [{ name: s1, dip: 10.0.0.1 }]
services: [{ name: web, vips: [192.0.2.10, "2001:db8::10"], ports: { tcp: [80] } }]
`);
const VIPS = takenOver(CONFIG);

/** A line of /proc/net/tcp of a socket of 192.0.2.10:80, as a little-endian machine writes it. */
const line = (state: string, own = "0A0200C0"): string =>
  `   1: ${own}:0050 0B7100CB:9C40 ${state} 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000`;

test("connections to a VIP count, whatever state they are in; what is none, or not to a VIP, does not", () => {
  for (const state of ["01", "04", "05", "08", "09", "0B"]) assert.ok(isConnectionTo(VIPS, line(state)), state);
  for (const state of ["03", "06", "07", "0A"]) assert.ok(!isConnectionTo(VIPS, line(state)), state);
  assert.ok(!isConnectionTo(VIPS, line("01", "0100000A")), "to its own address");
  assert.ok(!isConnectionTo(VIPS, "  sl  local_address rem_address   st tx_queue rx_queue"));
  const v6 = "B80D0120000000000000000010000000";
  assert.ok(isConnectionTo(VIPS, `   1: ${v6}:0050 ${v6}:9C40 01 0`));
  assert.ok(isConnectionTo(VIPS, `   1: 0000000000000000FFFF00000A0200C0:0050 ${v6}:9C40 01 0`), "IPv4 on a socket of IPv6");
});

test("a kernel without IPv6 has no connections of it; a process that is not there cannot be counted for", async (t) => {
  const proc = mkdtempSync(join(tmpdir(), "hafl-proc-"));
  t.after(() => rmSync(proc, { recursive: true }));
  mkdirSync(join(proc, "7/net"), { recursive: true });
  writeFileSync(join(proc, "7/net/tcp"), `  sl  local_address\n${line("01")}\n${line("0A")}\n`);
  const owned = new OwnedFlows("/nowhere", "s1");
  assert.equal(await flowsLeft(CONFIG, 7, owned, proc), 1);
  await assert.rejects(flowsLeft(CONFIG, 8, owned, proc), /ENOENT/);
});
