/** Single fields of a config as zod schemas: names, numbers, addresses, VIPs, ports, pools. */
import { z } from "zod";
import { type Address, contains, formatPrefix, maskWord, type Prefix, parseAddress, parsePrefix } from "../wire/address.ts";
import type { PortRange } from "./config.ts";
import { MISSING, show } from "./config-problem.ts";

/** A reader's result: the value, or what is wrong with the input (at `path` below it). */
export type Read<T> = { value: T } | { problems: { path?: (string | number)[]; text: string }[] };

/** A reader's refusal. */
export const bad = (text: string): { problems: { text: string }[] } => ({ problems: [{ text }] });

/** A schema from a plain function. */
export function read<T>(reader: (input: unknown) => Read<T>) {
  return z
    .unknown()
    .optional()
    .transform((input, context): T => {
      const result = reader(input);
      if ("value" in result) return result.value;
      for (const { path, text } of result.problems) context.addIssue({ code: "custom", message: text, path: path ?? [], input });
      return z.NEVER;
    });
}

/** The message for a value that is missing or not `what`. */
export const expected = (what: string, remedy: string) => ({
  error: (issue: { input?: unknown }): string =>
    issue.input === undefined ? `${MISSING} (${remedy})` : `${show(issue.input)} is not ${what} (${remedy})`,
});

/** A whole number in a range, both ends included. */
export const whole = (from: number, to: number, remedy = `write a whole number from ${from} to ${to}`) =>
  z.custom<number>((n) => Number.isInteger(n) && (n as number) >= from && (n as number) <= to, expected("valid here", remedy));

/** One of some words. */
export const oneOf = <const T extends string>(...choices: T[]) =>
  z.custom<T>((x) => choices.includes(x as T), expected("known", `one of ${choices.join(", ")}`));

/** A map that has no other keys; `example` is shown when it is no map at all. */
export const object = <T extends z.core.$ZodLooseShape>(shape: T, example: string) =>
  z.strictObject(shape, expected("a map", `write ${example}`));

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** The name of a cluster, host, service or rule. */
export const name = z.custom<string>(
  (x) => typeof x === "string" && NAME.test(x),
  expected("a name", "1 to 63 letters, digits, dots, dashes; quote it if it looks like a number"),
);

/** Why an address cannot be a VIP, a DIP or an egress IP; null when it can. */
function unusable(address: Address): string | null {
  const within = (text: string): boolean => contains(parsePrefix(text)!, address);
  if (within("0.0.0.0/8") || within("::/128")) return "is the unspecified address";
  if (within("127.0.0.0/8") || within("::1/128")) return "is a loopback address";
  if (within("224.0.0.0/4") || within("ff00::/8")) return "is multicast";
  if (within("240.0.0.0/4")) return "is reserved";
  return within("169.254.0.0/16") || within("fe80::/10") ? "is link-local" : null;
}

/** Reads an address that other machines can send to. */
export function readAddress(input: unknown): Read<Address> {
  if (input === undefined) return bad(`${MISSING} (write an IPv4 or IPv6 address)`);
  const address = typeof input === "string" ? parseAddress(input) : null;
  if (address === null) return bad(`${show(input)} is not an address (write IPv4 like 10.0.1.11 or IPv6 like fd00::11)`);
  const why = unusable(address);
  return why === null ? { value: address } : bad(`${input} ${why} (write an address other hosts can reach)`);
}

/** Reads one address or a list of at most one per family; gives IPv4 first. */
export function readDips(input: unknown): Read<readonly Address[]> {
  const list = Array.isArray(input) ? input : [input];
  const problems: { path?: (string | number)[]; text: string }[] = [];
  const value: Address[] = [];
  list.forEach((item, i) => {
    const one = readAddress(item);
    const path = Array.isArray(input) ? [i] : [];
    if ("problems" in one) problems.push({ path, text: one.problems[0]!.text });
    else if (value.some((a) => a.family === one.value.family))
      problems.push({ path, text: `a second IPv${one.value.family} address (a host has at most one of each family)` });
    else value.push(one.value);
  });
  if (list.length === 0) problems.push({ text: "no address (a host needs an IPv4 address, an IPv6 address or one of each)" });
  return problems.length > 0 ? { problems } : { value: value.sort((a, b) => a.family - b.family) };
}

/** Shortest VIP prefix taken: anything wider is surely a slip, and would take over half the internet. */
const WIDEST = { 4: 8, 6: 16 } as const;

