/** Rules that span several parts of a config: what is named twice, what is unknown, what overlaps. */
import { firstSlice, lastSlice, portsOfSlice } from "../steering/slices.ts";
import { contains, formatAddress, formatPrefix, type Prefix } from "../wire/address.ts";
import type { Config, DropConfig, EgressConfig, HostConfig, PortRange } from "./config.ts";
import { type BgpConfig, bgpProblems } from "./config-bgp.ts";
import type { ConductorConfig } from "./config-conductor.ts";
import { healthProblems } from "./config-health.ts";
import type { Path, Problem } from "./config-problem.ts";
import { quicProblems, showId } from "./config-quic.ts";
import { type ServiceDraft, TABLE_SIZE_MAX } from "./config-schema.ts";
import { closest } from "./suggest.ts";

/** A config of which every field was read by itself; what is malformed is missing, so that the rest is still checked. */
export interface Draft {
  readonly hosts: readonly Partial<HostConfig>[];
  readonly services: readonly Partial<ServiceDraft>[];
  readonly egress: readonly Partial<EgressConfig>[];
  readonly drop: readonly Partial<DropConfig>[];
  readonly table: Partial<Config["table"]>;
  /** null: off, or malformed. */
  readonly bgp: BgpConfig | null;
  readonly conductor: Partial<ConductorConfig>;
}

/** Reports each item whose key an earlier one has. */
function twice<T>(
  items: readonly { key: string; path: Path; of: T }[],
  text: (key: string, first: Path, item: T) => string,
): Problem[] {
  const seen = new Map<string, Path>();
  return items.flatMap(({ key, path, of }) => {
    const first = seen.get(key);
    if (first !== undefined) return [{ path, text: text(key, first, of) }];
    seen.set(key, path);
    return [];
  });
}

function twiceNamed(part: string, items: readonly { name?: string }[]): Problem[] {
  const named = items.flatMap((of, i) => (of.name === undefined ? [] : [{ key: of.name, path: [part, i, "name"], of }]));
  return twice(named, (key, first) => `"${key}" is the name of ${at(first)} already (names are unique; rename or remove one)`);
}

const at = (path: Path): string => `${path[0]}[${path[1]}]`;

/** `hosts[2] "s3"`, or without the name where that could not be read. */
const label = (part: string, i: number, name: string | undefined): string =>
  `${part}[${i}]${name === undefined ? "" : ` "${name}"`}`;

function hosts(draft: Draft): Problem[] {
  const dips = draft.hosts.flatMap((of, i) =>
    (of.dips ?? []).map((dip) => ({ key: formatAddress(dip), path: ["hosts", i, "dip"], of })),
  );
  const problems = [
    ...twiceNamed("hosts", draft.hosts),
    ...twice(dips, (key, first) => `${key} is the DIP of ${at(first)} already (each host has its own)`),
  ];
  const only = (family: number): number => draft.hosts.findIndex((h) => h.dips?.every((d) => d.family === family));
  const [v4, v6] = [only(4), only(6)];
  if (v4 >= 0 && v6 >= 0) {
    const text = `IPv6 only, while ${label("hosts", v4, draft.hosts[v4]!.name)} has IPv4 only: neither reaches the other`;
    problems.push({ path: ["hosts", v6, "dip"], text: `${text} (give all hosts one common family)` });
  }
  return problems;
}

function overlap(a: readonly PortRange[] = [], b: readonly PortRange[] = []): PortRange | null {
  for (const x of a) {
    for (const y of b) {
      if (x.from <= y.to && y.from <= x.to) return { from: Math.max(x.from, y.from), to: Math.min(x.to, y.to) };
    }
  }
  return null;
}

const range = ({ from, to }: PortRange): string =>
  to - from === 65535 ? "all ports" : from === to ? `port ${from}` : `ports ${from}-${to}`;

/** VIPs: none twice for the same protocol and port, none that is or holds a host's DIP. */
function vips(draft: Draft): Problem[] {
  const problems: Problem[] = [];
  const users = new Map<string, number[]>();
  draft.services.forEach((service, i) => {
    (service.vips ?? []).forEach((vip, j) => {
      const path = ["services", i, "vips", j];
      const key = formatPrefix(vip);
      const earlier = users.get(key) ?? [];
      if (earlier.includes(i)) problems.push({ path, text: `${key} is listed twice (remove one)` });
      for (const k of earlier.filter((k) => k !== i)) {
        const other = draft.services[k]!;
        for (const protocol of ["tcp", "udp"] as const) {
          const clash = overlap(other.ports?.[protocol], service.ports?.[protocol]);
          if (clash === null) continue;
          const owner = label("services", k, other.name);
          problems.push({
            path,
            text: `${key} ${protocol} ${range(clash)} belongs to ${owner} already (a port of a VIP has one service)`,
          });
        }
      }
      users.set(key, [...earlier.filter((k) => k !== i), i]);
      problems.push(...dipsIn(draft, vip, path));
    });
  });
  return problems;
}

