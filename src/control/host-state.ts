/** What the host's network looks like now, as far as the plan needs it: read with `ip -j` and from /proc/sys. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Failure } from "./failure.ts";

/** `rtm_protocol` of rules and routes that are ours, so that any instance knows those of another. */
export const PROTOCOL = "104";

/** One policy rule, as `ip -j rule` prints it. */
export interface Rule {
  readonly priority: number;
  readonly table?: string;
  readonly iif?: string;
  readonly action?: string;
  readonly protocol?: string;
  readonly [selector: string]: unknown;
}

export type Family = 4 | 6;
export const FAMILIES = [4, 6] as const;

export interface Device {
  /** `ether`, `none`, `loopback`, ... */
  readonly linkType: string;
  /** Bytes. */
  readonly mtu: number;
}

/** The facts that a plan is made from. */
export interface HostState {
  /** Policy rules in order; null when the host has no IPv6. */
  readonly rules: { readonly 4: readonly Rule[]; readonly 6: readonly Rule[] | null };
  /** What the local table holds, or will hold: prefix (`192.0.2.10`, `2001:db8::/64`) to device. */
  readonly local: ReadonlyMap<string, string>;
  readonly devices: ReadonlyMap<string, Device>;
  /** VIPs that instances of ours have taken over, written like those of `local`. */
  readonly claimed: ReadonlySet<string>;
  /** A sysctl's value, null when there is none. The path has slashes: `net/ipv4/conf/eth0/rp_filter`. */
  readonly sysctl: (path: string) => string | null;
}

/** How long `ip` may take, ms, where this thread waits for it: at start, at the end and in a reload. */
export const IP_MS = 10_000;

/** Runs `ip` and gives its output. Throws a Failure of one line when `ip` is missing or refuses. */
export function ip(args: readonly string[], input?: string): string {
  try {
    return execFileSync("ip", args, {
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
      input: input ?? "",
      maxBuffer: 1 << 28,
      timeout: IP_MS,
      killSignal: "SIGKILL",
    });
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT") throw new Failure("`ip` is not installed or not in PATH (install iproute2)");
    if (code === "ETIMEDOUT")
      throw new Failure(`\`ip ${args.join(" ")}\` gave no answer within ${IP_MS / 1000} s (see what holds it up)`);
    const said = (stderr ?? String(error)).trim().split("\n").join("; ");
    const remedy = /permitted|denied/.test(said) ? " (CAP_NET_ADMIN is needed: run it as root)" : "";
    throw new Failure(`\`ip ${args.join(" ")}\` failed: ${said}${remedy}`);
  }
}

/** The rows that `ip -j` prints; it prints nothing at all for none. */
export function ipJson<Row>(family: Family | null, ...args: string[]): Row[] {
  const text = ip(["-j", ...(family === null ? [] : [`-${family}`]), ...args]).trim();
  return text === "" ? [] : (JSON.parse(text) as Row[]);
}

/** A sysctl's value in the network namespace of this process, null when there is none. */
export function readSysctl(path: string): string | null {
  try {
    return readFileSync(`/proc/sys/${path}`, "utf8").trim();
  } catch {
    return null;
  }
}

/** The rules of a family in order. */
export const readRules = (family: Family): Rule[] => ipJson<Rule>(family, "rule", "show");

/** Tables of our instances on this host, by the rules that lead there. */
export function ourTables(): string[] {
  const rules = hasIpv6() ? [...readRules(4), ...readRules(6)] : readRules(4);
  return [
    ...new Set(rules.flatMap((r) => (r.protocol === PROTOCOL && r.iif !== undefined && r.table !== undefined ? [r.table] : []))),
  ];
}

/** VIPs in the tables of our instances, but for the tables named. */
export function claimedVips(except: ReadonlySet<string> = new Set()): Set<string> {
  const families = hasIpv6() ? FAMILIES : ([4] as const);
  const tables = ourTables().filter((table) => !except.has(table));
  const routes = tables.flatMap((table) => families.flatMap((f) => ipJson<{ dst: string }>(f, "route", "show", "table", table)));
  return new Set(routes.map(({ dst }) => dst));
}

const hasIpv6 = (): boolean => readSysctl("net/ipv6/conf/lo/disable_ipv6") === "0";

/** A device and its addresses, as `ip -j addr` prints them. */
interface Link {
  readonly ifname: string;
  readonly link_type: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local: string }[];
}

/** Reads everything. Needs no privileges. */
export function readHostState(): HostState {
  const ipv6 = hasIpv6();
  const local = new Map<string, string>();
  for (const family of ipv6 ? FAMILIES : ([4] as const)) {
    for (const { type, dst, dev } of ipJson<{ type?: string; dst: string; dev?: string }>(
      family,
      "route",
      "show",
      "table",
      "local",
    )) {
      if (type === "local" && !local.has(dst)) local.set(dst, dev ?? "");
    }
  }
  const links = ipJson<Link>(null, "addr", "show");
  // The route of an IPv6 address comes some time after it, made by a work queue of the kernel (addrconf_dad_work).
  for (const { ifname, addr_info } of links.filter((link) => link.flags.includes("UP"))) {
    for (const { local: address } of addr_info) if (!local.has(address)) local.set(address, ifname);
  }
  return {
    rules: { 4: readRules(4), 6: ipv6 ? readRules(6) : null },
    claimed: claimedVips(),
    local,
    devices: new Map(links.map(({ ifname, link_type, mtu }) => [ifname, { linkType: link_type, mtu }])),
    sysctl: readSysctl,
  };
}
