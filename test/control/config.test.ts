import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { effectiveConfig, loadConfig, parseConfig } from "../../src/control/config.ts";
import { formatAddress, formatPrefix } from "../../src/wire/address.ts";

const HEAD = "cluster: lab\nseed: 0123456789abcdef0123456789abcdef\n";
const HOSTS = `hosts:
  - { name: s1, dip: 10.0.1.11 }
  - { name: s2, dip: [fd00::12, 10.0.1.12], weight: 3, state: draining }
`;
const SERVICES = `services:
  - { name: web, vips: [192.0.2.10, "2001:db8::10"], ports: { tcp: [80, 443, 8000-8100], udp: 443 } }
`;
const GOOD = HEAD + HOSTS + SERVICES;

function good(text: string) {
  const result = parseConfig(text, "c.yaml");
  assert.ok("config" in result, "errors" in result ? result.errors.join("\n") : "");
  return result.config;
}

function errors(text: string): string[] {
  const result = parseConfig(text, "c.yaml");
  return "errors" in result ? result.errors : [];
}

const host = (fields: string): string => `${HEAD}hosts:\n  - { ${fields} }\n`;
const service = (fields: string): string =>
  `${HEAD + HOSTS}services:\n  - { name: web, vips: [192.0.2.10], ports: { tcp: 80 }, ${fields} }\n`;
const vips = (list: string): string => `${HEAD + HOSTS}services:\n  - { name: web, vips: [${list}], ports: any }\n`;
const ports = (map: string): string => `${HEAD + HOSTS}services:\n  - { name: web, vips: [192.0.2.10], ports: ${map} }\n`;
const PORTS = "(write ports 1-65535 or ranges like 8000-8100, or `any`)";
const VIP_FORM = '(write 192.0.2.10, 192.0.2.0/24, "2001:db8::10" or "2001:db8::/64")';
const NAME_RULE = "(1 to 63 letters, digits, dots, dashes; quote it if it looks like a number)";

