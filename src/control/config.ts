/** The cluster's config: one YAML file, the same on every host, read once into a frozen value with every default filled in. */
import { readFileSync } from "node:fs";
import { stringify } from "yaml";
import type { z } from "zod";
import { type Address, formatAddress, formatPrefix, type Prefix } from "../wire/address.ts";
import type { BgpConfig } from "./config-bgp.ts";
import type { ConductorConfig } from "./config-conductor.ts";
import { type HealthConfig, plainHealth, resolveHealth, type ServiceHealth } from "./config-health.ts";
import type { LoadConfig, ServiceLoadConfig } from "./config-load.ts";
import { formatEndpoint, type MetricsConfig } from "./config-metrics.ts";
import { formatPath, fromIssues, MISSING, type Problem, show, unknownKey, withoutMisspelt } from "./config-problem.ts";
import { QUIC_DEFAULT } from "./config-quic.ts";
import { crossProblems } from "./config-rules.ts";
import { type ListPart, PARTS, type ServiceDraft } from "./config-schema.ts";
import type { StoreConfig } from "./config-store.ts";
import { readYaml } from "./config-yaml.ts";

export interface HostConfig {
  readonly name: string;
  /** At most one per family, IPv4 first. */
  readonly dips: readonly Address[];
  readonly weight: number;
  readonly state: "active" | "draining" | "down";
  /** How long it stays in the chains once it has left a pool; null: as long as `table.drainSeconds` says. */
  readonly drainSeconds: number | null;
  /** By which QUIC connection IDs name the host, 0 to 2^32 - 1; null: they do not. */
  readonly serverId: number | null;
  /** The data centre it is in; null: there is only one. */
  readonly site: string | null;
  /** How much routers prefer its routes, 0 to 10: 10 is the first choice. */
  readonly preference: number;
}

/** Both ends belong to it; any port is 0 to 65535. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

export interface ServiceConfig {
  readonly name: string;
  readonly vips: readonly Prefix[];
  /** Sorted, without overlap. Empty: the protocol is not served. */
  readonly ports: { readonly tcp: readonly PortRange[]; readonly udp: readonly PortRange[] };
  /** Empty: a service without hosts. */
  readonly pool: readonly { readonly host: string; readonly weight: number }[];
  /** Whether packets are served by the pool's hosts of the site they came to, or by all of them. */
  readonly sites: "own" | "all";
  readonly udp: "stateless" | "flow" | "quic";
  readonly hash: "5-tuple" | "source" | "source-port" | "destination-port";
  /** Where connection IDs carry the server id; null unless `udp` is quic. */
  readonly quic: QuicConfig | null;
  readonly health: ServiceHealth;
  /** How its load on a host is asked for; null: it is that of the host. */
  readonly load: ServiceLoadConfig | null;
}

export interface QuicConfig {
  /** First byte of the server id in the connection ID, and its bytes. */
  readonly offset: number;
  readonly length: number;
  /** The low 5 bits of the first octet are the length of the rest of the connection ID. */
  readonly selfLength: boolean;
}

export interface EgressConfig {
  readonly ip: Address;
  /** Ports per slice: slice n is ports n * sliceSize to (n + 1) * sliceSize - 1. */
  readonly sliceSize: number;
  readonly owners: Readonly<Record<string, readonly number[]>>;
}

export interface DropConfig {
  readonly name: string;
  /** In pcap-filter's language. */
  readonly match: string;
  /** One packet in so many is kept as a sample; null: none. */
  readonly sample: number | null;
  /** Packets and bits per second that pass, per source prefix of `per` bits (null: for all together); null: all are dropped. */
  readonly limit: { readonly pps: number | null; readonly bps: number | null; readonly per: number | null } | null;
}

export interface Offloads<T> {
  /** Packets to a host leave in trains (UDP_SEGMENT), and are taken in trains (UDP_GRO). */
  readonly sendTrains: T;
  readonly receiveTrains: T;
  /** Packets of a flow are put together for the kernel of the host that owns it. */
  readonly joinTcp: T;
  readonly joinUdp: T;
}

export interface Config {
  readonly cluster: string;
  /** 16 bytes: hash key and table seed. A secret. */
  readonly seed: Uint8Array;
  readonly hosts: readonly HostConfig[];
  readonly services: readonly ServiceConfig[];
  readonly egress: readonly EgressConfig[];
  readonly drop: readonly DropConfig[];
  readonly gue: { readonly port: number };
  /** Buckets per pool (a prime) and how long older generations stay in the chains. */
  readonly table: { readonly size: number; readonly drainSeconds: number };
  /** null: off. */
  readonly flowTable: { readonly size: number } | null;
  /** uplink null: the device that has the host's own DIP. */
  readonly io: {
    readonly mode: "af-packet" | "tun";
    readonly uplink: string | null;
    /** "auto": as many as suit the machine (cpus.ts). */
    readonly workers: number | "auto";
    /** CPUs that the workers run on, in turn; null: wherever the kernel likes. */
    readonly cpus: readonly number[] | null;
    /** How long a worker that finds nothing to do looks again before it sleeps, microseconds. */
    readonly busyPollUs: number;
    /** What is done to many packets at a time: auto where the kernel can. */
    readonly offloads: Offloads<"auto" | "off">;
  };
  /** Where the wanted parts of the config are kept. */
  readonly store: StoreConfig;
  /** null: routes are somebody else's. */
  readonly bgp: BgpConfig | null;
  /** null: off. */
  readonly metrics: MetricsConfig | null;
  readonly conductor: ConductorConfig;
  readonly health: HealthConfig;
  readonly load: LoadConfig;
}

