import assert from "node:assert/strict";
import { test } from "node:test";
import { type Config, parseConfig } from "../../src/control/config.ts";
import type { HostState } from "../../src/control/host-state.ts";
import { findUplink, outerMtu, ownHost, tunName } from "../../src/control/own-place.ts";
import { requireCapabilities } from "../../src/control/privileges.ts";
import { refusedChanges, sameConfig, vipsOf } from "../../src/control/running-config.ts";
import { LINK_ETHERNET, LINK_RAW } from "../../src/io/packet-io.ts";

const TEXT = `cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }, { name: s2, dip: [10.0.1.12, 'fd00::12'] }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: 80 } }, { name: alt, vips: [192.0.2.10], ports: { tcp: 81 } }]
`;

function config(text = TEXT): Config {
  const result = parseConfig(text, "c.yaml");
  assert.ok("config" in result, JSON.stringify(result));
  return result.config;
}

const state = (local: Record<string, string>): HostState => ({
  rules: { 4: [], 6: [] },
  local: new Map(Object.entries(local)),
  devices: new Map([
    ["lo", { linkType: "loopback", mtu: 65536 }],
    ["eth0", { linkType: "ether", mtu: 1500 }],
    ["eth1", { linkType: "ether", mtu: 9000 }],
    ["wg0", { linkType: "none", mtu: 1420 }],
    ["ib0", { linkType: "infiniband", mtu: 2044 }],
  ]),
  claimed: new Set(),
  sysctl: () => null,
});
const S2 = state({ "10.0.1.12": "eth1", "fd00::12": "eth0" });

test("the own host is the one whose DIP is here, or the one named", () => {
  assert.equal(ownHost(config(), "c.yaml", undefined, S2).name, "s2");
  assert.equal(ownHost(config(), "c.yaml", "s2", S2).name, "s2");
  const refuse = (name: string | undefined, at: HostState, line: string): void => {
    assert.throws(() => ownHost(config(), "c.yaml", name, at), { message: line });
  };
  refuse(undefined, state({}), "c.yaml: hosts: no host has its DIP on this machine (say which one this is with --host)");
  refuse(
    undefined,
    state({ "10.0.1.11": "eth0", "10.0.1.12": "eth0" }),
    "c.yaml: hosts: s1 and s2 have their DIPs on this machine (say which one this is with --host)",
  );
  refuse("s3", S2, '--host: no host is named "s3" in c.yaml (did you mean "s1"?)');
  refuse(
    "s2",
    state({ "10.0.1.12": "eth0" }),
    'c.yaml: hosts[1].dip: fd00::12 of "s2" is on no device of this machine (add it to one, or name the right host with --host)',
  );
});

test("the uplink: option, config, or the device of the DIP", () => {
  const [, s2] = config().hosts;
  const uplink = (option: string | undefined, of = config()) => findUplink(of, "c.yaml", option, s2!, S2);
  assert.deepEqual(uplink(undefined), { device: "eth1", link: LINK_ETHERNET });
  assert.deepEqual(uplink("wg0"), { device: "wg0", link: LINK_RAW });
  const written = config(`${TEXT}io: { uplink: eth7 }\n`);
  assert.deepEqual(uplink("eth0", written), { device: "eth0", link: LINK_ETHERNET });
  assert.throws(() => uplink(undefined, written), {
    message:
      'c.yaml: io.uplink: no device "eth7" on this machine (it has lo, eth0, eth1, wg0, ib0; --uplink overrides the config)',
  });
  assert.throws(() => uplink("ib0"), /^Error: --uplink: ib0 has link type infiniband/);
  assert.equal(outerMtu(s2!, S2), 1500);
});

test("device names fit, and differ where the instances do", () => {
  assert.equal(tunName("s1"), "hafl-s1");
  const long = ["a-very-long-instance-1", "a-very-long-instance-2"].map(tunName);
  assert.ok(long.every((name) => name.length === 15));
  assert.notEqual(long[0], long[1]);
});

test("what cannot change while the agent runs is refused, by field", () => {
  const before = config();
  const lines = (text: string): string[] => refusedChanges(before, config(text), "s1", "c.yaml");
  assert.deepEqual(lines(TEXT), []);
  assert.deepEqual(lines(TEXT.replace("fd00::12", "fd00::13")), []);
  assert.deepEqual(lines(`${TEXT}io: { workers: 4, mode: tun }\n`), [
    "c.yaml: io.mode: cannot change from af-packet to tun while the agent runs (change it back, or restart the agents)",
    "c.yaml: io.workers: cannot change from auto to 4 while the agent runs (change it back, or restart the agents)",
  ]);
  assert.deepEqual(lines(`${TEXT}io: { cpus: [0, 1], busyPollUs: 50 }\n`), [
    "c.yaml: io.cpus: cannot change from none to [0, 1] while the agent runs (change it back, or restart the agents)",
    "c.yaml: io.busyPollUs: cannot change from 0 to 50 while the agent runs (change it back, or restart the agents)",
  ]);
  assert.deepEqual(lines(`${TEXT}io: { offloads: { joinUdp: off } }\n`), [
    "c.yaml: io.offloads.joinUdp: cannot change from auto to off while the agent runs (change it back, or restart the agents)",
  ]);
  assert.deepEqual(lines(TEXT.replace("0123", "3210")), [
    "c.yaml: seed: cannot change while the agent runs (change it back, or restart the agents)",
  ]);
  assert.deepEqual(lines(TEXT.replace("10.0.1.11", "10.0.1.13")), [
    "c.yaml: hosts[0].dip: cannot change from 10.0.1.11 to 10.0.1.13 while the agent runs (change it back, or restart the agents)",
  ]);
  assert.match(lines(TEXT.replace("name: s1", "name: s9"))[0]!, /^c\.yaml: hosts: this host, "s1", is missing/);
});

test("a VIP of two services is one VIP; equal configs are the same however they are written", () => {
  assert.equal(vipsOf(config()).length, 1);
  assert.ok(sameConfig(config(), config(`# a comment\n${TEXT}gue: { port: 6080 }\n`)));
  assert.ok(!sameConfig(config(), config(`${TEXT}table: { drainSeconds: 5 }\n`)));
});

test("capabilities: effective for root, ambient as well for others", () => {
  const status = (uid: number, effective: string, ambient: string): string =>
    `Name:\tnode\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\nCapEff:\t${effective}\nCapAmb:\t${ambient}\n`;
  requireCapabilities(status(0, "000001ffffffffff", "0000000000000000"));
  requireCapabilities(status(1000, "0000000000003000", "0000000000003000"));
  assert.throws(() => requireCapabilities(status(1000, "0000000000003000", "0000000000002000")), {
    message: /^no permission: CAP_NET_ADMIN is needed/,
  });
  assert.throws(() => requireCapabilities(status(65534, "0000000000000000", "0000000000000000")), {
    message: /^no permission: CAP_NET_ADMIN and CAP_NET_RAW are needed/,
  });
});
