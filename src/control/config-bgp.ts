/** What a config says about routes: `bgp`, and what is said of hosts and services for their sake. */
import { z } from "zod";
import type { HostConfig } from "./config.ts";
import { expected, name, object, oneOf, whole } from "./config-fields.ts";
import type { Problem } from "./config-problem.ts";

/** How VIPs are announced by the routing daemon of this machine. */
export interface BgpConfig {
  readonly kind: "bird";
  /** BIRD's control socket. */
  readonly socket: string;
  /** Our protocols in BIRD are named `PROTOCOL_...`; two agents on a machine need two. */
  readonly protocol: string;
  /** The tables of BIRD that the routes go into. */
  readonly tables: { readonly ipv4: string; readonly ipv6: string };
  /** How hosts below the highest preference make their routes worse. */
  readonly weigh: "prepend" | "med";
  /** The AS number that is prepended; null: none is needed. */
  readonly as: number | null;
  /** Seconds from the withdrawal of all routes to the end of the agent, in which it still takes packets. */
  readonly withdrawDelay: number;
  /** Seconds that a host which was unfit has to be fit before it announces again. */
  readonly holdSeconds: number;
}

/** Of a host that nothing is said of: the first choice of routers. */
export const MAX_PREFERENCE = 10;

/** A name that BIRD takes as one word of its config, and that says where ours begin and end. */
const word = (what: string, remedy: string) =>
  z.custom<string>((x) => typeof x === "string" && /^[A-Za-z][A-Za-z0-9]{0,19}$/.test(x), expected(what, remedy));
const tableName = z.custom<string>(
  (x) => typeof x === "string" && /^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(x),
  expected("a table's name", "write master4, or another table of bird.conf"),
);
const path = z.custom<string>(
  // sun_path has 108 bytes, the last of them 0.
  (x) => typeof x === "string" && /^\/[^\0]{1,106}$/.test(x),
  expected("an absolute path of at most 107 bytes", "write /run/bird/bird.ctl"),
);

const TABLES = { ipv4: tableName.default("master4"), ipv6: tableName.default("master6") };
const BGP = {
  kind: oneOf("bird").default("bird"),
  socket: path.default("/run/bird/bird.ctl"),
  protocol: word("a word of 1 to 20 letters and digits", "write hafl").default("hafl"),
  tables: object(TABLES, "{ ipv4: master4, ipv6: master6 }").prefault({}),
  weigh: oneOf("prepend", "med").default("prepend"),
  as: whole(1, 4_294_967_294).nullable().default(null),
  withdrawDelay: whole(0, 3600).default(5),
  holdSeconds: whole(0, 3600).default(5),
};
export const BGP_KEYS = { "": Object.keys(BGP), tables: Object.keys(TABLES) };

const off = (input: unknown): boolean => input === "off" || input === false;

/** `off`, `bird`, or a map; `bird` is the map with nothing in it. */
export const bgp = z.preprocess(
  (input) => (input === undefined || off(input) ? null : input === "bird" ? {} : input),
  object(BGP, "bird, off, or { socket: /run/bird/bird.ctl }").nullable(),
);

/** Of a host: the data centre it is in, and how much routers prefer it. */
export const site = name.nullable().default(null);
export const preference = whole(0, MAX_PREFERENCE).default(MAX_PREFERENCE);

/** Whether hosts of a pool serve packets that come to their own site, or to any. */
export const sites = oneOf("own", "all").default("own");

/** What only shows together with the hosts. */
export function bgpProblems(draft: {
  readonly bgp?: Partial<BgpConfig> | null;
  readonly hosts: readonly Partial<HostConfig>[];
}): Problem[] {
  if (draft.bgp == null || draft.bgp.weigh !== "prepend" || draft.bgp.as !== null) return [];
  const index = draft.hosts.findIndex(({ preference: p }) => p !== undefined && p < MAX_PREFERENCE);
  if (index < 0) return [];
  const text = `missing, and hosts[${index}] has a preference below ${MAX_PREFERENCE}`;
  return [{ path: ["bgp", "as"], text: `${text} (write the AS number to be prepended, or weigh: med)` }];
}
