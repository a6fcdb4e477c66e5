/**
 * From the state that is wanted of the host's network and the state it is in to the actions between them, each with its
 * undo. Nothing is read or changed here.
 *
 *     1      iif UPLINK lookup OURS    OURS: one route per VIP, to nowhere (af-packet) or to the TUN (tun)
 *     2      lookup local              moved here from preference 0, so that ours comes before it
 *     32765  iif UPLINK blackhole      tun mode only: keeps the host from routing for others
 *     32766  lookup main
 *
 * A VIP packet from the uplink meets a blackhole route while AF_PACKET has a copy of it, or is routed into the TUN. What
 * the agent writes to its TUN has another input device, passes rule 1 and is taken by the local table. One rule and a
 * table serve any number of VIPs; a rule per VIP would be walked by every packet of the host. Egress IPs are taken over like
 * VIPs; programs may send from them once nftables keeps the source ports in the host's slices (egress-rules.ts).
 */
import { formatAddress, formatPrefix, type Prefix } from "../wire/address.ts";
import { egressRules, type OwnPorts, removeRules } from "./egress-rules.ts";
import { Failure } from "./failure.ts";
import { FAMILIES, type Family, type HostState, PROTOCOL, type Rule } from "./host-state.ts";

const OUR_PREFERENCE = 1;
const LOCAL_PREFERENCE = 2;
const GUARD_PREFERENCE = 32765;
const TUN_METRIC = "10";
/** When the agent dies its TUN and the routes to it vanish; this one stays and drops without a word. */
const BLACKHOLE_METRIC = "1000";

/** One change. `ifStill`: only when the sysctl has this value, that is, when nobody else changed it meanwhile. */
export type Step =
  | { readonly ip: readonly string[] }
  | { readonly sysctl: string; readonly value: string; readonly ifStill?: string }
  | { readonly nft: string };

/**
 * A change and how it is undone. Actions of scope `host` are shared by all instances on the host, and the last one undoes
 * them; those of scope `address` by all instances with that VIP.
 */
export interface Action {
  readonly scope: "host" | "own" | "address";
  readonly apply: Step | null;
  readonly undo: Step | null;
  /** The VIP this is for. */
  readonly vip?: string;
}

/** What is wanted of the network. */
export interface Desired {
  readonly mode: "af-packet" | "tun";
  /** Devices that VIP packets come from. */
  readonly uplinks: readonly string[];
  readonly tun: string;
  /** Number of our routing table. */
  readonly table: number;
  /** VIPs and egress IPs. */
  readonly vips: readonly Prefix[];
  /** Those of them that are egress IPs. */
  readonly egress: readonly OwnPorts[];
}

/** The step as a command that one could type. */
export function formatStep(step: Step): string {
  if ("ip" in step) return `ip ${step.ip.join(" ")}`;
  if ("sysctl" in step) return `sysctl -w ${step.sysctl}=${step.value}`;
  return step.nft.includes("\n") ? `nft -f - <<'END'\n${step.nft}END` : `nft ${step.nft}`;
}

const own = (apply: Step | null, undo: Step | null): Action => ({ scope: "own", apply, undo });
const host = (apply: Step | null, undo: Step | null): Action => ({ scope: "host", apply, undo });
const ipStep = (family: Family, ...args: string[]): Step => ({ ip: [`-${family}`, ...args] });

const families = (state: HostState): Family[] => FAMILIES.filter((family) => state.rules[family] !== null);
/** Whether a rule was made by an instance of ours. */
export const isOurs = (rule: Rule): boolean => rule.protocol === PROTOCOL;
/** Whether a rule looks up the local table, for every packet. */
export const isLocal = (rule: Rule): boolean =>
  rule.table === "local" && rule.src === "all" && rule.iif === undefined && rule.action === undefined;

/** A table for this instance: by its name, the next free one when another instance is there already. */
export function chooseTable(instance: string, state: HostState): number {
  const taken = new Set(families(state).flatMap((family) => state.rules[family]!.flatMap((r) => r.table ?? [])));
  let hash = 0;
  for (const c of instance) hash = (hash * 31 + c.charCodeAt(0)) % 1_000_000;
  let table = 104_000_000 + hash;
  while (taken.has(String(table))) table++;
  return table;
}