export type ConfigResult = { config: Config } | { errors: string[] };

type Part = keyof typeof PARTS;
type Value<P extends Part> = z.output<(typeof PARTS)[P]["schema"]>;

/** Reads the parts of a config one by one, so that a mistake in one does not hide those in another. */
class PartReader {
  readonly problems: Problem[] = [];
  readonly #raw: Record<string, unknown>;

  constructor(raw: Record<string, unknown>) {
    this.#raw = raw;
    const known = Object.keys(PARTS);
    for (const key of Object.keys(raw)) {
      if (!known.includes(key)) this.problems.push({ path: [key], text: unknownKey(key, known) });
    }
  }

  /** A part that is one value; null when malformed. */
  one<P extends Exclude<Part, ListPart>>(part: P): Value<P> | null {
    return this.#parse(part, [part], this.#raw[part]);
  }

  /** The items of a list; of a malformed one those fields that are not. */
  list<P extends ListPart>(part: P): Partial<Value<P>>[] {
    const { least, most } = PARTS[part];
    const list = this.#raw[part];
    const wrong = (text: string): [] => {
      this.problems.push({ path: [part], text });
      return [];
    };
    if (list === undefined) return least === 0 ? [] : wrong(`${MISSING} (write a list with at least ${least})`);
    if (!Array.isArray(list)) return wrong(`${show(list)} is not a list (start each entry with "- ")`);
    if (list.length < least) return wrong(`is empty (write at least ${least})`);
    if (list.length > most) return wrong(`has ${list.length} entries (at most ${most} are possible)`);
    return list.map((item, i) => this.#parse(part, [part, i], item) ?? this.#salvage(part, item));
  }

  #parse<P extends Part>(part: P, path: (string | number)[], value: unknown): Value<P> | null {
    const result = PARTS[part].schema.safeParse(value);
    if (result.success) return result.data as Value<P>;
    this.problems.push(...fromIssues(path, result.error.issues, PARTS[part].keys));
    return null;
  }

  #salvage<P extends ListPart>(part: P, item: unknown): Partial<Value<P>> {
    if (typeof item !== "object" || item === null) return {};
    const fields = Object.entries(PARTS[part].fields).flatMap(([key, schema]) => {
      const result = schema.safeParse((item as Record<string, unknown>)[key]);
      return result.success ? [[key, result.data]] : [];
    });
    return Object.fromEntries(fields) as Partial<Value<P>>;
  }
}

function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}

/** Fills in the layout of connection IDs, what is checked, and the pool: all hosts where none is named, the host's own weight where none is given. */
function serviceOf(service: ServiceDraft, weights: ReadonlyMap<string, number>, defaults: HealthConfig): ServiceConfig {
  const pool = service.pool ?? [...weights.keys()].map((host) => ({ host, weight: null }));
  const quic = service.udp === "quic" ? (service.quic ?? QUIC_DEFAULT) : null;
  const health = resolveHealth(service.health, service.ports, defaults);
  return { ...service, quic, health, pool: pool.map(({ host, weight }) => ({ host, weight: weight ?? weights.get(host)! })) };
}

/**
 * Reads a config from YAML. Gives the frozen config, or every error as a line `FILE: services[0].vips[1]: what (remedy)`;
 * `file` is only used in those lines.
 */
export function parseConfig(text: string, file: string): ConfigResult {
  const yaml = readYaml(text, file);
  return "errors" in yaml ? yaml : parseParts(yaml.raw, () => file);
}

/**
 * Puts a config together from its parts; `fileOf` names the file that a part is from. Never throws: a text from the store must not end
 * the agents that read it, whatever fault of ours it meets.
 */
export function parseParts(raw: Record<string, unknown>, fileOf: (part: string) => string): ConfigResult {
  try {
    return configOf(raw, fileOf);
  } catch (error) {
    return { errors: [`${fileOf("hosts")}: cannot be read: ${(error as Error).message} (a fault of hafl: please report it)`] };
  }
}

