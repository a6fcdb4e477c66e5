import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostState, Rule } from "../../src/control/host-state.ts";
import {
  type Action,
  addressChanges,
  addVip,
  chooseTable,
  type Desired,
  formatStep,
  planSetup,
  vipChanges,
} from "../../src/control/plan.ts";
import { formatAddress, formatPrefix, parsePrefix } from "../../src/wire/address.ts";

const LOCAL: Rule = { priority: 0, src: "all", table: "local" };
const MAIN: Rule = { priority: 32766, src: "all", table: "main" };
const ETHER = { linkType: "ether", mtu: 1500 };

/** A host with eth0 and eth1, and sysctls as given: those not given are 0, those of IPv6 before 6.17. */
function hostState(changes: Partial<HostState> = {}, sysctls: Record<string, string> = {}): HostState {
  const missing = (path: string): boolean => path.endsWith("force_forwarding");
  return {
    rules: { 4: [LOCAL, MAIN], 6: [LOCAL, MAIN] },
    local: new Map([["10.0.1.11", "eth0"]]),
    devices: new Map([
      ["lo", { linkType: "loopback", mtu: 65536 }],
      ["eth0", ETHER],
      ["eth1", ETHER],
    ]),
    claimed: new Set(),
    sysctl: (path) => sysctls[path] ?? (missing(path) ? null : "0"),
    ...changes,
  };
}

const desired = (mode: "af-packet" | "tun", ...vips: string[]): Desired => ({
  mode,
  uplinks: ["eth0"],
  tun: "hafl-s1",
  table: 7,
  vips: vips.map((vip) => parsePrefix(vip)!),
  egress: [],
});
const applied = (actions: readonly Action[]): string[] =>
  actions.flatMap(({ apply }) => (apply === null ? [] : formatStep(apply)));
const undone = (actions: readonly Action[]): string[] =>
  actions.toReversed().flatMap(({ undo }) => (undo === null ? [] : formatStep(undo)));

const TUN_UP = [
  "ip link set dev hafl-s1 addrgenmode none mtu 65535 txqueuelen 16384",
  "sysctl -w net/ipv6/conf/hafl-s1/disable_ipv6=0",
  "sysctl -w net/ipv6/conf/hafl-s1/accept_ra=0",
  "sysctl -w net/ipv6/conf/hafl-s1/autoconf=0",
  "sysctl -w net/ipv4/conf/hafl-s1/rp_filter=0",
  "ip link set dev hafl-s1 up",
];

test("af-packet mode: all steps in order, the local rule always there, addresses last", () => {
  const actions = planSetup(desired("af-packet", "192.0.2.10", "2001:db8::10", "198.51.100.0/24"), hostState());
  assert.deepEqual(applied(actions), [
    "sysctl -w net/ipv4/conf/eth0/arp_ignore=1",
    "sysctl -w net/ipv4/conf/eth0/arp_announce=2",
    "ip -4 rule add pref 2 table local protocol 104",
    "ip -4 rule del pref 0 table local",
    "ip -6 rule add pref 2 table local protocol 104",
    "ip -6 rule del pref 0 table local",
    ...TUN_UP,
    "ip -4 rule add pref 1 iif eth0 lookup 7 protocol 104",
    "ip -6 rule add pref 1 iif eth0 lookup 7 protocol 104",
    "ip -4 route add blackhole 192.0.2.10/32 table 7 metric 1000 protocol 104",
    "ip -4 addr add 192.0.2.10/32 dev lo scope host",
    "ip -6 route add blackhole 2001:db8::10/128 table 7 metric 1000 protocol 104",
    "ip -6 addr add 2001:db8::10/128 dev lo nodad preferred_lft 0",
    "ip -4 route add blackhole 198.51.100.0/24 table 7 metric 1000 protocol 104",
    "ip -4 route add local 198.51.100.0/24 dev lo protocol 104",
  ]);
  assert.deepEqual(undone(actions), [
    "ip -4 route del local 198.51.100.0/24 dev lo protocol 104",
    "ip -4 route del blackhole 198.51.100.0/24 table 7 metric 1000 protocol 104",
    "ip -6 addr del 2001:db8::10/128 dev lo",
    "ip -6 route del blackhole 2001:db8::10/128 table 7 metric 1000 protocol 104",
    "ip -4 addr del 192.0.2.10/32 dev lo",
    "ip -4 route del blackhole 192.0.2.10/32 table 7 metric 1000 protocol 104",
    "ip -6 rule del pref 1 iif eth0 lookup 7 protocol 104",
    "ip -4 rule del pref 1 iif eth0 lookup 7 protocol 104",
    "ip -6 rule add pref 0 table local",
    "ip -6 rule del pref 2 table local protocol 104",
    "ip -4 rule add pref 0 table local",
    "ip -4 rule del pref 2 table local protocol 104",
    "sysctl -w net/ipv4/conf/eth0/arp_announce=0",
    "sysctl -w net/ipv4/conf/eth0/arp_ignore=0",
  ]);
});

