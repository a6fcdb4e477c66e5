import assert from "node:assert/strict";
import { test } from "node:test";
import { egressUse, portUse } from "../../src/control/egress-use.ts";

const TEXT = `ipv4     2 tcp      6 431999 ESTABLISHED src=198.51.100.1 dst=203.0.113.5 sport=54508 dport=9000 src=203.0.113.5 dst=198.51.100.1 sport=9000 dport=2071 [ASSURED] mark=0 zone=0 use=2
ipv4     2 tcp      6 431999 ESTABLISHED src=198.51.100.1 dst=203.0.113.6 sport=54508 dport=9000 src=203.0.113.6 dst=198.51.100.1 sport=9000 dport=2071 [ASSURED] mark=0 zone=0 use=2
ipv4     2 tcp      6 115 TIME_WAIT src=198.51.100.1 dst=203.0.113.5 sport=54230 dport=9000 src=203.0.113.5 dst=198.51.100.1 sport=9000 dport=4125 [ASSURED] mark=0 zone=0 use=2
ipv4     2 tcp      6 119 SYN_SENT src=198.51.100.1 dst=203.0.113.5 sport=54230 dport=9001 [UNREPLIED] src=203.0.113.5 dst=198.51.100.1 sport=9001 dport=2072 mark=0 zone=0 use=2
ipv4     2 udp      17 29 src=198.51.100.1 dst=203.0.113.5 sport=40000 dport=53 src=203.0.113.5 dst=198.51.100.1 sport=53 dport=2071 mark=0 zone=0 use=2
ipv4     2 tcp      6 431999 ESTABLISHED src=198.51.100.9 dst=203.0.113.5 sport=2071 dport=9000 src=203.0.113.5 dst=198.51.100.9 sport=9000 dport=2071 [ASSURED] mark=0 zone=0 use=2
ipv4     2 tcp      6 300 ESTABLISHED src=203.0.113.5 dst=198.51.100.1 sport=9000 dport=2099 src=198.51.100.1 dst=203.0.113.5 sport=2099 dport=9000 mark=0 zone=0 use=2
ipv6     10 tcp      6 431999 ESTABLISHED src=2001:0db8:000e:0000:0000:0000:0000:0001 dst=2001:0db8:000c:0000:0000:0000:0000:0011 sport=1 dport=2 src=2001:0db8:000c:0000:0000:0000:0000:0011 dst=2001:0db8:000e:0000:0000:0000:0000:0001 sport=2 dport=4097 [ASSURED] mark=0 zone=0 use=2
ipv4     2 icmp     1 29 src=198.51.100.1 dst=203.0.113.5 type=8 code=0 id=7 src=203.0.113.5 dst=198.51.100.1 type=0 code=0 id=7 mark=0 use=2
`;

test("connections by protocol and port, as the network sees them; those that are over do not count", () => {
  const use = portUse(TEXT, ["198.51.100.1", "2001:db8:e::1"]);
  assert.deepEqual(
    [...use.get("198.51.100.1")!],
    [
      ["tcp 2071", 2],
      ["tcp 2072", 1],
      ["udp 2071", 1],
    ],
  );
  assert.deepEqual([...use.get("2001:db8:e::1")!], [["tcp 4097", 1]]);
});

test("a host that owns nothing has no use to report, and nothing is asked of the kernel", () => {
  const names = {
    hosts: new Map([
      [0, "s1"],
      [1, "s2"],
    ]),
    services: new Map(),
    egress: [{ ip: "198.51.100.1", sliceSize: 2048, owners: [[1, 1]] as [number, number][] }],
  };
  assert.deepEqual(egressUse(names, "s1", 0, "hafl-none"), {});
  // There is no process 0: what cannot be read is null.
  assert.deepEqual(egressUse(names, "s2", 0, "hafl-none"), {
    "198.51.100.1": { sliceSize: 2048, exhausted: null, strayed: null, slices: { 1: null } },
  });
});