/** Sets a sysctl unless it has the value. */
function sysctl(state: HostState, path: string, value: string): Action[] {
  const now = state.sysctl(path);
  return now === null || now === value ? [] : [host({ sysctl: path, value }, { sysctl: path, value: now, ifStill: value })];
}

/** Raises a sysctl of which the host may have a stricter value already. */
const atLeast = (state: HostState, path: string, value: number): Action[] =>
  Number(state.sysctl(path) ?? value) >= value ? [] : sysctl(state, path, String(value));

/** Moves the lookup of the local table behind ours. The copy is made before the original goes: there is always one. */
function moveLocal(family: Family, rules: readonly Rule[]): Action[] {
  const original = rules.find((r) => isLocal(r) && r.priority === 0);
  if (original === undefined) return [];
  const inTheWay = rules.find((r) => !isOurs(r) && (r.priority === OUR_PREFERENCE || r.priority === LOCAL_PREFERENCE));
  if (inTheWay !== undefined) {
    throw new Failure(
      `ip -${family} rule: preference ${inTheWay.priority} has a rule of another program, and would come before the local table (move it to 3 or above)`,
    );
  }
  const moved = ["table", "local", "protocol", PROTOCOL];
  return [
    host(
      ipStep(family, "rule", "add", "pref", `${LOCAL_PREFERENCE}`, ...moved),
      ipStep(family, "rule", "del", "pref", `${LOCAL_PREFERENCE}`, ...moved),
    ),
    host(
      ipStep(family, "rule", "del", "pref", "0", "table", "local"),
      ipStep(family, "rule", "add", "pref", "0", "table", "local"),
    ),
  ];
}

/** `all` counts for every device as a minimum; it goes to 0 for the TUN's sake, and each device keeps what it had by it. */
function loosenReversePath(state: HostState, tun: string): Action[] {
  const path = (device: string): string => `net/ipv4/conf/${device}/rp_filter`;
  const all = Number(state.sysctl(path("all")) ?? 0);
  if (all === 0) return [];
  const kept = ["default", ...state.devices.keys()].filter((device) => device !== tun);
  return [...kept.flatMap((device) => atLeast(state, path(device), all)), ...sysctl(state, path("all"), "0")];
}

const guard = (family: Family, ...selector: string[]): Action => {
  const rule = ["pref", `${GUARD_PREFERENCE}`, ...selector, "blackhole", "protocol", PROTOCOL];
  return host(ipStep(family, "rule", "add", ...rule), ipStep(family, "rule", "del", ...rule));
};

/** Lets the kernel route from the uplinks to the TUN, and, where it routed nothing before, nothing else. */
function forward(family: Family, uplinks: readonly string[], state: HostState): Action[] {
  const path = (device: string, name: string): string => `net/ipv${family}/conf/${device}/${name}`;
  const each = (name: string): Action[] =>
    uplinks.flatMap((uplink) => {
      const on = sysctl(state, path(uplink, name), "1");
      return on.length === 0 ? [] : [guard(family, "iif", uplink), ...on];
    });
  if (family === 4) return each("forwarding");
  if (state.sysctl(path("all", "forwarding")) === "1") return [];
  if (uplinks.every((uplink) => state.sysctl(path(uplink, "force_forwarding")) !== null)) return each("force_forwarding");
  // Before Linux 6.17 it is all devices or none. Writing `all` changes every device, and makes those with accept_ra 1
  // forget the routes they learnt from router advertisements.
  const devices = ["default", ...state.devices.keys()];
  return [
    guard(6, "not", "iif", "lo"),
    ...devices.filter((d) => state.sysctl(path(d, "accept_ra")) === "1").flatMap((d) => sysctl(state, path(d, "accept_ra"), "2")),
    ...devices
      .filter((d) => state.sysctl(path(d, "forwarding")) === "1")
      .map((d) => host(null, { sysctl: path(d, "forwarding"), value: "1" })),
    ...sysctl(state, path("all", "forwarding"), "1"),
  ];
}