function configOf(raw: Record<string, unknown>, fileOf: (part: string) => string): ConfigResult {
  const reader = new PartReader(raw);
  const [cluster, seed] = [reader.one("cluster"), reader.one("seed")];
  const hosts = reader.list("hosts").map(({ dip, ...host }) => (dip === undefined ? host : { ...host, dips: dip }));
  const services: Partial<ServiceDraft>[] = reader.list("services");
  const [egress, drop] = [reader.list("egress"), reader.list("drop")];
  const metrics = reader.one("metrics");
  const [gue, table, flowTable, io] = [reader.one("gue"), reader.one("table"), reader.one("flowTable"), reader.one("io")];
  const store = reader.one("store");
  const [bgp, conductor, health, load] = [reader.one("bgp"), reader.one("conductor"), reader.one("health"), reader.one("load")];
  const problems = [
    ...withoutMisspelt(reader.problems),
    ...crossProblems({ hosts, services, egress, drop, table: table ?? {}, bgp, conductor: conductor ?? {} }),
  ];
  if (problems.length > 0) return { errors: linesOf(problems, fileOf) };
  const known = hosts as HostConfig[];
  const weights = new Map(known.map(({ name, weight }) => [name, weight]));
  return {
    config: freeze({
      cluster: cluster!,
      seed: seed!,
      hosts: known,
      services: services.map((service) => serviceOf(service as ServiceDraft, weights, health!)),
      egress: egress as EgressConfig[],
      drop: drop as DropConfig[],
      gue: gue!,
      table: table!,
      flowTable,
      io: io!,
      store: store!,
      bgp,
      metrics,
      conductor: conductor!,
      health: health!,
      load: load!,
    }),
  };
}

const linesOf = (problems: readonly Problem[], fileOf: (part: string) => string): string[] =>
  problems.map(({ path, text }) => `${fileOf(String(path[0]))}: ${formatPath(path)}: ${text}`);

/** What a host needs to find the rest: its own parts of the config. */
export type LocalConfig = Pick<Config, "cluster" | "seed" | "io" | "store">;

/** Reads a host's own parts of a config alone. Gives them and all that is in the text, or error lines as parseConfig. */
export function parseLocal(
  text: string,
  file: string,
): { local: LocalConfig; raw: Record<string, unknown> } | { errors: string[] } {
  const yaml = readYaml(text, file);
  if ("errors" in yaml) return yaml;
  const reader = new PartReader(yaml.raw);
  const [cluster, seed] = [reader.one("cluster"), reader.one("seed")];
  const [io, store] = [reader.one("io"), reader.one("store")];
  const problems = withoutMisspelt(reader.problems);
  if (problems.length > 0) return { errors: linesOf(problems, () => file) };
  return { local: freeze({ cluster: cluster!, seed: seed!, io: io!, store: store! }), raw: yaml.raw };
}

/** Reads a config file; one that cannot be read is an error line like any other. */
export function loadConfig(file: string): ConfigResult {
  const read = readText(file);
  return "errors" in read ? read : parseConfig(read.text, file);
}

/** A file's text, or the line that says why it cannot be had. */
export function readText(file: string): { text: string } | { errors: string[] } {
  try {
    return { text: readFileSync(file, "utf8") };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "no such file (check the path)" : `cannot be read: ${code} (check its permissions)`;
    return { errors: [`${file}: ${why}`] };
  }
}

const portsAsText = (ranges: readonly PortRange[]): unknown =>
  ranges.some(({ from, to }) => to - from === 65535)
    ? "any"
    : ranges.map(({ from, to }) => (from === to ? from : `${from}-${to}`));

/** The config as YAML with every default written out; parsing it gives an equal config. */
export function effectiveConfig(config: Config): string {
  const plain = {
    cluster: config.cluster,
    seed: Buffer.from(config.seed).toString("hex"),
    hosts: config.hosts.map(({ name, dips, ...host }) => ({ name, dip: dips.map(formatAddress), ...host })),
    services: config.services.map(({ name, vips, ports, pool, sites, udp, hash, quic, health, load }) => ({
      name,
      vips: vips.map(formatPrefix),
      ports: { tcp: portsAsText(ports.tcp), udp: portsAsText(ports.udp) },
      pool: Object.fromEntries(pool.map(({ host, weight }) => [host, weight])),
      sites,
      udp,
      hash,
      quic,
      health: plainHealth(health),
      load,
    })),
    egress: config.egress.map(({ ip, sliceSize, owners }) => ({ ip: formatAddress(ip), sliceSize, owners })),
    drop: config.drop.map(({ limit, ...rule }) => ({
      ...rule,
      limit: limit === null ? null : { ...limit, per: limit.per === null ? null : `/${limit.per}` },
    })),
    gue: config.gue,
    table: config.table,
    flowTable: config.flowTable ?? "off",
    io: config.io,
    store: config.store,
    bgp: config.bgp ?? "off",
    metrics: config.metrics === null ? "off" : { listen: formatEndpoint(config.metrics.listen) },
    conductor: { ...config.conductor, candidates: config.conductor.candidates ?? "all" },
    health: { ...config.health, maxAge: config.health.maxAge ?? "off" },
    load: config.load,
  };
  // Parts that have the same defaults share them; an alias for them would be refused when this is read.
  return stringify(plain, { lineWidth: 0, aliasDuplicateObjects: false });
}