test("tun mode: routes into the TUN with a blackhole behind, forwarding for that and nothing else", () => {
  const state = hostState({}, { "net/ipv6/conf/eth0/force_forwarding": "0" });
  const actions = planSetup(desired("tun", "192.0.2.10", "2001:db8::10"), state);
  assert.deepEqual(applied(actions).slice(6), [
    "ip -4 rule add pref 32765 iif eth0 blackhole protocol 104",
    "sysctl -w net/ipv4/conf/eth0/forwarding=1",
    "ip -6 rule add pref 32765 iif eth0 blackhole protocol 104",
    "sysctl -w net/ipv6/conf/eth0/force_forwarding=1",
    ...TUN_UP,
    "ip -4 rule add pref 1 iif eth0 lookup 7 protocol 104",
    "ip -6 rule add pref 1 iif eth0 lookup 7 protocol 104",
    "ip -4 route add blackhole 192.0.2.10/32 table 7 metric 1000 protocol 104",
    "ip -4 route add 192.0.2.10/32 dev hafl-s1 table 7 metric 10 protocol 104",
    "ip -4 addr add 192.0.2.10/32 dev lo scope host",
    "ip -6 route add blackhole 2001:db8::10/128 table 7 metric 1000 protocol 104",
    "ip -6 route add 2001:db8::10/128 dev hafl-s1 table 7 metric 10 protocol 104",
    "ip -6 addr add 2001:db8::10/128 dev lo nodad preferred_lft 0",
  ]);
});

test("tun mode before Linux 6.17: forwarding for all devices, router advertisements still heard, all of it restored", () => {
  const state = hostState(
    {},
    { "net/ipv6/conf/eth0/accept_ra": "1", "net/ipv6/conf/eth1/forwarding": "1", "net/ipv4/conf/eth0/forwarding": "1" },
  );
  const actions = planSetup(desired("tun"), state).filter(({ scope }) => scope === "host");
  assert.deepEqual(applied(actions).slice(6), [
    "ip -6 rule add pref 32765 not iif lo blackhole protocol 104",
    "sysctl -w net/ipv6/conf/eth0/accept_ra=2",
    "sysctl -w net/ipv6/conf/all/forwarding=1",
  ]);
  assert.deepEqual(undone(actions).slice(0, 4), [
    "sysctl -w net/ipv6/conf/all/forwarding=0",
    "sysctl -w net/ipv6/conf/eth1/forwarding=1",
    "sysctl -w net/ipv6/conf/eth0/accept_ra=1",
    "ip -6 rule del pref 32765 not iif lo blackhole protocol 104",
  ]);
});

test("a host that routes already keeps routing", () => {
  const state = hostState({}, { "net/ipv4/conf/eth0/forwarding": "1", "net/ipv6/conf/all/forwarding": "1" });
  assert.ok(!applied(planSetup(desired("tun", "192.0.2.10"), state)).some((line) => /forwarding|32765/.test(line)));
});

