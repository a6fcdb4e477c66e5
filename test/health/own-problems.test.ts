import assert from "node:assert/strict";
import { test } from "node:test";
import type { Desired } from "../../src/control/plan.ts";
import { type HostFacts, socketsOn } from "../../src/health/host-facts.ts";
import { networkProblems, STILL_ROUNDS, tooOld, WorkerPulses } from "../../src/health/own-problems.ts";
import { parseAddress, parsePrefix } from "../../src/wire/address.ts";

const VIPS = ["192.0.2.10", "198.51.100.0/24", "2001:db8::10"];
const DESIRED: Desired = {
  mode: "tun",
  uplinks: ["eth0"],
  tun: "hafl-s1",
  table: 104000001,
  vips: VIPS.map((text) => parsePrefix(text)!),
  egress: [],
};
const WHAT = { dips: [parseAddress("10.0.1.11")!, parseAddress("fd00:1::11")!], port: 6080, workers: 2 };

/** A host on which all is as it should be; `change` spoils it. */
function problems(
  change: (facts: { -readonly [K in keyof HostFacts]: HostFacts[K] }) => void,
  desired = DESIRED,
): [string, string][] {
  const routes = (list: readonly string[]) =>
    list.flatMap((dst) => [
      { dst, type: "blackhole" },
      { dst, dev: "hafl-s1" },
    ]);
  const rules = [
    { priority: 1, src: "all", iif: "eth0", table: "104000001", protocol: "104" },
    { priority: 2, src: "all", table: "local", protocol: "104" },
    { priority: 32766, src: "all", table: "main" },
  ];
  const facts = {
    devices: new Map([
      ["eth0", true],
      ["hafl-s1", true],
    ]),
    addresses: new Set(["192.0.2.10", "2001:db8::10", "10.0.1.11", "fd00:1::11"]),
    families: new Map([
      [4 as const, { rules, routes: routes(VIPS.slice(0, 2)), local: [{ dst: "198.51.100.0/24", type: "local", dev: "lo" }] }],
      [6 as const, { rules, routes: routes(VIPS.slice(2)), local: [] }],
    ]),
    reversePath: 0,
    gueSockets: new Map([
      ["10.0.1.11", 2],
      ["fd00:1::11", 2],
    ]),
  };
  change(facts);
  return [...networkProblems(desired, WHAT, facts)];
}
const without = <T>(set: ReadonlySet<T>, ...gone: T[]): Set<T> => new Set([...set].filter((one) => !gone.includes(one)));

test("nothing is wrong", () =>
  assert.deepEqual(
    problems(() => {}),
    [],
  ));

const AGAIN = "(start the agent again)";
const CASES: [what: string, change: Parameters<typeof problems>[0], ...problem: [source: string, text: string]][] = [
  ["the TUN is gone", (f) => (f.devices = new Map([["eth0", true]])), "tun", "hafl-s1 is gone"],
  [
    "the TUN is down",
    (f) => (f.devices = new Map(f.devices).set("hafl-s1", false)),
    "tun",
    "hafl-s1 is down (ip link set hafl-s1 up)",
  ],
  [
    "the uplink is down",
    (f) => (f.devices = new Map(f.devices).set("eth0", false)),
    "uplink",
    "eth0 is down (ip link set eth0 up)",
  ],
  [
    "a strict rp_filter",
    (f) => (f.reversePath = 1),
    "rp_filter",
    "rp_filter of hafl-s1 is 1: the kernel drops what is delivered (sysctl -w net.ipv4.conf.{all,hafl-s1}.rp_filter=0)",
  ],
  [
    "VIPs are missing",
    (f) => (f.addresses = without(f.addresses, "192.0.2.10", "2001:db8::10")),
    "vips",
    "192.0.2.10, 2001:db8::10 missing on lo (ip addr add 192.0.2.10/32 dev lo)",
  ],
  [
    "a prefix is missing",
    (f) => (f.families = new Map(f.families).set(4, { ...f.families.get(4)!, local: [] })),
    "vips",
    "198.51.100.0/24 missing on lo (ip route add local 198.51.100.0/24 dev lo)",
  ],
  [
    "the rule is gone",
    (f) => (f.families = new Map(f.families).set(6, { ...f.families.get(6)!, rules: [] })),
    "rules",
    `no rule leads IPv6 packets from eth0 to table 104000001 ${AGAIN}`,
  ],
  [
    "the local table is back at its place",
    (f) => {
      const { rules, ...rest } = f.families.get(4)!;
      f.families = new Map(f.families).set(4, { ...rest, rules: [{ priority: 0, src: "all", table: "local" }, ...rules] });
    },
    "rules",
    `IPv4: the local table is looked up at 0, before rule 1 ${AGAIN}`,
  ],
  [
    "a blackhole is missing",
    (f) => {
      const { routes, ...rest } = f.families.get(4)!;
      f.families = new Map(f.families).set(4, {
        ...rest,
        routes: routes.filter(({ type, dst }) => !(type === "blackhole" && dst === "192.0.2.10")),
      });
    },
    "rules",
    `the blackhole route of 192.0.2.10 is missing in table 104000001 ${AGAIN}`,
  ],
  [
    "a route to the TUN is missing",
    (f) => {
      const { routes, ...rest } = f.families.get(6)!;
      f.families = new Map(f.families).set(6, { ...rest, routes: routes.filter(({ dev }) => dev === undefined) });
    },
    "rules",
    `the route of 2001:db8::10 to hafl-s1 is missing in table 104000001 ${AGAIN}`,
  ],
  [
    "the DIP is gone",
    (f) => (f.addresses = without(f.addresses, "10.0.1.11")),
    "gue",
    "10.0.1.11, where GUE is sent, is not an address of this host",
  ],
  [
    "a socket is gone",
    (f) => (f.gueSockets = new Map(f.gueSockets).set("fd00:1::11", 1)),
    "gue",
    `1 of 2 sockets listen on fd00:1::11 UDP port 6080 ${AGAIN}`,
  ],
];
for (const [what, change, ...problem] of CASES)
  test(what, () =>
    assert.deepEqual(
      problems((facts) => void change(facts)),
      [problem],
    ),
  );

