/** Where mutated packets go: the configurations of all fixtures and captures, each with the packets that are mutated there. */
import { replayRules } from "../../src/control/drop-rules.ts";
import { configTables } from "../../src/control/offline.ts";
import { UNKNOWN_MTU } from "../../src/control/tables-spec.ts";
import type { OfflineOptions, Role } from "../../src/replay/offline-host.ts";
import { CAPTURES, capturedIn, withoutLink } from "./captures.ts";
import { CONFIG, configOf, HOST } from "./fixture.ts";
import { libpcapObstacle } from "./libpcap.ts";
import { CASES } from "./make-fixtures.ts";
import { innerAt, isV4 } from "./naive.ts";
import { Watched } from "./watched.ts";

/** A packet to be mutated: IP header first, or an Ethernet frame. */
export interface Seed {
  readonly bytes: Uint8Array;
  readonly ethernet: boolean;
}

export interface World {
  readonly name: string;
  readonly seeds: Readonly<Record<Role, readonly Seed[]>>;
  /** Hosts of each role: one with wide paths, and one on whose paths many packets have to be fragmented. */
  readonly hosts: Readonly<Record<Role, readonly Watched[]>>;
}

const NARROW = 400;
/** Smaller than the usual, which takes longer to compute. */
const TABLE = { size: 4099, drainSeconds: 300 };

function world(name: string, text: string, host: string, seeds: World["seeds"]): World {
  const config = { ...configOf(text), table: TABLE };
  const specs = [UNKNOWN_MTU, NARROW].map((mtu) => ({ mtu, spec: configTables(config, host, mtu) }));
  const drop = replayRules(config, name);
  const options: OfflineOptions = { drop, hasSocket: (p) => (p.ports & 3) === 0 };
  const watched = (role: Role): Watched[] => specs.map(({ spec, mtu }) => new Watched(spec, role, mtu, options));
  return { name, seeds, hosts: { director: watched("director"), target: watched("target") } };
}

/** All steps of the fixtures that have this configuration. */
function stepsOf(config: string): World["seeds"] {
  const of = (role: Role): Seed[] =>
    CASES.filter((c) => c.role === role && (c.config ?? CONFIG) === config).flatMap((c) =>
      c.steps.map((step) => ({ bytes: step.in, ethernet: c.link === "ethernet" })),
    );
  return { director: of("director"), target: of("target") };
}

/** The fixtures' hosts with one of them draining, so that there are chains. */
const CHAINS = CONFIG.replace('"fd00:1::12"] }', '"fd00:1::12"], state: draining }')
  .replaceAll("pool: [s2]", "pool: [s2, s3]")
  .replaceAll("pool: [s1]", "pool: [s1, s2, s3]")
  .replaceAll("pool: [s3]", "pool: [s2, s1]");

const plain = (bytes: Uint8Array): Seed => ({ bytes, ethernet: false });

/** Makes all of them. Those with drop rules only where libpcap is. */
export function fuzzWorlds(): World[] {
  const configs = [...new Set(CASES.map((c) => c.config ?? CONFIG))].filter((c) => !(libpcapObstacle && c.includes("\ndrop:")));
  const fixtures = configs.map((config, i) => world(`fixtures ${i}`, config, HOST, stepsOf(config)));
  const captures = CAPTURES.map((capture) => {
    const target = capturedIn(capture).map(withoutLink);
    const director = target.flatMap(unwrapped);
    return world(capture.file, capture.config, capture.host, { target: target.map(plain), director: director.map(plain) });
  });
  return [...fixtures, world("chains", CHAINS, HOST, stepsOf(CONFIG)), ...captures];
}

/** The packet inside GUE, when there is one. */
function unwrapped(packet: Uint8Array): Uint8Array[] {
  const udp = isV4(packet) ? 20 : packet[6] === 60 ? 48 : 40;
  if (packet.length < udp + 12 || packet[udp + 2] !== 0x17 || packet[udp + 3] !== 0xc0) return [];
  const datagram = packet.subarray(udp + 8);
  const at = innerAt(datagram);
  return at < 0 ? [] : [datagram.slice(at)];
}
