/**
 * Mutated packets through both roles: `node dist/test/support/fuzz.js [packets] [seed]`. Seeds are all fixtures. Prints the
 * verdicts; ends with an error, and the packet in hex, when an invariant does not hold.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { configTables } from "../../src/control/offline.ts";
import { RX_CSUM_OFFSET, RX_CSUM_START, RX_FLAGS, RX_GSO_SIZE, RX_GSO_TYPE } from "../../src/io/packet-io.ts";
import { OfflineHost } from "../../src/replay/offline-host.ts";
import { CONFIG, configOf, HOST } from "./fixture.ts";
import { checkForwarded, checkGuards, innerOf, setGuards } from "./invariants.ts";
import { CASES } from "./make-fixtures.ts";
import { mutate } from "./mutate.ts";
import { seededRandom } from "./random.ts";
import { reassemble } from "./reassemble.ts";

function offloadsOf(random: (limit: number) => number): Record<number, number> {
  if (random(4) > 0) return {};
  return {
    [RX_FLAGS]: random(2),
    [RX_GSO_TYPE]: random(6),
    [RX_GSO_SIZE]: random(3) === 0 ? random(4) : random(1500),
    [RX_CSUM_START]: random(80),
    [RX_CSUM_OFFSET]: random(40),
  };
}

/** A path on which many packets have to be fragmented. */
const NARROW = 400;
/** Milliseconds between packets: fragments are held for some of them. */
const STEP_MS = 5;

/** Runs `packets` mutated packets through directors and as many through a target. Returns the verdicts by role. */
export function fuzz(packets: number, seed: number): Record<string, Record<string, number>> {
  const random = seededRandom(seed);
  const config = configOf(CONFIG);
  const spec = configTables(config, HOST);
  const hosts = { director: new OfflineHost(spec, "director"), target: new OfflineHost(spec, "target") };
  const narrow = new OfflineHost(configTables(config, HOST, NARROW), "director");
  const held: Record<string, Uint8Array[]> = { director: [], target: [] };
  const seeds = { director: seedsOf("director"), target: seedsOf("target") };
  for (let i = 0; i < packets; i++) {
    for (const role of ["director", "target"] as const) {
      const list = seeds[role];
      const packet = mutate(list[random(list.length)]!, list[random(list.length)]!, random);
      const offloads = role === "director" ? offloadsOf(random) : {};
      hosts[role].now = i * STEP_MS;
      narrow.now = i * STEP_MS;
      try {
        one(hosts[role], packet, offloads, held[role]!);
        if (role === "director") throughNarrow(narrow, packet);
      } catch (error) {
        const text = Buffer.from(packet).toString("hex");
        throw new Error(`${role}, seed ${seed}, round ${i}: ${(error as Error).message}\n${text}\n${JSON.stringify(offloads)}`, {
          cause: error,
        });
      }
    }
  }
  for (const host of [...Object.values(hosts), narrow]) host.finish();
  assert.ok(total(hosts.director.verdicts()) >= packets, "every packet has a verdict");
  assert.equal(total(hosts.target.verdicts()), packets, "every packet has one verdict");
  assert.equal(total(narrow.verdicts()), packets, "every packet has one verdict");
  return { director: hosts.director.verdicts(), target: hosts.target.verdicts(), narrow: narrow.verdicts() };
}

const total = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);

/** `held` are earlier packets that may still leave. */
function one(host: OfflineHost, packet: Uint8Array, offloads: Record<number, number>, held: Uint8Array[]): void {
  const before = host.context.held.count;
  setGuards(host, packet.length);
  const out = host.take(packet, offloads);
  checkGuards(host, packet.length);
  if (host.role === "target") assert.ok(out.length <= 1 + before);
  else if (Object.keys(offloads).length === 0) for (const left of out) checkLeft([packet, ...held], left);
  if (host.context.held.count === 0) held.length = 0;
  else held.push(packet);
}

/** A director delivers the packet itself, without padding, or sends it in GUE. */
function checkLeft(packets: readonly Uint8Array[], left: Uint8Array): void {
  const errors: unknown[] = [];
  for (const packet of packets) {
    if (left.length <= packet.length && Buffer.compare(left, packet.subarray(0, left.length)) === 0) return;
    try {
      checkForwarded(packet, left);
      return;
    } catch (error) {
      errors.push(error);
    }
  }
  throw errors[0];
}

/** What is fragmented on the way is, put together again, what came in. */
function throughNarrow(host: OfflineHost, packet: Uint8Array): void {
  const forwarded = host.verdicts().forwarded ?? 0;
  const before = host.context.held.count;
  const out = host.take(packet);
  if (before > 0 || (host.verdicts().forwarded ?? 0) !== forwarded + 1) return;
  for (const left of out) assert.ok(left.length <= NARROW, "fits the path");
  if (out.length === 1) checkForwarded(packet, out[0]!);
  else
    assert.equal(
      Buffer.compare(reassemble(out.map(innerOf)), packet.subarray(0, (packet[2]! << 8) | packet[3]!)),
      0,
      "inner bytes",
    );
}

const seedsOf = (role: string): Uint8Array[] =>
  CASES.filter((c) => c.role === role && c.link !== "ethernet").flatMap((c) => c.steps.map((step) => step.in));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const packets = Number(process.argv[2] ?? 1_000_000);
  const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
  process.stdout.write(`${packets} packets in each role, seed ${seed}\n`);
  process.stdout.write(`${JSON.stringify(fuzz(packets, seed), null, 2)}\n`);
}
