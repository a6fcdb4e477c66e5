/** What a config says about health: how hosts check their own services, and how they probe those of others through the tunnel. */
import { z } from "zod";
import type { ServiceConfig } from "./config.ts";
import { bad, expected, object, oneOf, type Read, read, whole } from "./config-fields.ts";
import { type Path, type Problem, show } from "./config-problem.ts";

/** When checks are made, and how many in a row change what is held of the checked one. */
export interface Rhythm {
  /** Seconds from one check to the next; a quarter of it while they contradict what is held. */
  readonly interval: number;
  /** Seconds a check may take. */
  readonly timeout: number;
  readonly rise: number;
  readonly fall: number;
  /** The interval is longer or shorter by up to this share of it, by chance: hosts do not fall into step. */
  readonly jitter: number;
}

/** Both ends belong to it. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

export interface ServiceHealth extends Rhythm {
  /** How each host checks it on itself. */
  readonly kind: "tcp" | "http" | "exec" | "none";
  /** TCP port; null: there is none to check. */
  readonly port: number | null;
  readonly path: string;
  /** The Host header; null: the VIP. */
  readonly host: string | null;
  /** Of `http`: statuses that are good, and what the body has to hold; null: anything. */
  readonly status: readonly StatusRange[];
  readonly body: string | null;
  /** Of `exec`: program and arguments. */
  readonly command: readonly string[];
  /** How other hosts probe it through the tunnel. */
  readonly tunnel: "tcp" | "http" | "echo" | "off";
}

export interface HealthConfig extends Rhythm {
  readonly tunnel: Rhythm & {
    /** By how many others a host is probed at most. */
    readonly probers: number;
  };
  /** Seconds for which a host may be without its store before it calls itself unfit; null: for ever. */
  readonly maxAge: number | null;
}

/** What is written of a service, without what follows from elsewhere. */
export type HealthDraft = z.output<typeof serviceHealth>;

/** Whole milliseconds, as seconds. */
const seconds = (from: number, to: number) =>
  z.custom<number>(
    (x) => typeof x === "number" && x >= from && x <= to && Number.isInteger(Math.round(x * 1e6) / 1e3),
    expected("valid here", `write seconds from ${from} to ${to}, like 0.5`),
  );
const RHYTHM = {
  interval: seconds(0.1, 3600),
  timeout: seconds(0.05, 60),
  rise: whole(1, 100),
  fall: whole(1, 100),
  jitter: z.custom<number>(
    (x) => typeof x === "number" && x >= 0 && x <= 0.5,
    expected("a share", "write a number from 0 to 0.5"),
  ),
};
const RHYTHM_KEYS = Object.keys(RHYTHM) as (keyof Rhythm)[];

const TUNNEL = {
  interval: RHYTHM.interval.default(1),
  timeout: RHYTHM.timeout.default(1),
  rise: RHYTHM.rise.default(2),
  fall: RHYTHM.fall.default(3),
  jitter: RHYTHM.jitter.default(0.1),
  probers: whole(1, 4096).default(8),
};
const off = (input: unknown): boolean => input === "off" || input === false;
const HEALTH = {
  interval: RHYTHM.interval.default(1),
  timeout: RHYTHM.timeout.default(1),
  rise: RHYTHM.rise.default(2),
  fall: RHYTHM.fall.default(3),
  jitter: RHYTHM.jitter.default(0.1),
  tunnel: object(TUNNEL, "{ interval: 1 }").prefault({}),
  // By default only what lasts far longer than an outage that people mend makes a host unfit: all would be so at a time.
  maxAge: z.preprocess((input) => (off(input) ? null : input), whole(1, 31_536_000).nullable().default(86_400)),
};
export const HEALTH_KEYS = { "": Object.keys(HEALTH), tunnel: Object.keys(TUNNEL) };

/** Of all services. */
export const health = object(HEALTH, "{ interval: 1 }").prefault({});

const STATUS = "write 200, 200-299, or a list of them";
function readStatus(input: unknown): Read<readonly StatusRange[] | undefined> {
  if (input === undefined) return { value: undefined };
  const list = Array.isArray(input) ? input : [input];
  const ranges: StatusRange[] = [];
  for (const item of list) {
    const match = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(String(item));
    if (match === null) return bad(`${show(item)} is not an HTTP status or a range of them (${STATUS})`);
    const [from, to] = [Number(match[1]), Number(match[2] ?? match[1])];
    if (from > to) return bad(`range ${from}-${to} runs backwards (write ${to}-${from})`);
    ranges.push({ from, to });
  }
  return ranges.length > 0 ? { value: ranges } : bad(`no status is good (${STATUS})`);
}

