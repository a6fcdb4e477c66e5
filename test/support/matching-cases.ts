/** Fixtures of service matching: prefixes, all ports, and what flows are hashed by. */
import { createLookup } from "../../src/cli/lookup.ts";
import { parseFlow } from "../../src/steering/flow.ts";
import { both, configOf, type Family, type Fixture, IPV4, type Step } from "./fixture.ts";
import * as make from "./packets.ts";

/** By 5-tuple the flows of a source are spread over s2, s3 and s4. */
const MATCHING_CONFIG = `cluster: fixtures
seed: 000102030405060708090a0b0c0d0e0f
hosts:
  - { name: s1, dip: [10.0.1.11, "fd00:1::11"] }
  - { name: s2, dip: [10.0.1.12, "fd00:1::12"] }
  - { name: s3, dip: [10.0.1.13, "fd00:1::13"] }
  - { name: s4, dip: [10.0.1.14, "fd00:1::14"] }
services:
  - { name: net, vips: [192.0.2.64/26, "2001:db8:1::/48"], ports: { tcp: [80, 8000-8100] }, pool: [s2] }
  - { name: all, vips: [192.0.2.100, "2001:db8:1::100"], ports: { tcp: [443], udp: any }, pool: [s3] }
  - { name: source, vips: [192.0.2.20, 192.0.2.21, "2001:db8::20", "2001:db8::21"], ports: any, pool: [s2, s3, s4], hash: source }
  - { name: port, vips: [192.0.2.30, "2001:db8::30"], ports: any, pool: [s2, s3, s4], hash: source-port }
  - { name: to, vips: [192.0.2.50, "2001:db8::50"], ports: any, pool: [s2, s3, s4], hash: destination-port }
  - { name: tuple, vips: [192.0.2.40, "2001:db8::40"], ports: any, pool: [s2, s3, s4] }
`;

const DIPS: Readonly<Record<string, string>> = { s2: "10.0.1.12", s3: "10.0.1.13", s4: "10.0.1.14" };
const lookup = createLookup(configOf(MATCHING_CONFIG));

/** What the product says of a flow: its host and outer source port. */
function goes(protocol: string, from: make.End, to: make.End): { host: string; sourcePort: number } {
  const end = ([address, port]: make.End): string => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
  const flow = parseFlow(`${protocol} ${end(from)} > ${end(to)}`);
  if (typeof flow === "string") throw new Error(flow);
  const { host, sourcePort } = lookup(flow);
  if (host === null || sourcePort === null) throw new Error(`${end(from)} goes nowhere`);
  return { host, sourcePort };
}

/** A packet that leaves for a host in the outer source port of its flow. An echo request's identifier is the port it is from. */
function to(host: string, protocol: "tcp" | "udp" | "icmp", from: make.End, at: make.End): Step {
  const packet =
    protocol === "tcp"
      ? make.tcp(from, at, make.filler(12))
      : protocol === "udp"
        ? make.udp(from, at, make.filler(12))
        : make.echo(from[0], at[0], from[1]);
  const { sourcePort } = goes(protocol, from, at);
  return { in: packet, verdict: "forwarded", out: [make.gue("10.0.1.11", DIPS[host]!, packet, { sourcePort })] };
}

const icmpAbout = (f: Family, quoted: Uint8Array, at: string): Uint8Array =>
  make.icmp(f.elsewhere, at, f === IPV4 ? 11 : 3, 0, [0, 0, 0, 0], quoted);
const inNet = (f: Family, n: number): string => (f === IPV4 ? `192.0.2.${n}` : `2001:db8:1::${n}`);
const vip = (f: Family, n: number): string => (f === IPV4 ? `192.0.2.${n}` : `2001:db8::${n}`);

const prefix = both((f) => {
  const from: make.End = [f.client, 40_000];
  const outside = f === IPV4 ? ["192.0.2.63", "192.0.2.128"] : ["2001:db8:0:ffff::1", "2001:db8:2::1"];
  return {
    name: "vip-prefix",
    role: "director",
    config: MATCHING_CONFIG,
    shows:
      "Every address of a prefix is a VIP. One address of it has a service of its own: the ports that this does not have stay with the prefix's. Addresses right beside the prefix are the kernel's.",
    steps: [
      to("s2", "tcp", from, [inNet(f, 64), 80]),
      to("s2", "tcp", from, [inNet(f, 101), 8100]),
      to("s3", "tcp", from, [inNet(f, 100), 443]),
      to("s2", "tcp", from, [inNet(f, 100), 80]),
      { in: make.tcp(from, [inNet(f, 101), 443], make.bytes()), verdict: "no_service" },
      { in: make.tcp(from, [inNet(f, 100), 444], make.bytes()), verdict: "no_service" },
      ...outside.map((address) => ({ in: make.tcp(from, [address, 80], make.bytes()), verdict: "not_ours" })),
    ],
  };
});

const anyPort = both((f) => {
  const from: make.End = [f.client, 40_001];
  return {
    name: "any-port",
    role: "director",
    config: MATCHING_CONFIG,
    shows: "A service on all ports has each of them; of the other protocol it has those that it names.",
    steps: [
      ...[1, 53, 6080, 65_535].map((port) => to("s3", "udp", from, [inNet(f, 100), port])),
      { in: make.tcp(from, [inNet(f, 100), 53], make.bytes()), verdict: "no_service" },
    ],
  };
});