test("what is not wrong", () => {
  assert.deepEqual(
    problems((f) => {
      f.reversePath = 2;
    }),
    [],
    "a loose rp_filter",
  );
  const ipv6 = { ...DESIRED, vips: [parsePrefix("2001:db8::10")!] };
  assert.deepEqual(
    problems((f) => {
      f.reversePath = 1;
    }, ipv6),
    [],
    "a strict one, where there is no IPv4",
  );
  const packets = { ...DESIRED, mode: "af-packet" as const };
  const noDevice = (f: { families: HostFacts["families"] }): void => {
    f.families = new Map(
      [...f.families].map(([family, { routes, ...rest }]) => [
        family,
        { ...rest, routes: routes.filter(({ dev }) => dev === undefined) },
      ]),
    );
  };
  assert.deepEqual(problems(noDevice, packets), [], "no routes to the TUN, where it is not the uplink");
  const egress = {
    ...DESIRED,
    vips: [...DESIRED.vips, parsePrefix("203.0.113.1")!],
    egress: [{ ip: parseAddress("203.0.113.1")!, ranges: [] }],
  };
  const [[source, text] = []] = problems(() => {}, egress);
  assert.equal(source, "rules", text);
});

test("workers: one that stands still, one that stays behind, one that is not to run", () => {
  const round = (pulses: WorkerPulses, turns: number[], seen = [5, 5]) =>
    pulses.judge(
      turns.map((n, i) => ({ turns: n, seen: seen[i]! })),
      5,
    );
  const still = new WorkerPulses();
  for (let i = 0; i < STILL_ROUNDS; i++) assert.equal(round(still, [i, 7]), null);
  assert.match(round(still, [99, 7])!, /^worker 1 is stuck/);
  assert.equal(round(still, [100, 8]), null);
  const behind = new WorkerPulses();
  for (let i = 0; i < STILL_ROUNDS - 1; i++) assert.equal(round(behind, [i, i], [4, 5]), null);
  assert.match(round(behind, [10, 10], [4, 5])!, /^worker 0 works with generation 4, 5 is current/);
  const handedOver = new WorkerPulses();
  for (let i = 0; i < 9; i++) assert.equal(round(handedOver, [3, 3], [0, 0]), null);
});

test("sockets in /proc/net/udp and udp6", () => {
  const line = (address: string, port: string): string =>
    ` 1234: ${address}:${port} 00000000:0000 07 00000000:00000000 00:00000000\n`;
  const head = "   sl  local_address rem_address   st\n";
  assert.deepEqual(
    [...socketsOn(6080, head + line("0B01000A", "17C0") + line("0B01000A", "17C0") + line("0B01000A", "C000"))],
    [["10.0.1.11", 2]],
  );
  assert.deepEqual([...socketsOn(6080, head + line("010000FD000000000000000011000000", "17C0"))], [["fd00:1::11", 1]]);
});

test("tables that are too old are one problem, not another one every second", () => {
  assert.equal(tooOld(null, 60), null);
  assert.equal(tooOld(1e6, null), null);
  assert.equal(tooOld(60, 60), null);
  assert.match(tooOld(61, 60)!, /more than 60 s \(health\.maxAge\)$/);
  assert.equal(tooOld(61, 60), tooOld(63, 60));
});