/** Reads a VIP: an address or a prefix. */
export function readVip(input: unknown): Read<Prefix> {
  const prefix = typeof input === "string" ? parsePrefix(input) : null;
  if (prefix === null) {
    const [host = "", bits = ""] = typeof input === "string" ? input.split("/") : [];
    const address = parseAddress(host);
    const most = address?.family === 4 ? 32 : 128;
    if (address === null || !/^\d+$/.test(bits) || Number(bits) > most) {
      return bad(
        `${show(input)} is not an address or prefix (write 192.0.2.10, 192.0.2.0/24, "2001:db8::10" or "2001:db8::/64")`,
      );
    }
    const at = (i: number): number => (address.words[i]! & maskWord(Number(bits) + 128 - most, i)) >>> 0;
    const fixed = { address: { family: address.family, words: [at(0), at(1), at(2), at(3)] as const }, length: Number(bits) };
    return bad(`${input} has bits set behind its prefix length (write ${formatPrefix(fixed)})`);
  }
  const { family } = prefix.address;
  if (prefix.length < WIDEST[family]) return bad(`${input} is too wide (IPv${family} VIPs are /${WIDEST[family]} or longer)`);
  const why = unusable(prefix.address);
  return why === null ? { value: prefix } : bad(`${input} ${why} (write an address clients can reach)`);
}

const PORTS = "write ports 1-65535 or ranges like 8000-8100, or `any`";

function readPort(item: unknown): PortRange | string {
  const match = /^(\d{1,9})(?:\s*-\s*(\d{1,9}))?$/.exec(
    typeof item === "number" ? String(item) : typeof item === "string" ? item.trim() : "",
  );
  if (match === null) return `${show(item)} is not a port or range (${PORTS})`;
  const from = Number(match[1]);
  const to = match[2] === undefined ? from : Number(match[2]);
  const outside = [from, to].find((p) => p < 1 || p > 65535);
  if (outside !== undefined) return `port ${outside} does not exist (${PORTS})`;
  return from > to ? `range ${from}-${to} runs backwards (write ${to}-${from})` : { from, to };
}

const ANY: readonly PortRange[] = [{ from: 0, to: 65535 }];

function readPortList(input: unknown): Read<readonly PortRange[]> {
  if (input === undefined) return { value: [] };
  if (input === "any") return { value: ANY };
  const list = Array.isArray(input) ? input : [input];
  const read = list.map(readPort);
  const problems = read.flatMap((r, i) => (typeof r === "string" ? [{ path: Array.isArray(input) ? [i] : [], text: r }] : []));
  if (problems.length > 0) return { problems };
  const merged: { from: number; to: number }[] = [];
  for (const range of (read as PortRange[]).sort((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last !== undefined && range.from <= last.to + 1) last.to = Math.max(last.to, range.to);
    else merged.push({ ...range });
  }
  return { value: merged };
}

const portMap = object({ tcp: read(readPortList), udp: read(readPortList) }, "{ tcp: [80, 443], udp: any }").refine(
  ({ tcp, udp }) => tcp.length + udp.length > 0,
  `names no port (${PORTS})`,
);
/** Ports of a service: `any`, or per protocol a port, a range or a list of them; sorted and merged. */
export const ports = z.preprocess((input) => (input === "any" ? { tcp: "any", udp: "any" } : input), portMap);

/** A host's share relative to the others. */
export const weight = whole(0, 65535);

/** A pool before the hosts are known: null stands for all of them, a null weight for the host's own. */
export type PoolDraft = readonly { host: string; weight: number | null }[] | null;

/** Reads a pool: a list of names or a map from name to weight. */
export function readPool(input: unknown): Read<PoolDraft> {
  if (input === undefined) return { value: null };
  const problems: { path: (string | number)[]; text: string }[] = [];
  if (Array.isArray(input)) {
    input.forEach((host, i) => {
      if (!name.safeParse(host).success)
        problems.push({ path: [i], text: `${show(host)} is not a host's name (write the name of one of \`hosts\`)` });
      else if (input.indexOf(host) < i) problems.push({ path: [i], text: `"${host}" is in this pool already (remove one)` });
    });
    return problems.length > 0 ? { problems } : { value: input.map((host: string) => ({ host, weight: null })) };
  }
  if (typeof input !== "object" || input === null)
    return bad(`${show(input)} is not a pool (write [s1, s2] or { s1: 3, s2: 1 })`);
  for (const [host, w] of Object.entries(input)) {
    const one = weight.safeParse(w);
    if (!one.success) problems.push({ path: [host], text: one.error.issues[0]!.message });
  }
  return problems.length > 0
    ? { problems }
    : { value: Object.entries(input).map(([host, w]) => ({ host, weight: w as number })) };
}
