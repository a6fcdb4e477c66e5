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
import { checkForwarded, checkGuards, setGuards } from "./invariants.ts";
import { CASES } from "./make-fixtures.ts";
import { mutate } from "./mutate.ts";
import { seededRandom } from "./random.ts";

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

/** Runs `packets` mutated packets through a director and as many through a target. Returns the verdicts by role. */
export function fuzz(packets: number, seed: number): Record<string, Record<string, number>> {
  const random = seededRandom(seed);
  const spec = configTables(configOf(CONFIG), HOST);
  const hosts = { director: new OfflineHost(spec, "director"), target: new OfflineHost(spec, "target") };
  const seeds = { director: seedsOf("director"), target: seedsOf("target") };
  for (let i = 0; i < packets; i++) {
    for (const role of ["director", "target"] as const) {
      const list = seeds[role];
      const packet = mutate(list[random(list.length)]!, list[random(list.length)]!, random);
      const offloads = role === "director" ? offloadsOf(random) : {};
      try {
        one(hosts[role], packet, offloads);
      } catch (error) {
        const text = Buffer.from(packet).toString("hex");
        throw new Error(`${role}, seed ${seed}, round ${i}: ${(error as Error).message}\n${text}\n${JSON.stringify(offloads)}`, {
          cause: error,
        });
      }
    }
  }
  const total = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);
  assert.ok(total(hosts.director.verdicts()) >= packets, "every packet has a verdict");
  assert.equal(total(hosts.target.verdicts()), packets, "every packet has one verdict");
  return { director: hosts.director.verdicts(), target: hosts.target.verdicts() };
}

function one(host: OfflineHost, packet: Uint8Array, offloads: Record<number, number>): void {
  setGuards(host, packet.length);
  const out = host.take(packet, offloads);
  checkGuards(host, packet.length);
  if (host.role === "target") assert.ok(out.length <= 1);
  else if (Object.keys(offloads).length === 0) for (const left of out) checkLeft(packet, left);
}

/** A director delivers the packet itself, without padding, or sends it in GUE. */
function checkLeft(packet: Uint8Array, left: Uint8Array): void {
  const same = left.length <= packet.length && Buffer.compare(left, packet.subarray(0, left.length)) === 0;
  if (!same) checkForwarded(packet, left);
}

const seedsOf = (role: string): Uint8Array[] =>
  CASES.filter((c) => c.role === role && c.link !== "ethernet").flatMap((c) => c.steps.map((step) => step.in));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const packets = Number(process.argv[2] ?? 1_000_000);
  const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
  process.stdout.write(`${packets} packets in each role, seed ${seed}\n`);
  process.stdout.write(`${JSON.stringify(fuzz(packets, seed), null, 2)}\n`);
}
