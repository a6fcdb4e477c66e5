/** A lab of two data centres, as netns-scripts/lab-anycast-up.sh draws and makes it: addresses, config, and BIRD of each node. */
import { mkdirSync } from "node:fs";
import { stringify } from "yaml";
import { AGGREGATES, hostBird, routerBird, type Session } from "./bird-config.ts";
import { runtimeDir } from "./state.ts";
import { ECHO_PORT, FAMILIES, type Family, HTTP_PORT, hostNames, type LabSpec, UPLINK, VIP } from "./topology.ts";

export type Site = "a" | "b";
export const SITES: readonly Site[] = ["a", "b"];

export const anycastSpec = (name: string): LabSpec => ({
  name,
  hosts: 4,
  clients: 2,
  routers: 4,
  io: "af-packet",
  workers: 1,
  weights: [1, 1, 1, 1],
  dips: "both",
  bgp: true,
});

export const hostsOf = (site: Site): readonly string[] => (site === "a" ? ["s1", "s2"] : ["s3", "s4"]);
export const siteOf = (host: string): Site => (hostsOf("a").includes(host) ? "a" : "b");
/** The client, the router of the internet and the router of the data centre that are next to each other. */
export const clientNear = (site: Site): string => (site === "a" ? "c1" : "c2");
export const internetNear = (site: Site): string => (site === "a" ? "i1" : "i2");
export const routerOf = (site: Site): string => `r${site}`;
export const otherSite = (site: Site): Site => (site === "a" ? "b" : "a");

const digit = (site: Site): 1 | 2 => (site === "a" ? 1 : 2);
type Pair = Readonly<Record<Family, string>>;

export const CLIENT_ADDRESS: Readonly<Record<Site, Pair>> = {
  a: { 4: "203.0.113.11", 6: "2001:db8:c:1::11" },
  b: { 4: "203.0.113.139", 6: "2001:db8:c:2::11" },
};

/** The egress IP of each family, shared by s1 and s3: one host of each site. */
export const EGRESS: Pair = { 4: "198.51.100.1", 6: "2001:db8:e::1" };
const EGRESS_OWNERS = { s1: [1, 2], s3: [3, 4] };

const hostAddress = (host: string, family: Family): string => {
  const n = 10 + Number(host.slice(1));
  const site = digit(siteOf(host));
  return family === 4 ? `10.0.${site}.${n}` : `fd00:${site}::${n}`;
};
const gateway = (site: Site, family: Family): string => (family === 4 ? `10.0.${digit(site)}.1` : `fd00:${digit(site)}::1`);
/** The end of a link between routers: its number as in the addresses, and which of the two ends. */
const linkEnd = (link: string, end: 1 | 2, family: Family): string =>
  family === 4 ? `10.9.${link}.${end}` : `fd00:9:${link}::${end}`;

export function anycastConfig(spec: LabSpec): string {
  return stringify(
    {
      cluster: spec.name,
      seed: "4861666c696e6765724c616253656564",
      hosts: hostNames(spec).map((name) => ({
        name,
        dip: FAMILIES.map((family) => hostAddress(name, family)),
        site: siteOf(name),
      })),
      services: [
        { name: "web", vips: Object.values(VIP), ports: { tcp: [HTTP_PORT] } },
        { name: "echo", vips: Object.values(VIP), ports: { udp: [ECHO_PORT] }, udp: "stateless" },
      ],
      egress: Object.values(EGRESS).map((ip) => ({ ip, owners: EGRESS_OWNERS })),
      io: { mode: spec.io, uplink: UPLINK, workers: spec.workers },
      bgp: { withdrawDelay: 1, holdSeconds: 2 },
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}

/** AS numbers: regions of the internet, data centres, and the hosts of each. */
const INTERNET_AS = { a: 64501, b: 64502 } as const;
const ROUTER_AS = { a: 65010, b: 65020 } as const;
const HOSTS_AS = { a: 65011, b: 65021 } as const;

const ALL_AGGREGATES = [...AGGREGATES, "198.51.100.0/24", "2001:db8:e::/64"];
/** What came by BGP, and not what the router has of its own. */
const LEARNED = "where source = RTS_BGP";

function internetSessions(site: Site): Session[] {
  const as = INTERNET_AS[site];
  const other = otherSite(site);
  return FAMILIES.flatMap((family) => [
    {
      name: `dc${family}`,
      local: linkEnd(`${digit(site)}`, 1, family),
      neighbor: linkEnd(`${digit(site)}`, 2, family),
      as,
      neighborAs: ROUTER_AS[site],
      import: "all",
      export: "none",
    },
    {
      name: `far${family}`,
      local: linkEnd("12", digit(site), family),
      neighbor: linkEnd("12", digit(other), family),
      as,
      neighborAs: INTERNET_AS[other],
      import: "all",
      export: LEARNED,
    },
  ]);
}

function routerSessions(site: Site): Session[] {
  const as = ROUTER_AS[site];
  const up = FAMILIES.map((family) => ({
    name: `up${family}`,
    local: linkEnd(`${digit(site)}`, 2, family),
    neighbor: linkEnd(`${digit(site)}`, 1, family),
    as,
    neighborAs: INTERNET_AS[site],
    import: "none",
    export: LEARNED,
  }));
  const hosts = hostsOf(site).flatMap((host) =>
    FAMILIES.map((family) => ({
      name: `${host}v${family}`,
      local: gateway(site, family),
      neighbor: hostAddress(host, family),
      as,
      neighborAs: HOSTS_AS[site],
      import: "all",
      export: "none",
    })),
  );
  return [...up, ...hosts];
}

/** To the internet, and over the backbone to the hosts of the other site. */
const fixedRoutes = (site: Site): string =>
  FAMILIES.map((family) => {
    const far = digit(otherSite(site));
    const [all, hosts] = family === 4 ? ["0.0.0.0/0", `10.0.${far}.0/24`] : ["::/0", `fd00:${far}::/64`];
    const internet = linkEnd(`${digit(site)}`, 1, family);
    const backbone = linkEnd("0", far, family);
    return `protocol static fixed${family} { ipv${family}; route ${all} via ${internet}; route ${hosts} via ${backbone}; }\n`;
  }).join("");

function hostSessions(host: string): Session[] {
  const site = siteOf(host);
  return FAMILIES.map((family) => ({
    name: `r${family}`,
    local: hostAddress(host, family),
    neighbor: gateway(site, family),
    as: HOSTS_AS[site],
    neighborAs: ROUTER_AS[site],
    import: "none",
    export: "filter hafl_routes",
  }));
}

/** Config of BIRD by node. */
export function anycastBirds(spec: LabSpec): Map<string, string> {
  const routers = SITES.flatMap((site): [string, string][] => [
    [internetNear(site), routerBird(linkEnd("12", digit(site), 4), ALL_AGGREGATES, internetSessions(site))],
    [routerOf(site), routerBird(gateway(site, 4), ALL_AGGREGATES, routerSessions(site), fixedRoutes(site))],
  ]);
  const hosts = hostNames(spec).map((host): [string, string] => {
    mkdirSync(runtimeDir(spec.name, host), { recursive: true, mode: 0o755 });
    return [host, hostBird(hostAddress(host, 4), `${runtimeDir(spec.name, host)}/bird*.conf`, hostSessions(host))];
  });
  return new Map([...routers, ...hosts]);
}
