import assert from "node:assert/strict";
import { test } from "node:test";
import { egressRules, type OwnPorts, ruleKey } from "../../src/control/egress-rules.ts";
import { parseAddress } from "../../src/wire/address.ts";

const own = (ip: string, ...ranges: readonly [number, number][]): OwnPorts => ({
  ip: parseAddress(ip)!,
  ranges: ranges.map(([from, to]) => ({ from, to })),
});

test("one range: its rules in full", () => {
  assert.equal(
    egressRules("hafl-s1", ["eth0"], [own("198.51.100.1", [2048, 6143]), own("198.51.100.2")]),
    `table inet hafl-s1
flush table inet hafl-s1
table inet hafl-s1 {
  chain refuse { meta l4proto tcp reject with tcp reset; reject; }
  counter exhausted-198.51.100.1 { }
  counter strayed-198.51.100.1 { }
  set busy-4096-198.51.100.1 { type inet_proto . ipv4_addr . inet_service; size 65535; flags dynamic; }
  chain bound-198.51.100.1 { add @busy-4096-198.51.100.1 { meta l4proto . ip daddr . th dport ct count over 4096 } counter name exhausted-198.51.100.1 goto refuse; }
  chain source-198.51.100.1 { meta l4proto { tcp, udp } snat ip to 198.51.100.1:2048-6143; }
  chain guard-198.51.100.1 { meta l4proto { tcp, udp } th sport { 2048-6143 } accept; icmp type { destination-unreachable, time-exceeded, parameter-problem } accept; counter name strayed-198.51.100.1 drop; }
  chain uplink {
    type filter hook prerouting priority raw; policy accept;
    iifname "eth0" ip daddr 198.51.100.1 notrack
  }
  chain stale {
    type filter hook prerouting priority mangle; policy accept;
    ip daddr 198.51.100.1 ct state invalid drop
  }
  chain bound {
    type filter hook output priority filter; policy accept;
    ct state new meta l4proto { tcp, udp } ip saddr 198.51.100.1 oifname != "lo" goto bound-198.51.100.1
  }
  chain source {
    type nat hook postrouting priority srcnat - 1; policy accept;
    ip saddr 198.51.100.1 oifname != "lo" goto source-198.51.100.1
  }
  chain guard {
    type filter hook postrouting priority srcnat + 1; policy accept;
    ip saddr 198.51.100.1 oifname != "lo" goto guard-198.51.100.1
  }
}
`,
  );
});

test("several ranges take turns by their sizes, and a port in any of them stays", () => {
  const text = egressRules("t", ["eth0"], [own("2001:db8:e::1", [2048, 4095], [8192, 14_335])]);
  assert.match(text, /numgen inc mod 4 vmap \{ 0 : goto source-2001_db8_e__1-0, 1-3 : goto source-2001_db8_e__1-1 \}/);
  assert.match(text, /th sport 8192-14335 snat ip6 to \[2001:db8:e::1\]:8192-14335;/);
  assert.match(text, /ct count over 8192 /);
  assert.match(text, /th sport \{ 2048-4095, 8192-14335 \} accept/);
});

test("turns are few even where ranges differ a lot, and none is left out", () => {
  const ranges: [number, number][] = [
    [1024, 1087],
    [2048, 63_999],
    [65_472, 65_535],
  ];
  const text = egressRules("t", ["eth0"], [own("198.51.100.1", ...ranges)]);
  const [, turns] = /numgen inc mod (\d+) vmap/.exec(text)!;
  assert.ok(Number(turns) <= 68);
  for (const i of [0, 1, 2]) assert.match(text, new RegExp(`: goto source-198.51.100.1-${i}[, ]`));
});

test("names are such that nft takes them", () => {
  assert.equal(ruleKey(parseAddress("2001:db8::1")!), "2001_db8__1");
  assert.equal(ruleKey(parseAddress("198.51.100.1")!), "198.51.100.1");
});