/** What is wrong, the input, and every line that is printed, without the file's name. */
const BAD: [what: string, input: string, ...lines: string[]][] = [
  ["unknown key at the top", `${GOOD}hots: []\n`, 'hots: unknown key (did you mean "hosts"?)'],
  ["unknown key, nothing like it", `${GOOD}gue: { colour: 1 }\n`, "gue.colour: unknown key (known here: port)"],
  [
    "misspelt key in a host",
    host("name: s1, dip: 10.0.1.11, wieght: 2"),
    'hosts[0].wieght: unknown key (did you mean "weight"?)',
  ],
  [
    "a key that is missing because it is misspelt",
    host("name: s1, dpi: 10.0.1.11"),
    'hosts[0].dpi: unknown key (did you mean "dip"?)',
  ],
  ["no cluster", `seed: 0123456789abcdef0123456789abcdef\n${HOSTS}`, `cluster: is missing ${NAME_RULE}`],
  ["no seed", `cluster: c\n${HOSTS}`, 'seed: is missing (make one with "openssl rand -hex 16")'],
  ["short seed", `cluster: c\nseed: 0123\n${HOSTS}`, 'seed: is not 32 hex digits (make one with "openssl rand -hex 16")'],
  ["no hosts", HEAD, "hosts: is missing (write a list with at least 1)"],
  ["empty hosts", `${HEAD}hosts: []\n`, "hosts: is empty (write at least 1)"],
  ["hosts as a map", `${HEAD}hosts: { s1: 10.0.1.11 }\n`, 'hosts: {"s1":"10.0.1.11"} is not a list (start each entry with "- ")'],
  ["a host that is none", `${HEAD}hosts: [s1]\n`, 'hosts[0]: "s1" is not a map (write { name: s1, dip: 10.0.1.11 })'],
  ["a name with a slash", host("name: a/b, dip: 10.0.1.11"), `hosts[0].name: "a/b" is not a name ${NAME_RULE}`],
  ["a name that is a number", host("name: 1, dip: 10.0.1.11"), `hosts[0].name: 1 is not a name ${NAME_RULE}`],
  ["no DIP", host("name: s1"), "hosts[0].dip: is missing (write an IPv4 or IPv6 address)"],
  [
    "empty list of DIPs",
    host("name: s1, dip: []"),
    "hosts[0].dip: no address (a host needs an IPv4 address, an IPv6 address or one of each)",
  ],
  [
    "a DIP that is no address",
    host("name: s1, dip: 10.0.1"),
    'hosts[0].dip: "10.0.1" is not an address (write IPv4 like 10.0.1.11 or IPv6 like fd00::11)',
  ],
  [
    "two IPv4 DIPs",
    host("name: s1, dip: [10.0.1.1, 10.0.1.2]"),
    "hosts[0].dip[1]: a second IPv4 address (a host has at most one of each family)",
  ],
  [
    "a link-local DIP",
    host("name: s1, dip: 'fe80::1'"),
    "hosts[0].dip: fe80::1 is link-local (write an address other hosts can reach)",
  ],
  [
    "negative weight",
    host("name: s1, dip: 10.0.1.11, weight: -1"),
    "hosts[0].weight: -1 is not valid here (write a whole number from 0 to 65535)",
  ],
  [
    "fractional weight",
    host("name: s1, dip: 10.0.1.11, weight: 0.5"),
    "hosts[0].weight: 0.5 is not valid here (write a whole number from 0 to 65535)",
  ],
  [
    "unknown state",
    host("name: s1, dip: 10.0.1.11, state: up"),
    'hosts[0].state: "up" is not known (one of active, draining, down)',
  ],
  [
    "host named twice",
    `${HEAD}hosts: [{ name: s1, dip: 10.0.1.1 }, { name: s1, dip: 10.0.1.2 }]\n`,
    'hosts[1].name: "s1" is the name of hosts[0] already (names are unique; rename or remove one)',
  ],
  [
    "DIP used twice",
    `${HEAD}hosts: [{ name: s1, dip: 10.0.1.1 }, { name: s2, dip: 10.0.1.1 }]\n`,
    "hosts[1].dip: 10.0.1.1 is the DIP of hosts[0] already (each host has its own)",
  ],
  [
    "hosts without common family",
    `${HEAD}hosts: [{ name: s1, dip: 10.0.1.1 }, { name: s2, dip: 'fd00::2' }]\n`,
    'hosts[1].dip: IPv6 only, while hosts[0] "s1" has IPv4 only: neither reaches the other (give all hosts one common family)',
  ],
  ["VIP that is no address", vips("nonsense"), `services[0].vips[0]: "nonsense" is not an address or prefix ${VIP_FORM}`],
  ["VIP prefix too long", vips("192.0.2.0/33"), `services[0].vips[0]: "192.0.2.0/33" is not an address or prefix ${VIP_FORM}`],
  [
    "VIP with host bits",
    vips("192.0.2.10/24"),
    "services[0].vips[0]: 192.0.2.10/24 has bits set behind its prefix length (write 192.0.2.0/24)",
  ],
  [
    "IPv6 VIP with host bits",
    vips("'2001:db8::10/64'"),
    "services[0].vips[0]: 2001:db8::10/64 has bits set behind its prefix length (write 2001:db8::/64)",
  ],
  ["VIP far too wide", vips("0.0.0.0/0"), "services[0].vips[0]: 0.0.0.0/0 is too wide (IPv4 VIPs are /8 or longer)"],
  [
    "loopback VIP",
    vips("127.0.0.1"),
    "services[0].vips[0]: 127.0.0.1 is a loopback address (write an address clients can reach)",
  ],
  ["multicast VIP", vips("224.0.0.1"), "services[0].vips[0]: 224.0.0.1 is multicast (write an address clients can reach)"],
  ["no VIP", vips(""), "services[0].vips: no VIP (write [192.0.2.10])"],
  ["VIP listed twice", vips("192.0.2.10, 192.0.2.10"), "services[0].vips[1]: 192.0.2.10 is listed twice (remove one)"],
  [
    "VIP equal to a DIP",
    vips("192.0.2.10, 10.0.1.12"),
    'services[0].vips[1]: 10.0.1.12 is the DIP of hosts[1] "s2" (a VIP is shared by all hosts, a DIP is one host\'s own)',
  ],
  [
    "VIP prefix with a DIP in it",
    vips("10.0.1.8/30"),
    'services[0].vips[0]: 10.0.1.8/30 holds 10.0.1.11, the DIP of hosts[0] "s1" (a VIP is shared by all hosts, a DIP is one host\'s own)',
  ],
  ["port 0", ports("{ tcp: [0] }"), `services[0].ports.tcp[0]: port 0 does not exist ${PORTS}`],
  ["port 65536", ports("{ tcp: [80, 65536] }"), `services[0].ports.tcp[1]: port 65536 does not exist ${PORTS}`],
  ["reversed range", ports("{ udp: 8100-8000 }"), "services[0].ports.udp: range 8100-8000 runs backwards (write 8000-8100)"],
  ["a port that is a word", ports("{ tcp: http }"), `services[0].ports.tcp: "http" is not a port or range ${PORTS}`],
  ["no port", ports("{}"), `services[0].ports: names no port ${PORTS}`],
  ["unknown protocol", ports("{ tcp: 80, icmp: 8 }"), "services[0].ports.icmp: unknown key (known here: tcp, udp)"],
  ["unknown host in a pool", service("pool: [s1, s3]"), 'services[0].pool[1]: no host is named "s3" (did you mean "s1"?)'],
  [
    "unknown host in a weighted pool",
    service("pool: { web9: 1 }"),
    'services[0].pool.web9: no host is named "web9" (add it to `hosts` or remove it here)',
  ],
  ["host twice in a pool", service("pool: [s1, s1]"), 'services[0].pool[1]: "s1" is in this pool already (remove one)'],
  ["a pool that is a word", service("pool: s1"), 'services[0].pool: "s1" is not a pool (write [s1, s2] or { s1: 3, s2: 1 })'],
  [
    "bad pool weight",
    service("pool: { s1: many }"),
    'services[0].pool.s1: "many" is not valid here (write a whole number from 0 to 65535)',
  ],
  ["unknown UDP mode", service("udp: fast"), 'services[0].udp: "fast" is not known (one of stateless, flow, quic)'],
  [
    "unknown hash",
    service("hash: 4-tuple"),
    'services[0].hash: "4-tuple" is not known (one of 5-tuple, source, source-port, destination-port)',
  ],
  [
    "two services with one name",
    `${GOOD}  - { name: web, vips: [192.0.2.20], ports: { tcp: 80 } }\n`,
    'services[1].name: "web" is the name of services[0] already (names are unique; rename or remove one)',
  ],
  [
    "two services on one port",
    `${GOOD}  - { name: alt, vips: [192.0.2.20, 192.0.2.10], ports: { tcp: 8050-9000 } }\n`,
    'services[1].vips[1]: 192.0.2.10 tcp ports 8050-8100 belongs to services[0] "web" already (a port of a VIP has one service)',
  ],
  [
    "GUE port among the source ports",
    `${GOOD}gue: { port: 50000 }\n`,
    "gue.port: 50000 is not valid here (write a port from 1 to 49151; those above are what GUE is sent from)",
  ],
  ["table size no prime", `${GOOD}table: { size: 65536 }\n`, "table.size: 65536 is not a prime (the next one is 65537)"],
  [
    "table size too large",
    `${GOOD}table: { size: 1000004 }\n`,
    "table.size: 1000004 is not valid here (write a whole number from 2 to 1000003)",
  ],
  [
    "flow table too small",
    `${GOOD}flowTable: { size: 1 }\n`,
    "flowTable.size: 1 is not valid here (write a whole number from 1024 to 16777216)",
  ],
  ["unknown io mode", `${GOOD}io: { mode: dpdk }\n`, 'io.mode: "dpdk" is not known (one of af-packet, tun)'],
  ["no CPUs", `${GOOD}io: { cpus: [] }\n`, "io.cpus: no CPU (write [0, 1])"],
  [
    "a CPU that is none",
    `${GOOD}io: { cpus: [0, x] }\n`,
    'io.cpus[1]: "x" is not valid here (write a whole number from 0 to 1023)',
  ],
  [
    "endless polling",
    `${GOOD}io: { busyPollUs: 1e6 }\n`,
    "io.busyPollUs: 1000000 is not valid here (write a whole number from 0 to 100000)",
  ],
  [
    "an offload that is none",
    `${GOOD}io: { offloads: { joinTcp: on } }\n`,
    'io.offloads.joinTcp: "on" is not known (one of auto, off)',
  ],
  [
    "an unknown offload",
    `${GOOD}io: { offloads: { joinTpc: off } }\n`,
    'io.offloads.joinTpc: unknown key (did you mean "joinTcp"?)',
  ],
  ["no workers", `${GOOD}io: { workers: 0 }\n`, "io.workers: 0 is not valid here (write a whole number from 1 to 64, or auto)"],
  [
    "device name too long",
    `${GOOD}io: { uplink: averyverylongname }\n`,
    'io.uplink: "averyverylongname" is not a device name (write eth0)',
  ],
  [
    "slice of ports below 1024",
    `${GOOD}egress: [{ ip: 198.51.100.1, owners: { s1: [0] } }]\n`,
    "egress[0].owners.s1[0]: slice 0 is ports 0-2047 (slices of 2048 are 1 to 31: ports 1024 to 65535)",
  ],
  [
    "slice beyond the last port",
    `${GOOD}egress: [{ ip: 198.51.100.1, sliceSize: 1000, owners: { s1: [65] } }]\n`,
    "egress[0].owners.s1[0]: slice 65 is ports 65000-65999 (slices of 1000 are 2 to 64: ports 1024 to 65535)",
  ],
  [
    "slice with two owners",
    `${GOOD}egress: [{ ip: 198.51.100.1, owners: { s1: [1, 2], s2: [2] } }]\n`,
    'egress[0].owners.s2[0]: slice 2 belongs to "s1" already (a slice has one owner)',
  ],
  [
    "slice of an unknown host",
    `${GOOD}egress: [{ ip: 198.51.100.1, owners: { s7: [1] } }]\n`,
    'egress[0].owners.s7: no host is named "s7" (did you mean "s1"?)',
  ],
  [
    "egress IP that is a VIP",
    `${GOOD}egress: [{ ip: 192.0.2.10, owners: {} }]\n`,
    'egress[0].ip: 192.0.2.10 is in VIP 192.0.2.10 of services[0] "web" (an egress IP serves nothing)',
  ],
  [
    "slices too small",
    `${GOOD}egress: [{ ip: 198.51.100.1, sliceSize: 32, owners: {} }]\n`,
    "egress[0].sliceSize: 32 is not valid here (write a whole number from 64 to 32768)",
  ],
  ["drop rule without match", `${GOOD}drop: [{ name: ntp }]\n`, 'drop[0].match: is missing (write "udp and src port 123")'],
  [
    "limit of nothing",
    `${GOOD}drop: [{ name: a, match: udp, limit: { per: /24 } }]\n`,
    "drop[0].limit: limits nothing (write pps: 1000 or bps: 1000000)",
  ],
  [
    "limit per nonsense",
    `${GOOD}drop: [{ name: a, match: udp, limit: { pps: 1, per: 24x } }]\n`,
    'drop[0].limit.per: "24x" is not a prefix length (write /24)',
  ],
  [
    "drop rules with one name",
    `${GOOD}drop: [{ name: a, match: udp }, { name: a, match: tcp }]\n`,
    'drop[1].name: "a" is the name of drop[0] already (names are unique; rename or remove one)',
  ],
];