test("reverse path filter: off for the TUN, as strict as before for every other device", () => {
  const sysctls = { "net/ipv4/conf/all/rp_filter": "1", "net/ipv4/conf/eth1/rp_filter": "2" };
  const actions = planSetup(desired("af-packet"), hostState({}, sysctls));
  assert.deepEqual(applied(actions).slice(0, 4), [
    "sysctl -w net/ipv4/conf/default/rp_filter=1",
    "sysctl -w net/ipv4/conf/lo/rp_filter=1",
    "sysctl -w net/ipv4/conf/eth0/rp_filter=1",
    "sysctl -w net/ipv4/conf/all/rp_filter=0",
  ]);
  assert.deepEqual(undone(actions).slice(-4), [
    "sysctl -w net/ipv4/conf/all/rp_filter=1",
    "sysctl -w net/ipv4/conf/eth0/rp_filter=0",
    "sysctl -w net/ipv4/conf/lo/rp_filter=0",
    "sysctl -w net/ipv4/conf/default/rp_filter=0",
  ]);
});

test("sysctls that are stricter already are left alone", () => {
  const state = hostState({}, { "net/ipv4/conf/eth0/arp_ignore": "2", "net/ipv4/conf/eth0/arp_announce": "2" });
  assert.ok(!applied(planSetup(desired("af-packet"), state)).some((line) => line.includes("arp_")));
});

test("a local rule that another instance moved is not moved again", () => {
  const rules = [
    { priority: 1, src: "all", iif: "eth0", table: "9", protocol: "104" },
    { ...LOCAL, priority: 2, protocol: "104" },
    MAIN,
  ];
  const lines = applied(planSetup(desired("af-packet"), hostState({ rules: { 4: rules, 6: rules } })));
  assert.deepEqual(
    lines.filter((line) => line.includes("rule")),
    ["ip -4 rule add pref 1 iif eth0 lookup 7 protocol 104", "ip -6 rule add pref 1 iif eth0 lookup 7 protocol 104"],
  );
});

test("a local rule that somebody else moved: ours goes before it", () => {
  const rules = [{ ...LOCAL, priority: 1 }, MAIN];
  const lines = applied(planSetup(desired("af-packet"), hostState({ rules: { 4: rules, 6: null } })));
  assert.deepEqual(
    lines.filter((line) => line.includes("rule")),
    ["ip -4 rule add pref 0 iif eth0 lookup 7 protocol 104"],
  );
});

test("rules of others between 0 and ours are not overtaken: refused", () => {
  const state = hostState({ rules: { 4: [LOCAL, { priority: 2, src: "10.0.0.0/8", table: "5" }, MAIN], 6: null } });
  assert.throws(
    () => planSetup(desired("af-packet"), state),
    /^Error: ip -4 rule: preference 2 has a rule of another program.*\(move it to 3 or above\)$/,
  );
});

test("no IPv6 on the host: nothing of it is touched, and IPv6 VIPs are refused", () => {
  const state = hostState({ rules: { 4: [LOCAL, MAIN], 6: null } });
  assert.ok(!applied(planSetup(desired("af-packet", "192.0.2.10"), state)).some((line) => /-6|ipv6/.test(line)));
  assert.throws(() => planSetup(desired("af-packet", "2001:db8::10"), state), /this host has no IPv6/);
});

test("a VIP that is there already is neither added nor taken away", () => {
  const state = hostState({ local: new Map([["192.0.2.10", "lo"]]) });
  const actions = addVip(parsePrefix("192.0.2.10")!, desired("af-packet"), state);
  assert.ok(![...applied(actions), ...undone(actions)].some((line) => line.includes("addr")));
});

test("a VIP that is there because of another instance is taken away by the last", () => {
  const state = hostState({ local: new Map([["192.0.2.10", "lo"]]), claimed: new Set(["192.0.2.10"]) });
  const actions = addVip(parsePrefix("192.0.2.10")!, desired("af-packet"), state);
  assert.ok(!applied(actions).some((line) => line.includes("addr")));
  assert.equal(undone(actions)[0], "ip -4 addr del 192.0.2.10/32 dev lo");
  assert.equal(actions.at(-1)!.scope, "address");
});

