/** Configurations that give what Katran's tests are provisioned with: VIPs, pools, server ids, addresses of its own. */
import { configTables } from "../../src/control/offline.ts";
import { OfflineHost, plainBank } from "../../src/replay/offline-host.ts";
import { load, type TablesSpec } from "../../src/shm/forwarding-table.ts";
import { configOf } from "../support/fixture.ts";
import type { Place } from "./katran-row.ts";

export const GUE_PORT = 9886;

/** Hosts by name. Those with IPv4 have IPv6 as well, since all hosts must have a family in common; IPv4 goes first. */
export const DIPS: Readonly<Record<string, readonly string[]>> = {
  lb: ["10.0.13.37", "fc00:2307::1337"],
  inline: ["10.0.13.38", "fc00:1404::1"],
  server: ["172.16.100.1", "100::2"],
  sender: ["172.16.1.1", "100::1"],
  pop: ["100::64"],
  r41: ["10.0.0.1", "fc00:9::1"],
  r42: ["10.0.0.2", "fc00:9::2"],
  r43: ["10.0.0.3", "fc00:9::3"],
  r61: ["fc00::1"],
  r62: ["fc00::2"],
  r63: ["fc00::3"],
};
const SERVER_IDS: Readonly<Record<string, number>> = { r41: 1022, r42: 1023, r43: 1025, r61: 1024, r62: 1026, r63: 1027 };

const R4 = "[r41, r42, r43]";
const R6 = "[r61, r62, r63]";
const service = (name: string, vips: string, ports: string, pool: string, more = ""): string =>
  `  - { name: ${name}, vips: [${vips}], ports: ${ports}, pool: ${pool}${more} }\n`;

/** IDs of Katran's second layout: a version octet's place, the version again, then two octets of server id. */
const QUIC = ", udp: quic, quic: { offset: 2, length: 2 }";
/** The header of stable routing: its first octet, a version, two octets of server id. */
const STABLE = ", udp: quic, quic: { offset: 1, length: 2 }";

const STANDARD = [
  service("both", "10.200.1.1", "{ tcp: 80, udp: 80 }", R4),
  service("any", "10.200.1.2", "{ tcp: any }", R4),
  service("six", '10.200.1.3, "fc00:1::1"', "{ tcp: 80 }", R6),
  service("port", "10.200.1.4", "{ tcp: any }", R4, ", hash: destination-port"),
  service("quic4", "10.200.1.5", "{ udp: 443 }", "{ r41: 1, r42: 1, r43: 1, r61: 0, r62: 0, r63: 0 }", QUIC),
  service("quic6", '"fc00:1::2"', "{ udp: 443 }", R6, QUIC),
  service("moving", "10.200.1.6", "{ udp: 80 }", R4),
  service("empty4", "10.200.1.99", "{ tcp: 80 }", "[]"),
  service("empty6", '"fc00:1::11"', "{ udp: 80 }", "[]"),
  service("stable6", '"fc00:1::9"', "{ udp: 80 }", R6, STABLE),
  service("stable4", "10.200.1.90", "{ udp: 80 }", R4, STABLE),
].join("");

const PREFIXES = [
  service("tcp", '"fc00:1::/96"', "{ tcp: any }", "[r61, r62]"),
  service("tcp443", '"fc00:2::/96"', "{ tcp: 443 }", "[r63, r61]"),
  service("udp", '"fc00:3::/96"', "{ udp: any }", "[r62, r63]"),
  service("udp443", '"fc00:4::/96"', "{ udp: 443 }", "[r61, r63]"),
].join("");

/** One host before, another once that is down. */
const MOVING = (pool: string): string =>
  [
    service("move", "10.200.1.1", "{ udp: 80 }", pool),
    service("stable", "10.200.1.2", "{ udp: 80 }", pool, STABLE),
    service("stay", "10.200.1.3", "{ udp: 80 }", pool),
    service("tcp", "10.200.1.4", "{ tcp: 80 }", pool),
  ].join("");

function configText(services: string, down: string | null): string {
  const hosts = Object.entries(DIPS).map(([name, dips]) => {
    const state = name === down ? ", state: down" : "";
    const id = SERVER_IDS[name] === undefined ? "" : `, serverId: ${SERVER_IDS[name]}`;
    return `  - { name: ${name}, dip: [${dips.map((d) => `"${d}"`).join(", ")}]${state}${id} }\n`;
  });
  return `cluster: katran\nseed: 000102030405060708090a0b0c0d0e0f\nhosts:\n${hosts.join("")}services:\n${services}gue: { port: ${GUE_PORT} }\ntable: { size: 251 }\n`;
}

/** Largest outer packet: so that Katran's 1500 bytes fit over IPv6, or that nothing but the wire's 1500 do. */
const MTUS: Readonly<Record<string, number>> = { "icmp-too-big": 1552 };

function tablesOf(file: string, host: string): TablesSpec {
  const moved = file === "udp-flow-migration-2";
  const services =
    file === "cidr-vip" ? PREFIXES : moved ? MOVING("[r42, r62]") : file === "udp-flow-migration-1" ? MOVING("[r42]") : STANDARD;
  return configTables(configOf(configText(services, moved ? "r42" : null)), host, MTUS[file] ?? 1500);
}

const HOSTS: Readonly<Record<Place, string>> = {
  balancer: "lb",
  "balancer as target": "lb",
  "inline as target": "inline",
  "server as target": "server",
};

/** The hosts of one file, each made when a case first needs it. */
export class Session {
  readonly #hosts = new Map<Place, OfflineHost>();
  #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  host(place: Place): OfflineHost {
    const known = this.#hosts.get(place);
    if (known !== undefined) return known;
    const host = new OfflineHost(tablesOf(this.#file, HOSTS[place]), place === "balancer" ? "director" : "target");
    host.memory.now = 1000;
    this.#hosts.set(place, host);
    return host;
  }

  /** Goes on with the tables of another file; what the hosts remember stays. */
  goOn(file: string): void {
    this.#file = file;
    for (const [place, host] of this.#hosts) load(host.context.tables, plainBank(tablesOf(file, HOSTS[place])));
  }
}
