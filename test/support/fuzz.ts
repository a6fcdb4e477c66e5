/**
 * Mutated packets through both roles: `node dist/test/support/fuzz.js [packets] [seed]`. Seeds are all fixtures and captures, each
 * under its own configuration. Prints the verdicts; ends with an error, and the packet in hex, when an invariant does not
 * hold. Those are in watched.ts.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { RX_CSUM_OFFSET, RX_CSUM_START, RX_FLAGS, RX_GSO_SIZE, RX_GSO_TYPE } from "../../src/io/packet-io.ts";
import type { Role } from "../../src/replay/offline-host.ts";
import { viewOf } from "../../src/wire/bytes.ts";
import { ipInEthernet } from "../../src/wire/ethernet.ts";
import { fuzzWorlds, type Seed, type World } from "./fuzz-worlds.ts";
import { mutate } from "./mutate.ts";
import { seededRandom } from "./random.ts";
import type { Offloads } from "./watched.ts";

type Random = (limit: number) => number;

const ROLES: readonly Role[] = ["director", "target"];

function offloadsOf(role: Role, random: Random): Offloads {
  if (random(4) > 0) return {};
  if (role === "target") return { [RX_GSO_SIZE]: random(3) === 0 ? 1 + random(40) : random(200) };
  return {
    [RX_FLAGS]: random(4),
    [RX_GSO_TYPE]: random(6),
    [RX_GSO_SIZE]: random(3) === 0 ? random(4) : random(1500),
    [RX_CSUM_START]: random(80),
    [RX_CSUM_OFFSET]: random(40),
  };
}

/** Milliseconds between packets: fragments are held for some of them. */
const STEP_MS = 1;
/** Packets that come one after the other as in the fixture or capture, some of them not mutated: fragments find their first. */
const RUN = 4;

/** Steps through the seeds of a world in runs. */
class Order {
  #at = 0;
  #left = 0;
  next(seeds: readonly Seed[], random: Random): Seed {
    if (this.#left-- <= 0) {
      this.#at = random(seeds.length);
      this.#left = random(RUN);
    }
    return seeds[this.#at++ % seeds.length]!;
  }
}

/**
 * Takes mutated packets through hosts of both roles until each role has had `packets`, and gives the verdicts of each. Some that
 * are not mutated come in between and are not counted.
 */
export function fuzz(packets: number, seed: number): Record<Role, Record<string, number>> {
  const random = seededRandom(seed);
  const worlds = fuzzWorlds();
  const verdicts = { director: {}, target: {} };
  for (const role of ROLES) {
    const usable = worlds.filter((w) => w.seeds[role].length > 0);
    const orders = new Map(usable.map((w) => [w, new Order()]));
    for (let i = 0, now = 0; i < packets; now += STEP_MS) {
      const w = usable[random(usable.length)]!;
      const original = orders.get(w)!.next(w.seeds[role], random);
      const isMutated = random(4) > 0;
      const other = w.seeds[role][random(w.seeds[role].length)]!;
      const bytes = isMutated ? mutate(original.bytes, other.bytes, random) : original.bytes;
      if (isMutated) i++;
      const offloads = isMutated ? offloadsOf(role, random) : {};
      try {
        takeInto(w, role, { bytes, ethernet: original.ethernet }, offloads, now);
      } catch (error) {
        const text = `${Buffer.from(bytes).toString("hex")}\n${JSON.stringify(offloads)}`;
        throw new Error(`${role} of ${w.name}, seed ${seed}, packet ${i}: ${(error as Error).message}\n${text}`, {
          cause: error,
        });
      }
    }
    verdicts[role] = sum(usable.flatMap((w) => w.hosts[role].map((host) => host.finish())));
  }
  return verdicts;
}

function takeInto(w: World, role: Role, { bytes, ethernet }: Seed, offloads: Offloads, now: number): void {
  let packet = bytes;
  if (ethernet) {
    const at = ipInEthernet(viewOf(bytes), 0, bytes.length);
    if (at < 0) return;
    assert.ok(at <= bytes.length && [14, 18, 22].includes(at), `IP header at ${at}`);
    packet = bytes.subarray(at);
  }
  for (const host of w.hosts[role]) host.take(packet, offloads, now);
}

function sum(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const one of all) for (const [name, count] of Object.entries(one)) total[name] = (total[name] ?? 0) + count;
  return total;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const packets = Number(process.argv[2] ?? 1_000_000);
  const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
  process.stdout.write(`${packets} packets in each role, seed ${seed}\n`);
  process.stdout.write(`${JSON.stringify(fuzz(packets, seed), null, 2)}\n`);
}