/**
 * Early demultiplexing gives a packet from the uplink to the socket of an established connection before it is routed, and
 * the kernel never forwards a packet that has a socket (ip_forward, ip6_forward): packets of a connection that lives on
 * the host where they arrive would not reach the TUN. One sysctl for both families.
 */
const keepForwarding = (state: HostState): Action[] => sysctl(state, "net/ipv4/ip_early_demux", "0");

/**
 * Packets that wait in a queue of the TUN while nobody reads it, as between two agents or while a busy machine runs something else:
 * 800 ms of 20,000 a second, where the kernel's 500 are 25 ms. AF_PACKET's buffers take more (descriptors.ts). Of super-segments, 64 KB each,
 * a full queue would hold 1 GB; an agent whose worker leaves it alone for 15 s ends (stuck-workers.ts).
 */
const TUN_QUEUE = "16384";

/** The TUN needs no undo: it goes away with the process. */
function tunUp(tun: string, state: HostState): Action[] {
  const set = (path: string, value: string): Action => own({ sysctl: path, value }, null);
  const ipv6 =
    state.rules[6] === null
      ? []
      : [
          ["disable_ipv6", "0"],
          ["accept_ra", "0"],
          ["autoconf", "0"],
        ].map(([name, value]) => set(`net/ipv6/conf/${tun}/${name}`, value!));
  return [
    own({ ip: ["link", "set", "dev", tun, "addrgenmode", "none", "mtu", "65535", "txqueuelen", TUN_QUEUE] }, null),
    ...ipv6,
    set(`net/ipv4/conf/${tun}/rp_filter`, "0"),
    own({ ip: ["link", "set", "dev", tun, "up"] }, null),
  ];
}

/** Our rules, before the local table wherever that is looked up now. */
function ourRules(family: Family, { uplinks, table }: Desired, rules: readonly Rule[]): Action[] {
  const local = Math.min(...rules.filter((r) => isLocal(r) && r.priority > 0).map((r) => r.priority), LOCAL_PREFERENCE);
  const pref = `${Math.min(OUR_PREFERENCE, local - 1)}`;
  return uplinks.map((uplink) => {
    const rule = ["pref", pref, "iif", uplink, "lookup", `${table}`, "protocol", PROTOCOL];
    return own(ipStep(family, "rule", "add", ...rule), ipStep(family, "rule", "del", ...rule));
  });
}

/** Keeps what leaves from egress IPs within this host's slices. Without slices there is nothing to do, and no nft needed. */
export const keepPorts = ({ tun, uplinks, egress }: Desired): Action[] =>
  egress.some(({ ranges }) => ranges.length > 0)
    ? [own({ nft: egressRules(tun, uplinks, egress) }, { nft: removeRules(tun) })]
    : [];

/** Whether an address is to be on this host: an egress IP only where programs may send from it. */
export const belongsHere = (vip: Prefix, { egress }: Desired): boolean =>
  !egress.some(({ ip, ranges }) => ranges.length === 0 && formatAddress(ip) === formatPrefix(vip));

/** Takes one VIP over: its routes in our table first, then the address, so that the kernel never answers for it by itself. */
export function addVip(vip: Prefix, desired: Desired, state: HostState): Action[] {
  const { mode, tun, table } = desired;
  const text = formatPrefix(vip);
  const { family } = vip.address;
  const full = fullPrefix(vip);
  const route = (...args: string[]): Action => ({
    ...own(ipStep(family, "route", "add", ...args), ipStep(family, "route", "del", ...args)),
    vip: text,
  });
  const inTable = ["table", `${table}`, "metric"];
  const actions = [route("blackhole", full, ...inTable, BLACKHOLE_METRIC, "protocol", PROTOCOL)];
  if (mode === "tun") actions.push(route(full, "dev", tun, ...inTable, TUN_METRIC, "protocol", PROTOCOL));
  return belongsHere(vip, desired) ? [...actions, ...addAddress(vip, state)] : actions;
}

/** The prefix with its length, also where that is the whole address. */
const fullPrefix = (vip: Prefix): string => `${formatPrefix(vip).split("/")[0]}/${vip.length}`;