for (const [what, input, ...lines] of BAD) {
  test(`refused: ${what}`, () => {
    assert.deepEqual(
      errors(input),
      lines.map((line) => `c.yaml: ${line}`),
    );
  });
}

test("every mistake is reported, not only the first, and none hides another", () => {
  const found = errors(`${HEAD}hosts:
  - { name: s1, dip: 10.0.1.11, state: up }
  - { name: s1, dip: 10.0.1.300 }
services:
  - { name: web, vips: [10.0.1.11, x], ports: { tcp: 0 }, pool: [s9] }
  - { name: alt, vips: [10.0.1.11], ports: { tcp: 0 } }
table: { size: 4 }
io: { mode: x }
`);
  assert.deepEqual(
    found.map((line) => line.split(": ")[1]),
    [
      "hosts[0].state",
      "hosts[1].dip",
      "services[0].vips[1]",
      "services[0].ports.tcp",
      "services[1].ports.tcp",
      "io.mode",
      "hosts[1].name",
      "services[1].vips[0]",
      "services[0].pool[0]",
      "table.size",
    ],
  );
  for (const line of found) assert.match(line, /^c\.yaml: \S+: .+ \(.+\)$|^c\.yaml: \S+: unknown key/);
});

test("YAML errors have line and column", () => {
  assert.deepEqual(errors("cluster: a\nhosts: [1, 2\nseed: x\n"), [
    "c.yaml:3:1: not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]",
  ]);
  assert.deepEqual(errors("cluster: a\ncluster: b\n"), ["c.yaml:2:1: not YAML: Map keys must be unique"]);
  assert.deepEqual(errors(""), ["c.yaml: the file is empty (see `hafl help check` for an example)"]);
  assert.deepEqual(errors("- 1\n"), ["c.yaml: not a map at the top (write `cluster: NAME`, `hosts:`, ...)"]);
  assert.equal(errors("cluster: *x\n").length, 1);
});