/** Another client whose flows go elsewhere. */
function elsewhere(f: Family, at: make.End, port: number): make.End {
  const host = goes("tcp", [f.client, port], at).host;
  for (let n = 20; n < 100; n++) {
    const client: make.End = [f.client.replace(/7$/, `${n}`), port];
    if (goes("tcp", client, at).host !== host) return client;
  }
  throw new Error("all clients go to one host");
}

const bySource = both((f) => {
  const at: make.End = [vip(f, 20), 80];
  const other = elsewhere(f, at, 40_000);
  const { host } = goes("tcp", [f.client, 40_000], at);
  const ports = [40_000, 40_001, 40_002, 40_003, 40_004, 40_005, 1, 65_535];
  return {
    name: "hash-source",
    role: "director",
    config: MATCHING_CONFIG,
    shows:
      "`hash: source`: all that comes from one address goes to one host, whatever its ports, protocol and VIP; another address goes to another host.",
    steps: [
      ...ports.map((port) => to(host, "tcp", [f.client, port], at)),
      to(host, "tcp", [f.client, 40_000], [vip(f, 20), 443]),
      to(host, "udp", [f.client, 40_000], [vip(f, 21), 53]),
      to(host, "icmp", [f.client, 4711], [vip(f, 20), 0]),
      ...[1, 2, 3].map((port) => to(goes("tcp", other, at).host, "tcp", [other[0], port], at)),
    ],
  };
});

const bySourcePort = both((f) => {
  const at = (port: number): make.End => [vip(f, 30), port];
  const [first, second] = [40_000, 40_001, 40_002, 40_003, 40_004, 40_005, 40_006, 40_007]
    .map((port) => ({ port, host: goes("tcp", [f.client, port], at(80)).host }))
    .filter(({ host }, i, all) => all.findIndex((other) => other.host === host) === i);
  return {
    name: "hash-source-port",
    role: "director",
    config: MATCHING_CONFIG,
    shows:
      "`hash: source-port`: all that comes from one address and port goes to one host, whatever port it goes to; another port of the address goes to another host.",
    steps: [first!, second!].flatMap(({ port, host }) =>
      [80, 81, 443, 8080, 50_000, 1].map((destination) => to(host, "tcp", [f.client, port], at(destination))),
    ),
  };
});

const byDestinationPort = both((f) => {
  const at = (port: number): make.End => [vip(f, 50), port];
  const [first, second] = Array.from({ length: 20 }, (_, i) => 5060 + i)
    .map((port) => ({ port, host: goes("tcp", [f.client, 40_000], at(port)).host }))
    .filter(({ host }, i, all) => all.findIndex((other) => other.host === host) === i);
  /** What the service's server sent to a client, and a router could not pass on. */
  const failed = (port: number): Step => {
    const quoted = make.tcp(at(port), [f.client, 40_000], make.bytes());
    const [packet, { host, sourcePort }] = [icmpAbout(f, quoted, vip(f, 50)), goes("tcp", [f.client, 40_000], at(port))];
    return { in: packet, verdict: "forwarded", out: [make.gue("10.0.1.11", DIPS[host]!, packet, { sourcePort })] };
  };
  const fragments = (host: string, from: make.End, to: make.End): Step[] => {
    const whole = make.udpDatagram(from, to, make.filler(128));
    const { sourcePort } = goes("udp", from, to);
    return [0, 64].map((offset) => {
      const packet = make.ip(from[0], to[0], 17, whole.subarray(offset, offset === 0 ? 64 : undefined), {
        id: to[1],
        offset,
        more: offset === 0,
      });
      return { in: packet, verdict: "forwarded", out: [make.gue("10.0.1.11", DIPS[host]!, packet, { sourcePort })] };
    });
  };
  return {
    name: "hash-destination-port",
    role: "director",
    config: MATCHING_CONFIG,
    shows:
      "`hash: destination-port`: all that goes to one port goes to one host, whoever sends it, over TCP and UDP, fragments too; an ICMP error follows the port that its packet is from; another port goes to another host.",
    steps: [first!, second!].flatMap(({ port, host }) => [
      ...[40_000, 40_001, 1, 65_535].map((source) => to(host, "tcp", [f.client, source], at(port))),
      ...[2, 9].map((n) => to(host, "tcp", [f.client.replace(/7$/, `${n}`), 40_000], at(port))),
      to(host, "udp", [f.elsewhere, 40_000], at(port)),
      ...fragments(host, [f.client, 40_009], at(port)),
      failed(port),
    ]),
  };
});

const byTuple = both((f) => {
  const hosts = ["s2", "s3", "s4"];
  const flows = Array.from({ length: 60 }, (_, i): make.End => [f.client, 41_000 + i]);
  const at: make.End = [vip(f, 40), 80];
  const chosen = hosts.map((host) => flows.find((from) => goes("tcp", from, at).host === host)!);
  return {
    name: "hash-5-tuple",
    role: "director",
    config: MATCHING_CONFIG,
    shows:
      "By 5-tuple, as services are hashed unless they say otherwise, the flows of one address are spread over the hosts of the pool.",
    steps: chosen.map((from, i) => to(hosts[i]!, "tcp", from, at)),
  };
});

export const MATCHING_CASES: readonly Fixture[] = [
  ...prefix,
  ...anyPort,
  ...bySource,
  ...bySourcePort,
  ...byDestinationPort,
  ...byTuple,
];
