/** The largest outer packet to each host, as the routes of this machine have it. */
import { execFileSync } from "node:child_process";
import { type Address, formatAddress } from "../wire/address.ts";
import type { Config, HostConfig } from "./config.ts";
import { ipJson } from "./host-state.ts";

/** Bytes, one for all hosts or by host name. */
export type PathMtus = number | ReadonlyMap<string, number>;

/** What is taken for a path of which nothing is known: Ethernet's. */
const ORDINARY_MTU = 1500;

export const mtuTo = (mtus: PathMtus, host: string): number =>
  typeof mtus === "number" ? mtus : (mtus.get(host) ?? ORDINARY_MTU);

/** What `ip -j route get` says of a destination. */
interface Route {
  readonly dst: string;
  readonly dev?: string;
  readonly metrics?: readonly { readonly mtu?: number }[];
  /** Seconds; only of what was learned from an ICMP message. */
  readonly expires?: unknown;
}

/**
 * Largest packet of a route: its own `mtu`, else its device's. What was learned from ICMP does not count, as it does not for
 * our sockets: one forged message could shrink the path between two hosts.
 */
function routeMtu(route: Route, devices: ReadonlyMap<string, number>): number {
  const device = devices.get(route.dev ?? "") ?? ORDINARY_MTU;
  const own = route.expires === undefined ? route.metrics?.find(({ mtu }) => mtu !== undefined)?.mtu : undefined;
  return Math.min(own ?? device, device);
}

/** The address that GUE for a host goes to: of the family both have, IPv4 first; undefined when there is none. */
function outerAddress(host: HostConfig, self: HostConfig): Address | undefined {
  return host.dips.find((dip) => self.dips.some(({ family }) => family === dip.family));
}

/** The kernel's routes to addresses of one family. Addresses that cannot be reached are left out. */
function routesTo(addresses: readonly Address[], family: 4 | 6): Route[] {
  const wanted = addresses.filter((address) => address.family === family).map(formatAddress);
  if (wanted.length === 0) return [];
  const input = wanted.map((address) => `route get ${address}\n`).join("");
  let text: string;
  try {
    text = execFileSync("ip", ["-j", `-${family}`, "-force", "-batch", "-"], {
      encoding: "utf8",
      input,
      stdio: ["pipe", "pipe", "ignore"],
      maxBuffer: 1 << 28,
    });
  } catch (error) {
    text = (error as { stdout?: string }).stdout ?? "";
  }
  // One array for each line of the batch.
  return text.split("\n").flatMap((line) => (line.startsWith("[{") ? (JSON.parse(line) as Route[]) : []));
}

/** Path MTUs by host name, in bytes, read from this machine's routes and devices now. Throws a Failure when `ip` is missing. */
export function readPathMtus(config: Config, self: HostConfig): Map<string, number> {
  const links = ipJson<{ ifname: string; mtu: number }>(null, "link", "show");
  const devices = new Map(links.map(({ ifname, mtu }) => [ifname, mtu]));
  const others = config.hosts.filter(({ name }) => name !== self.name);
  const ends = others.flatMap((host) => {
    const address = outerAddress(host, self);
    return address === undefined ? [] : [{ name: host.name, address }];
  });
  const addresses = ends.map(({ address }) => address);
  const routes = new Map([...routesTo(addresses, 4), ...routesTo(addresses, 6)].map((route) => [route.dst, route]));
  return new Map(
    ends.map(({ name, address }) => {
      const route = routes.get(formatAddress(address));
      return [name, route === undefined ? ORDINARY_MTU : routeMtu(route, devices)];
    }),
  );
}