test("a table of its own for each instance", () => {
  const table = chooseTable("s1", hostState());
  assert.equal(chooseTable("s1", hostState()), table);
  assert.notEqual(chooseTable("s2", hostState()), table);
  const taken = hostState({ rules: { 4: [{ priority: 1, table: String(table) }, LOCAL], 6: null } });
  assert.equal(chooseTable("s1", taken), table + 1);
});

test("a reload changes the VIPs that differ", () => {
  const prefixes = (...texts: string[]) => texts.map((text) => parsePrefix(text)!);
  const { added, removed } = vipChanges(
    prefixes("192.0.2.1", "192.0.2.2", "2001:db8::/64"),
    prefixes("192.0.2.2", "2001:db8::/65"),
  );
  assert.deepEqual([added.map(formatPrefix), removed.map(formatPrefix)], [["2001:db8::/65"], ["192.0.2.1", "2001:db8::/64"]]);
});

const egress = (ip: string, ...ranges: readonly [number, number][]) => ({
  ip: parsePrefix(ip)!.address,
  ranges: ranges.map(([from, to]) => ({ from, to })),
});

test("egress IPs: ports are kept within slices before the address is there, and still while it goes", () => {
  const plan = {
    ...desired("af-packet", "198.51.100.1", "198.51.100.2"),
    egress: [egress("198.51.100.1", [2048, 4095]), egress("198.51.100.2")],
  };
  const actions = planSetup(plan, hostState());
  const lines = applied(actions);
  const rules = lines.findIndex((line) => line.startsWith("nft -f - <<'END'\ntable inet hafl-s1\n"));
  assert.ok(rules > 0 && lines[rules]!.endsWith("\n}\nEND"));
  assert.deepEqual(lines.slice(rules + 1), [
    "ip -4 route add blackhole 198.51.100.1/32 table 7 metric 1000 protocol 104",
    "ip -4 addr add 198.51.100.1/32 dev lo scope host",
    // No slice here: packets are passed on, programs cannot send.
    "ip -4 route add blackhole 198.51.100.2/32 table 7 metric 1000 protocol 104",
  ]);
  assert.deepEqual(undone(actions).slice(0, 4), [
    "ip -4 route del blackhole 198.51.100.2/32 table 7 metric 1000 protocol 104",
    "ip -4 addr del 198.51.100.1/32 dev lo",
    "ip -4 route del blackhole 198.51.100.1/32 table 7 metric 1000 protocol 104",
    "nft delete table inet hafl-s1",
  ]);
});

test("egress IPs without slices here need no nft", () => {
  const plan = { ...desired("af-packet", "198.51.100.2"), egress: [egress("198.51.100.2")] };
  assert.ok(!applied(planSetup(plan, hostState())).some((line) => line.includes("nft")));
});

test("a reload that gives the first slice and takes the last one; rules for all of it meanwhile", () => {
  const vips = desired("af-packet", "198.51.100.1", "198.51.100.2", "198.51.100.3");
  const before = {
    ...vips,
    egress: [egress("198.51.100.1", [2048, 4095]), egress("198.51.100.2"), egress("198.51.100.3", [2048, 4095])],
  };
  const after = {
    ...vips,
    egress: [egress("198.51.100.1"), egress("198.51.100.2", [2048, 4095]), egress("198.51.100.3", [4096, 8191])],
  };
  const { gained, lost, meanwhile } = addressChanges(before, after);
  assert.deepEqual([gained.map(formatPrefix), lost.map(formatPrefix)], [["198.51.100.2"], ["198.51.100.1"]]);
  assert.deepEqual(
    meanwhile.egress.map(({ ip, ranges }) => [formatAddress(ip), ranges[0]!.from]),
    [
      ["198.51.100.2", 2048],
      ["198.51.100.3", 4096],
      ["198.51.100.1", 2048],
    ],
  );
});
