import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import type { HostState } from "../../src/control/host-state.ts";
import { readSysctl } from "../../src/control/host-state.ts";
import { Network } from "../../src/control/network.ts";
import { chooseTable, type Desired } from "../../src/control/plan.ts";
import { native } from "../../src/io/native.ts";
import { parsePrefix } from "../../src/wire/address.ts";
import { ip, sysctl, until } from "../support/netns.ts";

const VIPS = ["192.0.2.10", "198.51.100.0/24", "2001:db8::10", "2001:db8:1::/64"].map((text) => parsePrefix(text)!);
const NOTHING: HostState = {
  rules: { 4: [], 6: [] },
  local: new Map(),
  devices: new Map(),
  claimed: new Set(),
  sysctl: () => null,
};
const FOREIGN = parsePrefix("192.0.2.55")!;

let dir = "";
let was = "";
let tuns: number[] = [];

/** Everything but the TUNs, which the tests make. */
function hostNetwork(): string {
  const lines = ["rule", "-6 rule", "route show table all", "-6 route show table all", "-o addr show"].map((line) => ip(line));
  const settings = ["all", "default", "lo", "up0", "n0"].flatMap((device) =>
    [
      "ipv4/conf/DEV/rp_filter",
      "ipv4/conf/DEV/arp_ignore",
      "ipv4/conf/DEV/arp_announce",
      "ipv4/conf/DEV/forwarding",
      "ipv6/conf/DEV/forwarding",
      "ipv6/conf/DEV/force_forwarding",
      "ipv6/conf/DEV/accept_ra",
    ].map((path) => `${path.replace("DEV", device)}=${readSysctl(`net/${path.replace("DEV", device)}`)}`),
  );
  return [...lines.flatMap((text) => text.split("\n")).filter((line) => !line.includes("hafl-")), ...settings].join("\n");
}

function instance(name: string): Network {
  const runtime = join(dir, name);
  if (!existsSync(runtime)) mkdirSync(runtime);
  return new Network(runtime);
}

const desire =
  (name: string, mode: Desired["mode"], vips = VIPS) =>
  (state: HostState): Desired => ({
    mode,
    uplinks: ["up0"],
    tun: `hafl-${name}`,
    table: chooseTable(name, state),
    vips,
    egress: [],
  });

before(() => {
  ip("link set lo up");
  ip("link add up0 type veth peer name n0");
  for (const device of ["up0", "n0"]) ip(`link set ${device} addrgenmode none up`);
  ip("addr add 10.9.9.1/24 dev up0");
  ip("-6 addr add fd09::1/64 dev up0 nodad");
  ip("addr add 192.0.2.55/32 dev lo");
  sysctl("net/ipv4/conf/all/rp_filter", 1);
  sysctl("net/ipv4/conf/n0/rp_filter", 2);
});

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hafl-network-"));
  was = hostNetwork();
  tuns = ["hafl-a", "hafl-b"].map((name) => native().openTun(name, true));
});

afterEach(() => {
  for (const fd of tuns) native().close(fd);
  assert.equal(hostNetwork(), was);
  const left = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter(
    (name) => name.includes("undo") || name.startsWith("."),
  );
  assert.deepEqual(left, []);
  rmSync(dir, { recursive: true });
});

after(() => ip("link del up0"));

for (const mode of ["af-packet", "tun"] as const) {
  test(`${mode}: set up and undone`, () => {
    const network = instance("a");
    network.setUp(desire("a", mode, [...VIPS, FOREIGN]));
    assert.match(ip("route get 192.0.2.10"), /^local 192\.0\.2\.10 dev lo/);
    const fromUplink = (to: string, from: string): string => {
      try {
        return ip(`route get ${to} from ${from} iif up0`);
      } catch {
        return "dropped";
      }
    };
    for (const [vip, client] of [
      ["192.0.2.10", "10.9.9.2"],
      ["2001:db8::10", "fd09::2"],
    ] as const) {
      assert.match(fromUplink(vip, client), mode === "tun" ? /dev hafl-a/ : /dropped/);
    }
    assert.match(fromUplink("10.9.9.1", "10.9.9.2"), /^local/);
    assert.equal(readSysctl("net/ipv4/conf/all/rp_filter"), "0");
    assert.deepEqual([readSysctl("net/ipv4/conf/up0/rp_filter"), readSysctl("net/ipv4/conf/n0/rp_filter")], ["1", "2"]);
    assert.deepEqual(network.undo(), []);
    assert.deepEqual(network.undo(), []);
  });

  test(`${mode}: two instances, whichever goes first, and one that dies`, () => {
    for (const order of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      instance("a").setUp(desire("a", mode));
      instance("b").setUp(desire("b", mode, VIPS.slice(0, 3)));
      const [first, last] = order;
      assert.deepEqual(instance(first).undo(), []);
      assert.match(ip("rule"), /^1:.*iif up0.*\n2:.*lookup local/);
      assert.match(ip("route get 192.0.2.10"), /^local/);
      assert.equal(readSysctl("net/ipv4/conf/all/rp_filter"), "0");
      assert.deepEqual(instance(last).undo(), []);
      assert.equal(hostNetwork(), was);
    }
  });
}

