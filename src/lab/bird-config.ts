/** Configs of BIRD for the nodes of a lab. */
import { VIP } from "./topology.ts";

/** A BGP session with a neighbour, of one family. */
export interface Session {
  readonly name: string;
  readonly local: string;
  readonly neighbor: string;
  readonly as: number;
  readonly neighborAs: number;
  /** BIRD's words for what is taken and what is told; `none` and `all` are such words. */
  readonly import: string;
  readonly export: string;
  /** More of the session's own options. */
  readonly more?: string;
}

const family = (address: string): "ipv4" | "ipv6" => (address.includes(":") ? "ipv6" : "ipv4");

/** Seconds in a lab are not those of the internet: a session is there as soon as both ends are. */
const session = (s: Session): string => `protocol bgp ${s.name} {
  local ${s.local} as ${s.as};
  neighbor ${s.neighbor} as ${s.neighborAs};
  connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 9;
  ${s.more ?? ""}
  ${family(s.local)} { import ${s.import}; export ${s.export}; };
}
`;

const head = (routerId: string): string => `router id ${routerId};
log stderr all;
protocol device { scan time 10; }
`;

/** What the README tells to write on a host: the agent's file, and what of it is told to routers. */
export const hostBird = (routerId: string, snippets: string, sessions: readonly Session[]): string => `${head(routerId)}
include "${snippets}";
filter hafl_routes {
  if proto ~ "hafl_*" then {
    if defined(bgp_med) then bgp_med = bgp_med;   # a MED goes on to another AS only if this filter has set it
    accept;
  }
  reject;
}
${sessions.map(session).join("")}`;

/**
 * A router: what it learns it puts into the kernel, equal routes as one over all of them. While the kernel's route is exchanged
 * for another there may be none for a moment, and "no route to host" would end a connection that is being opened: those of
 * `aggregates` are there then, and say nothing.
 */
export const routerBird = (
  routerId: string,
  aggregates: readonly string[],
  sessions: readonly Session[],
  more = "",
): string => `${head(routerId)}
protocol kernel { ipv4 { import none; export all; }; merge paths on limit 64; }
protocol kernel { ipv6 { import none; export all; }; merge paths on limit 64; }
${(["ipv4", "ipv6"] as const)
  .map((f) => {
    const routes = aggregates.filter((prefix) => family(prefix) === f).map((prefix) => `route ${prefix} blackhole;`);
    return `protocol static aggregates${f.at(-1)} { ${f}; ${routes.join(" ")} }\n`;
  })
  .join("")}${more}
${sessions.map(session).join("")}`;

/** Where the VIPs of labs are taken from. */
export const AGGREGATES = ["192.0.2.0/24", "2001:db8::/64"] as const;

/** The VIPs as routes. */
export const VIP_ROUTES = [`${VIP[4]}/32`, `${VIP[6]}/128`] as const;
