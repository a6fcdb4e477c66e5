/** The VIPs of a configuration, each with the service of every port. Pure. */
import type { VipSpec } from "../shm/forwarding-table.ts";
import type { RangeSpec } from "../shm/port-table.ts";
import { mappedLength, maskWord } from "../wire/address.ts";
import type { Config, PortRange, ServiceConfig } from "./config.ts";

interface Vip {
  readonly words: VipSpec["words"];
  readonly family: 4 | 6;
  readonly length: number;
  readonly tcp: RangeSpec[];
  readonly udp: RangeSpec[];
  /** Services on this very prefix, in the order of the config. */
  readonly services: ServiceConfig[];
}

const keyOf = (words: readonly number[], length: number, family: number): string =>
  `${family} ${words.map((word, i) => (word & maskWord(length, i)) >>> 0).join(" ")}/${length}`;

/**
 * One entry per VIP prefix, with the ports of all services on it. The data plane looks at the longest prefix alone, so a port
 * that nobody serves there is given to the service that has it on the next wider one around it. `idOf` gives a service's id.
 */
export function vipSpecs(config: Config, idOf: (service: string) => number): VipSpec[] {
  const vips = new Map<string, Vip>();
  for (const one of config.services) {
    const { vips: prefixes, ports } = one;
    const service = idOf(one.name);
    for (const prefix of prefixes) {
      const { words, family } = prefix.address;
      const length = mappedLength(prefix);
      const key = keyOf(words, length, family);
      const vip = vips.get(key) ?? { words, family, length, tcp: [], udp: [], services: [] };
      vips.set(key, vip);
      vip.tcp.push(...ports.tcp.map((range) => ({ ...range, service })));
      vip.udp.push(...ports.udp.map((range) => ({ ...range, service })));
      vip.services.push(one);
    }
  }
  const lengths = [...new Set([...vips.values()].map(({ length }) => length))].sort((a, b) => b - a);
  return [...vips.values()].map((vip) => {
    const wider = lengths.filter((length) => length < vip.length);
    const around = wider.flatMap((length) => vips.get(keyOf(vip.words, length, vip.family)) ?? []);
    const { words, family, length } = vip;
    const tcp = filled([vip, ...around].map((v) => v.tcp));
    const udp = filled([vip, ...around].map((v) => v.udp));
    return { words, family, length, tcp, udp, portless: idOf(portlessOf(vip.services).name) };
  });
}

/** The service that answers echo requests: the first that has hosts. */
function portlessOf(services: readonly ServiceConfig[]): ServiceConfig {
  return services.find(({ pool }) => pool.some(({ weight }) => weight > 0)) ?? services[0]!;
}

/** Ranges of several lists in ascending order; where they overlap, those of earlier lists stay. */
function filled(lists: readonly (readonly RangeSpec[])[]): RangeSpec[] {
  const ascending = (a: PortRange, b: PortRange): number => a.from - b.from;
  let taken: RangeSpec[] = [];
  for (const list of lists) {
    const left = list.flatMap((range) => without(range, taken));
    taken = [...taken, ...left].sort(ascending);
  }
  return taken;
}

/** What is left of a range where others, in ascending order, have their parts. */
function without(range: RangeSpec, taken: readonly RangeSpec[]): RangeSpec[] {
  const left: RangeSpec[] = [];
  let from = range.from;
  for (const other of taken) {
    if (other.to < from || other.from > range.to) continue;
    if (other.from > from) left.push({ ...range, from, to: other.from - 1 });
    from = other.to + 1;
  }
  if (from <= range.to) left.push({ ...range, from });
  return left;
}