/** What the kernel reports of rules, addresses and routes while something is done. */
async function monitored(work: () => void): Promise<string> {
  let seen = "";
  const monitor = spawn("ip", ["monitor", "rule", "address", "route"], { stdio: ["ignore", "pipe", "inherit"] });
  monitor.stdout.on("data", (text) => {
    seen += text;
  });
  // A change of its own tells that it listens, and later that it has heard all.
  const mark = async (address: string): Promise<void> => {
    ip(`addr add ${address}/32 dev n0`);
    await until("ip monitor", () => seen.includes(address));
    ip(`addr del ${address}/32 dev n0`);
  };
  await new Promise((resolve) => setTimeout(resolve, 100));
  await mark("192.0.2.201");
  seen = "";
  work();
  await mark("192.0.2.202");
  monitor.kill();
  return seen;
}

for (const mode of ["af-packet", "tun"] as const) {
  test(`${mode}: what an agent that died had left stays all the time, but for what is not wanted any more`, async () => {
    instance("a").setUp(desire("a", mode, VIPS.slice(0, 3)));
    // Its TUN died with it, and the routes to it.
    native().close(tuns[0]!);
    tuns[0] = native().openTun("hafl-a", true);
    const seen = await monitored(() => {
      instance("a").setUp(desire("a", mode, [VIPS[0]!, VIPS[2]!, VIPS[3]!]));
    });
    const deleted = seen.split("\n").filter((line) => line.startsWith("Deleted") && !/192\.0\.2\.20|fe80|ff00/.test(line));
    assert.ok(deleted.length > 0 && deleted.every((line) => line.includes("198.51.100.")), deleted.join("\n"));
    assert.match(ip("-6 route get 2001:db8:1::77"), /^local/);
    assert.match(ip(`route show table ${desire("a", mode)(NOTHING).table}`), /^blackhole 192\.0\.2\.10/m);
    assert.deepEqual(instance("a").undo(), []);
  });
}

test("an IPv6 address that another instance has added is there before the kernel has made its route", () => {
  instance("a").setUp(desire("a", "af-packet"));
  // The kernel makes it in its own time (addrconf_dad_work); without it the address is as it was just before.
  ip("-6 route del local 2001:db8::10 dev lo table local");
  instance("b").setUp(desire("b", "af-packet"));
  for (const name of ["a", "b"]) assert.deepEqual(instance(name).undo(), []);
});

for (const mode of ["af-packet", "tun"] as const) {
  test(`${mode}: who takes over touches nothing that is as it should be, puts right what is not, and what cannot be stays`, async () => {
    const desired = instance("a").setUp(desire("a", mode));
    const before = hostNetwork();
    const seen = await monitored(() => instance("a").renew(desired));
    const deleted = seen.split("\n").filter((line) => line.startsWith("Deleted") && !/192\.0\.2\.20|fe80|ff00/.test(line));
    assert.deepEqual(deleted, []);
    assert.equal(hostNetwork(), before);
    ip("addr del 192.0.2.10/32 dev lo");
    ip("-6 rule del pref 1");
    assert.notEqual(hostNetwork(), before);
    instance("a").renew(desired);
    assert.equal(hostNetwork(), before);
    assert.throws(() => instance("a").renew({ ...desired, tun: "hafl-none" }), /hafl-none/);
    assert.equal(hostNetwork(), before);
    assert.deepEqual(instance("a").undo(), []);
  });
}

test("VIPs come and go while it runs", () => {
  const network = instance("a");
  const desired = network.setUp(desire("a", "tun", VIPS.slice(0, 1)));
  const before = hostNetwork();
  network.addVips(VIPS.slice(1), desired);
  assert.match(ip("-6 route get 2001:db8:1::77"), /^local/);
  assert.deepEqual(network.removeVips(VIPS.slice(1)), []);
  assert.equal(hostNetwork(), before);
  network.undo();
});

test("a step that fails names the command, and everything before it is undone", () => {
  const network = instance("a");
  const wrong = (state: HostState): Desired => ({ ...desire("a", "tun")(state), tun: "hafl-none" });
  assert.throws(() => network.setUp(wrong), {
    message: /^(sysctl net\/ipv6\/conf\/hafl-none|`ip link set dev hafl-none).*(Cannot find device|ENOENT)/,
  });
});

test("things that are gone already are no problem", () => {
  const network = instance("a");
  network.setUp(desire("a", "af-packet"));
  ip("addr del 192.0.2.10/32 dev lo");
  ip("-6 rule del pref 1");
  ip("rule add pref 0 table local");
  sysctl("net/ipv4/conf/up0/arp_ignore", 0);
  assert.deepEqual(network.undo(), []);
});

test("a sysctl that somebody else has changed meanwhile is theirs", () => {
  const network = instance("a");
  network.setUp(desire("a", "af-packet"));
  sysctl("net/ipv4/conf/up0/arp_ignore", 2);
  assert.deepEqual(network.undo(), []);
  assert.equal(readSysctl("net/ipv4/conf/up0/arp_ignore"), "2");
  sysctl("net/ipv4/conf/up0/arp_ignore", 0);
});

test("a thousand VIPs are set up and taken down in a few seconds", () => {
  const many = Array.from({ length: 1000 }, (_, i) => parsePrefix(`203.0.${i >> 8}.${i & 255}`)!);
  const network = instance("a");
  const begin = performance.now();
  network.setUp(desire("a", "af-packet", many));
  assert.deepEqual(network.undo(), []);
  assert.ok(performance.now() - begin < 5000);
});
