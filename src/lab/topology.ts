/** Names, addresses and ports of a lab, as netns-scripts/lab-up.sh draws and makes them. */

/** What a lab is made of; fixed while it is up. */
export interface LabSpec {
  readonly name: string;
  readonly hosts: number;
  readonly clients: number;
  /** One, unless said otherwise. */
  readonly routers?: number;
  readonly io: "af-packet" | "tun";
  /** Data-plane threads of each agent. */
  readonly workers: number;
  /** One per host. */
  readonly weights: readonly number[];
  /** Families of the hosts' own addresses that the config names; with both, GUE goes over IPv4. */
  readonly dips: "4" | "6" | "both";
  /** Agents run as an ordinary user with two capabilities (unprivileged.ts), not as root. */
  readonly unprivileged?: boolean;
  /** Whether the router learns by BGP where the VIPs are, from BIRD on each host; else its routes are fixed. */
  readonly bgp?: boolean;
  /** Members of an etcd cluster that has the wanted parts of the config; else they are in the file of all agents. */
  readonly members?: number;
}

export type Family = 4 | 6;
export const FAMILIES: readonly Family[] = [4, 6];

/** The VIP of each family. */
export const VIP: Readonly<Record<Family, string>> = { 4: "192.0.2.10", 6: "2001:db8::10" };
export const HTTP_PORT = 80;
/** UDP echo (RFC 862). */
export const ECHO_PORT = 7;
/** The hosts' device toward the router. */
export const UPLINK = "eth0";

const NAME = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** Whether a lab can have this name; lab_open in netns-scripts/lib.sh has the same rule. */
export const isLabName = (name: string): boolean => NAME.test(name);

/** The namespace of a node. Node names hold no dash, so that no namespace belongs to two labs. */
export const namespaceOf = (lab: string, node: string): string => `hl-${lab}-${node}`;

/** The lab and node of a namespace, null when it is not one of ours. */
export function parseNamespace(namespace: string): { lab: string; node: string } | null {
  const match = /^hl-([a-z0-9-]+)-([a-z0-9]+)$/.exec(namespace);
  return match === null ? null : { lab: match[1]!, node: match[2]! };
}

const numbered = (letter: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${letter}${i + 1}`);

/** s1, s2, ... */
export const hostNames = (spec: Pick<LabSpec, "hosts">): string[] => numbered("s", spec.hosts);

/** c1, c2, ... */
export const clientNames = (spec: Pick<LabSpec, "clients">): string[] => numbered("c", spec.clients);

/** IPv6 addresses count in hexadecimal what looks decimal: s1 is ::11 in both families. */
const NETWORK: Readonly<Record<"s" | "c", Readonly<Record<Family, string>>>> = {
  s: { 4: "10.0.1.", 6: "fd00:1::" },
  c: { 4: "203.0.113.", 6: "2001:db8:c::" },
};

/** e1, e2, ...: members of the store. */
export const memberNames = (spec: Pick<LabSpec, "members">): string[] => numbered("e", spec.members ?? 0);

/** Address of a member of the store, on the store's own network. */
export const memberAddress = (member: string): string => `10.0.2.${20 + Number(member.slice(1))}`;

/** The router's port of a host's link to the store. */
export const storePort = (host: string): string => `m${host}`;

/** The address of a host or client (`s1`, `c2`). */
export function addressOf(node: string, family: Family): string {
  const kind = node.startsWith("s") ? "s" : "c";
  return `${NETWORK[kind][family]}${10 + Number(node.slice(1))}`;
}