/** Makes one VIP an address of this host. */
export function addAddress(vip: Prefix, state: HostState): Action[] {
  const text = formatPrefix(vip);
  const { family } = vip.address;
  const full = fullPrefix(vip);
  // Somebody else's stays somebody else's; another instance's is left by whoever goes last.
  if (state.local.has(text) && !state.claimed.has(text)) return [];
  const present = state.local.has(text);
  const address = (apply: Step, undo: Step): Action => ({ scope: "address", apply: present ? null : apply, undo, vip: text });
  if (vip.length < (family === 4 ? 32 : 128)) {
    const local = ["local", full, "dev", "lo", "protocol", PROTOCOL];
    return [address(ipStep(family, "route", "add", ...local), ipStep(family, "route", "del", ...local))];
  }
  // Neither is ever the source of what the host sends by itself: scope host, and a preferred lifetime of 0.
  const how = family === 4 ? ["scope", "host"] : ["nodad", "preferred_lft", "0"];
  const onLo = ["addr", "add", full, "dev", "lo"];
  return [address(ipStep(family, ...onLo, ...how), ipStep(family, "addr", "del", full, "dev", "lo"))];
}

/** All actions from the state to what is wanted, in order. Throws a Failure where the host cannot be made so. */
export function planSetup(desired: Desired, state: HostState): Action[] {
  if (state.rules[6] === null && desired.vips.some((vip) => vip.address.family === 6)) {
    throw new Failure(
      "the config has IPv6 VIPs, but this host has no IPv6 (write 0 to net.ipv6.conf.lo.disable_ipv6, or remove them)",
    );
  }
  const arp = (uplink: string): string => `net/ipv4/conf/${uplink}`;
  return [
    ...loosenReversePath(state, desired.tun),
    // A VIP is on `lo` of every host; whoever answered ARP for it would draw all its packets.
    ...desired.uplinks.flatMap((uplink) => [
      ...atLeast(state, `${arp(uplink)}/arp_ignore`, 1),
      ...atLeast(state, `${arp(uplink)}/arp_announce`, 2),
    ]),
    ...families(state).flatMap((family) => moveLocal(family, state.rules[family]!)),
    ...(desired.mode === "tun" ? families(state).flatMap((family) => forward(family, desired.uplinks, state)) : []),
    ...(desired.mode === "tun" ? keepForwarding(state) : []),
    ...tunUp(desired.tun, state),
    ...families(state).flatMap((family) => ourRules(family, desired, state.rules[family]!)),
    // Before the addresses: nothing leaves from them untranslated.
    ...keepPorts(desired),
    ...desired.vips.flatMap((vip) => addVip(vip, desired, state)),
  ];
}

/**
 * What a reload changes of egress IPs that stay: those that become addresses of this host with its first slice, and cease to
 * be with its last one. `meanwhile` has the ports for while that is done: addresses are never without rules.
 */
export function addressChanges(before: Desired, after: Desired): { gained: Prefix[]; lost: Prefix[]; meanwhile: Desired } {
  const isEgress = ({ egress }: Desired, vip: Prefix): boolean =>
    egress.some(({ ip }) => formatAddress(ip) === formatPrefix(vip));
  const both = after.vips.filter((vip) => isEgress(before, vip) && isEgress(after, vip));
  const owned = new Set(after.egress.flatMap(({ ip, ranges }) => (ranges.length > 0 ? formatAddress(ip) : [])));
  const leaving = before.egress.filter(({ ip }) => !owned.has(formatAddress(ip)));
  return {
    gained: both.filter((vip) => !belongsHere(vip, before) && belongsHere(vip, after)),
    lost: both.filter((vip) => belongsHere(vip, before) && !belongsHere(vip, after)),
    meanwhile: { ...after, egress: [...after.egress.filter(({ ip }) => owned.has(formatAddress(ip))), ...leaving] },
  };
}

/** What a reload changes of the VIPs. */
export function vipChanges(before: readonly Prefix[], after: readonly Prefix[]): { added: Prefix[]; removed: Prefix[] } {
  const [old, now] = [new Set(before.map(formatPrefix)), new Set(after.map(formatPrefix))];
  return {
    added: after.filter((vip) => !old.has(formatPrefix(vip))),
    removed: before.filter((vip) => !now.has(formatPrefix(vip))),
  };
}