function dipsIn(draft: Draft, vip: Prefix, path: Path): Problem[] {
  const vipText = formatPrefix(vip);
  return draft.hosts.flatMap((host, i) =>
    (host.dips ?? [])
      .filter((dip) => contains(vip, dip))
      .map((dip) => {
        const verb = vipText === formatAddress(dip) ? "is" : `holds ${formatAddress(dip)},`;
        const owner = label("hosts", i, host.name);
        return { path, text: `${vipText} ${verb} the DIP of ${owner} (a VIP is shared by all hosts, a DIP is one host's own)` };
      }),
  );
}

function unknownHost(draft: Draft, host: string, path: Path): Problem[] {
  const known = draft.hosts.flatMap(({ name }) => name ?? []);
  if (known.includes(host)) return [];
  const meant = closest(host, known);
  const remedy = meant === null ? "add it to `hosts` or remove it here" : `did you mean "${meant}"?`;
  return [{ path, text: `no host is named "${host}" (${remedy})` }];
}

function pools(draft: Draft): Problem[] {
  return draft.services.flatMap((service, i) =>
    (service.pool ?? []).flatMap(({ host, weight }, j) => {
      // A member without a weight of its own was written in a list, else as a key.
      return unknownHost(draft, host, ["services", i, "pool", weight === null ? j : host]);
    }),
  );
}

const candidates = (draft: Draft): Problem[] =>
  (draft.conductor.candidates ?? []).flatMap((host, i) => unknownHost(draft, host, ["conductor", "candidates", i]));

function serverIds(draft: Draft): Problem[] {
  const present = draft.hosts.flatMap((of, i) =>
    of.serverId == null ? [] : [{ key: showId(of.serverId), path: ["hosts", i, "serverId"], of }],
  );
  return twice(present, (key, first) => `${key} is the server id of ${at(first)} already (each host has its own)`);
}

const quicServices = (draft: Draft): Problem[] =>
  draft.services.flatMap((service, i) => quicProblems(service, draft.hosts, ["services", i]));

const health = (draft: Draft): Problem[] =>
  draft.services.flatMap((service, i) => healthProblems(service.health, service.ports, ["services", i, "health"]));

function egress(draft: Draft): Problem[] {
  const present = draft.egress.flatMap((of, i) =>
    of.ip === undefined ? [] : [{ key: formatAddress(of.ip), path: ["egress", i, "ip"], of: of.ip }],
  );
  const problems = twice(present, (key, first) => `${key} is the IP of ${at(first)} already (one entry per IP)`);
  for (const { key, path, of: ip } of present) {
    for (const [i, host] of draft.hosts.entries()) {
      if (!host.dips?.some((dip) => formatAddress(dip) === key)) continue;
      problems.push({ path, text: `${key} is the DIP of ${label("hosts", i, host.name)} (a shared IP is no host's own)` });
    }
    for (const [i, service] of draft.services.entries()) {
      const vip = service.vips?.find((v) => contains(v, ip));
      if (vip === undefined) continue;
      const owner = label("services", i, service.name);
      problems.push({ path, text: `${key} is in VIP ${formatPrefix(vip)} of ${owner} (an egress IP serves nothing)` });
    }
  }
  return [...problems, ...draft.egress.flatMap((entry, i) => slices(draft, entry, i))];
}

function slices(draft: Draft, { sliceSize, owners = {} }: Partial<EgressConfig>, index: number): Problem[] {
  const base = ["egress", index, "owners"];
  const strangers = Object.keys(owners).flatMap((host) => unknownHost(draft, host, [...base, host]));
  if (sliceSize === undefined) return strangers;
  const first = firstSlice(sliceSize);
  const last = lastSlice(sliceSize);
  const span = (n: number): string => {
    const { from, to } = portsOfSlice(n, sliceSize);
    return `${from}-${to}`;
  };
  const claimed = Object.entries(owners).flatMap(([host, list]) =>
    list.map((n, i) => ({ key: String(n), path: [...base, host, i], of: n })),
  );
  return [
    ...strangers,
    ...claimed
      .filter(({ of: n }) => n < first || n > last)
      .map(({ path, of: n }) => ({
        path,
        text: `slice ${n} is ports ${span(n)} (slices of ${sliceSize} are ${first} to ${last}: ports 1024 to 65535)`,
      })),
    ...twice(claimed, (key, earlier) => `slice ${key} belongs to "${earlier[3]}" already (a slice has one owner)`),
  ];
}

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return n >= 2;
}

function table(draft: Draft): Problem[] {
  const { size } = draft.table;
  if (size === undefined) return [];
  const path = ["table", "size"];
  if (!isPrime(size)) {
    let next = size + 1;
    while (!isPrime(next)) next++;
    return [{ path, text: `${size} is not a prime (the next one is ${Math.min(next, TABLE_SIZE_MAX)})` }];
  }
  const count = draft.hosts.length;
  return size < count
    ? [{ path, text: `${size} is less than the ${count} hosts (write 65537, or at least 100 times the hosts)` }]
    : [];
}

/** All problems that only show when the parts are seen together. */
export const crossProblems = (draft: Draft): Problem[] => [
  ...hosts(draft),
  ...twiceNamed("services", draft.services),
  ...vips(draft),
  ...pools(draft),
  ...serverIds(draft),
  ...quicServices(draft),
  ...health(draft),
  ...egress(draft),
  ...twiceNamed("drop", draft.drop),
  ...table(draft),
  ...bgpProblems(draft),
  ...candidates(draft),
];