test("a file that cannot be read is an error line", () => {
  assert.deepEqual(loadConfig("/nonexistent/c.yaml"), { errors: ["/nonexistent/c.yaml: no such file (check the path)"] });
  const dir = mkdtempSync(join(tmpdir(), "hafl-config-"));
  try {
    writeFileSync(join(dir, "c.yaml"), GOOD);
    assert.ok("config" in loadConfig(join(dir, "c.yaml")));
    assert.deepEqual(loadConfig(dir), { errors: [`${dir}: cannot be read: EISDIR (check its permissions)`] });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("defaults", () => {
  const config = good(GOOD);
  assert.deepEqual(
    [config.gue, config.table, config.flowTable, config.io],
    [
      { port: 6080 },
      { size: 65537, drainSeconds: 300 },
      { size: 1_000_000 },
      {
        mode: "af-packet",
        uplink: null,
        workers: "auto",
        cpus: null,
        busyPollUs: 0,
        offloads: { sendTrains: "auto", receiveTrains: "auto", joinTcp: "auto", joinUdp: "auto" },
      },
    ],
  );
  const [s1, s2] = config.hosts;
  assert.deepEqual([s1!.weight, s1!.state, s2!.weight, s2!.state], [1, "active", 3, "draining"]);
  assert.deepEqual(s2!.dips.map(formatAddress), ["10.0.1.12", "fd00::12"]);
  const [web] = config.services;
  assert.deepEqual([web!.udp, web!.hash], ["flow", "5-tuple"]);
  assert.deepEqual(web!.vips.map(formatPrefix), ["192.0.2.10", "2001:db8::10"]);
  assert.deepEqual(web!.pool, [
    { host: "s1", weight: 1 },
    { host: "s2", weight: 3 },
  ]);
});

test("pools: own weights, none of the hosts, and weights of the hosts where a list names them", () => {
  const pool = (text: string): unknown => good(service(`pool: ${text}`)).services[0]!.pool;
  assert.deepEqual(pool("{ s2: 1, s1: 0 }"), [
    { host: "s2", weight: 1 },
    { host: "s1", weight: 0 },
  ]);
  assert.deepEqual(pool("[s2]"), [{ host: "s2", weight: 3 }]);
  assert.deepEqual(pool("[]"), []);
});

test("ports: any, single, ranges; sorted and merged", () => {
  const of = (text: string): unknown => good(ports(text)).services[0]!.ports;
  assert.deepEqual(of("any"), { tcp: [{ from: 0, to: 65535 }], udp: [{ from: 0, to: 65535 }] });
  assert.deepEqual(of("{ tcp: [443, 80, 81, 90-100, 95-110] }"), {
    tcp: [
      { from: 80, to: 81 },
      { from: 90, to: 110 },
      { from: 443, to: 443 },
    ],
    udp: [],
  });
});

test("services may share a VIP on different ports; the GUE port may be one of them", () => {
  good(`${GOOD}  - { name: gue, vips: [192.0.2.10], ports: { udp: 6080 } }\n  - { name: all, vips: [192.0.2.11], ports: any }\n`);
});

test("a seed of digits is taken as it is written, not as a number", () => {
  const { seed } = good(GOOD.replace(/seed: .*/, "seed: 01234567890123456789012345678901"));
  assert.equal(Buffer.from(seed).toString("hex"), "01234567890123456789012345678901");
});

test("the flow table can be off", () => {
  assert.equal(good(`${GOOD}flowTable: off\n`).flowTable, null);
});

test("frozen through and through", () => {
  const config = good(GOOD);
  for (const part of [config, config.hosts, config.hosts[0]!, config.hosts[0]!.dips, config.services[0]!.ports.tcp, config.io])
    assert.ok(Object.isFrozen(part));
});

test("the effective config says everything: reading it gives the same", () => {
  const all = `${GOOD}egress: [{ ip: 198.51.100.1, owners: { s1: [1, 2], s2: [3] } }]
drop:
  - { name: ntp, match: "udp and src port 123", sample: 1000 }
  - { name: syn, match: "tcp[tcpflags] = tcp-syn", limit: { pps: 1000, per: /24 } }
flowTable: off
io: { mode: tun, uplink: eth0, workers: 4 }
`;
  for (const text of [GOOD, all, service("pool: []"), ports("any")]) {
    const config = good(text);
    const effective = effectiveConfig(config);
    assert.deepEqual(good(effective), config);
    for (const key of ["drainSeconds", "workers", "uplink", "hash", "udp", "state", "weight", "flowTable", "gue"])
      assert.match(effective, new RegExp(`\\b${key}:`));
  }
});

test("egress and drop are read in full", () => {
  const config = good(`${GOOD}egress: [{ ip: 198.51.100.1, owners: { s1: [1] } }]\ndrop: [{ name: a, match: udp }]\n`);
  assert.deepEqual(config.egress[0]!.owners, { s1: [1] });
  assert.deepEqual(config.drop, [{ name: "a", match: "udp", sample: null, limit: null }]);
});