function readCommand(input: unknown): Read<readonly string[] | undefined> {
  if (input === undefined || (Array.isArray(input) && input.length === 0)) return { value: undefined };
  const remedy = "write [/usr/local/bin/check, --fast]";
  if (!Array.isArray(input) || !input.every((word) => typeof word === "string"))
    return bad(`${show(input)} is not a program and its arguments (${remedy})`);
  if (!input[0]!.startsWith("/")) return bad(`${show(input[0])} is not an absolute path (${remedy})`);
  return { value: input };
}

/** Text of one line, as goes into a request. */
const line = (what: string, pattern: RegExp, remedy: string) =>
  z.custom<string>((x) => typeof x === "string" && pattern.test(x), expected(what, remedy));

const SERVICE = {
  kind: oneOf("tcp", "http", "exec", "none").optional(),
  port: whole(1, 65535).nullable().optional(),
  path: line("a path", /^\/[\x21-\x7e]{0,1023}$/, "write /healthz").optional(),
  host: line("a host's name", /^[A-Za-z0-9.:[\]_-]{1,255}$/, "write www.example.com")
    .nullable()
    .optional(),
  status: read(readStatus),
  body: z
    .custom<string>(
      (x) => typeof x === "string" && x.length > 0 && x.length <= 1024,
      expected("text of 1 to 1024 characters", 'write "ok"'),
    )
    .nullable()
    .optional(),
  command: read(readCommand),
  tunnel: z.preprocess((input) => (input === false ? "off" : input), oneOf("tcp", "http", "echo", "off").optional()),
  interval: RHYTHM.interval.optional(),
  timeout: RHYTHM.timeout.optional(),
  rise: RHYTHM.rise.optional(),
  fall: RHYTHM.fall.optional(),
  jitter: RHYTHM.jitter.optional(),
};
export const SERVICE_HEALTH_KEYS = Object.keys(SERVICE);

/** Of one service: a map, the kind alone, or off. */
export const serviceHealth = z.preprocess(
  (input) =>
    input === undefined ? {} : off(input) ? { kind: "none", tunnel: "off" } : typeof input === "string" ? { kind: input } : input,
  object(SERVICE, "tcp, off, or { kind: http, path: /healthz }"),
);

type Ports = Pick<ServiceConfig, "ports">["ports"];

/** The port that is checked unless one is named: the first of the service, where it has not all of them. */
function portOf(draft: HealthDraft, { tcp }: Ports): number | null {
  const [first] = tcp;
  return draft.port ?? (first === undefined || first.to - first.from === 65535 ? null : first.from);
}

/** Fills in what a service does not say of itself. */
export function resolveHealth(draft: HealthDraft, ports: Ports, defaults: HealthConfig): ServiceHealth {
  const port = portOf(draft, ports);
  const kind = draft.kind ?? (port === null ? "none" : "tcp");
  return {
    kind,
    port,
    path: draft.path ?? "/",
    host: draft.host ?? null,
    status: draft.status ?? [{ from: 200, to: 399 }],
    body: draft.body ?? null,
    command: draft.command ?? [],
    tunnel: draft.tunnel ?? (port === null ? "echo" : "tcp"),
    ...(Object.fromEntries(RHYTHM_KEYS.map((key) => [key, draft[key] ?? defaults[key]])) as unknown as Rhythm),
  };
}

/** What only shows when all of it, and the service's ports, are known. */
export function healthProblems(draft: HealthDraft | undefined, ports: Ports | undefined, path: Path): Problem[] {
  if (draft === undefined || ports === undefined) return [];
  const port = portOf(draft, ports);
  const kind = draft.kind ?? (port === null ? "none" : "tcp");
  const problem = (key: string, text: string): Problem => ({ path: [...path, key], text });
  const problems: Problem[] = [];
  const needsPort =
    kind === "tcp" || kind === "http" ? "kind" : draft.tunnel === "tcp" || draft.tunnel === "http" ? "tunnel" : null;
  if (port === null && needsPort !== null) {
    const which = needsPort === "kind" ? kind : draft.tunnel;
    problems.push(
      problem("port", `is missing: ${needsPort}: ${which} needs a TCP port, and the service does not name one (write port: 80)`),
    );
  }
  if (draft.tunnel === "http" && kind !== "http")
    problems.push(problem("tunnel", "http is for services with kind: http (write kind: http, or tunnel: tcp)"));
  if (kind === "exec" && draft.command === undefined)
    problems.push(problem("command", "is missing (write [/usr/local/bin/check, --fast])"));
  return problems;
}

const portRange = ({ from, to }: StatusRange): string | number => (from === to ? from : `${from}-${to}`);

/** A service's health as it is written in a config. */
export const plainHealth = ({ status, ...rest }: ServiceHealth): object => ({ ...rest, status: status.map(portRange) });
