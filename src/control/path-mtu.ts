/** The largest outer packet to each host, as the routes of this machine have it. */
import { execFileSync } from "node:child_process";
import { type Address, formatAddress } from "../wire/address.ts";
import { type Answer, askTool } from "./ask-tool.ts";
import type { Config, HostConfig } from "./config.ts";
import { IP_MS, ip } from "./host-state.ts";

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

/** What is asked of `ip`: its arguments, and its input if it has any. */
interface Question {
  readonly args: readonly string[];
  readonly input: string;
}

const LINKS: Question = { args: ["-j", "link", "show"], input: "" };

/** The question for the kernel's routes to addresses of one family; null when there are none of it. */
function routesQuestion(ends: readonly End[], family: 4 | 6): Question | null {
  const input = ends.flatMap(({ address }) => (address.family === family ? [`route get ${formatAddress(address)}\n`] : []));
  return input.length === 0 ? null : { args: ["-j", `-${family}`, "-force", "-batch", "-"], input: input.join("") };
}

/** The address by which each of the other hosts is reached. */
interface End {
  readonly name: string;
  readonly address: Address;
}

const endsOf = (config: Config, self: HostConfig): End[] =>
  config.hosts.flatMap((host) => {
    const address = host.name === self.name ? undefined : outerAddress(host, self);
    return address === undefined ? [] : [{ name: host.name, address }];
  });

/** What `ip` has printed about the links and, one array for each line of a batch, about routes. Unreachable addresses are left out. */
function mtusIn(ends: readonly End[], links: string, routes: readonly string[]): Map<string, number> {
  const rows = links.trim() === "" ? [] : (JSON.parse(links) as { ifname: string; mtu: number }[]);
  const devices = new Map(rows.map(({ ifname, mtu }) => [ifname, mtu]));
  const lines = routes.flatMap((text) => text.split("\n")).filter((line) => line.startsWith("[{"));
  const byAddress = new Map(lines.flatMap((line) => JSON.parse(line) as Route[]).map((route) => [route.dst, route]));
  return new Map(
    ends.map(({ name, address }) => {
      const route = byAddress.get(formatAddress(address));
      return [name, route === undefined ? ORDINARY_MTU : routeMtu(route, devices)];
    }),
  );
}

const questionsOf = (ends: readonly End[]): Question[] =>
  ([4, 6] as const).flatMap((family) => routesQuestion(ends, family) ?? []);

/** Path MTUs by host name, in bytes, read from this machine's routes and devices now. Throws a Failure when `ip` is missing. */
export function readPathMtus(config: Config, self: HostConfig): Map<string, number> {
  const ends = endsOf(config, self);
  return mtusIn(ends, ip(LINKS.args), questionsOf(ends).map(routesOf));
}

/** With `-force` the exit code tells of addresses that cannot be reached, which are no error. */
function routesOf({ args, input }: Question): string {
  try {
    return execFileSync("ip", args, {
      encoding: "utf8",
      input,
      stdio: ["pipe", "pipe", "ignore"],
      maxBuffer: 1 << 28,
      timeout: IP_MS,
    });
  } catch (error) {
    return (error as { stdout?: string }).stdout ?? "";
  }
}

/** The same without holding up this thread. Rejects when `ip` is missing, fails or does not answer in time. */
export async function askPathMtus(config: Config, self: HostConfig): Promise<Map<string, number>> {
  const ends = endsOf(config, self);
  const ask = ({ args, input }: Question): Promise<Answer> => askTool("ip", args, input);
  const [links, ...routes] = await Promise.all([ask(LINKS), ...questionsOf(ends).map(ask)]);
  if (links!.code !== 0) throw new Error(`\`ip ${LINKS.args.join(" ")}\` failed: ${links!.stderr.trim()}`);
  return mtusIn(
    ends,
    links!.stdout,
    routes.map(({ stdout }) => stdout),
  );
}
