/** What a config says about load: how it is measured, and how weights follow it. */
import { z } from "zod";
import { bad, expected, object, oneOf, type Read, read, whole } from "./config-fields.ts";
import { show } from "./config-problem.ts";

export interface LoadConfig {
  /** Whether weights follow load; it is measured and reported in any case. */
  readonly control: "on" | "off";
  /** Between two steps of the controller, and how old a measurement may be. */
  readonly intervalSeconds: number;
  /** What is measured is the mean over so long. */
  readonly averageSeconds: number;
  /** How long most of a host's load takes to follow its weight: about as long as a connection lasts. */
  readonly settleSeconds: number;
  /** As in conductor/load-control.ts, where they are described. */
  readonly gain: number;
  readonly step: number;
  readonly deadBand: number;
  readonly idle: number;
  readonly floor: number;
  readonly ceiling: number;
  /** Use of the CPUs above which a host calls itself overloaded; 1: never. */
  readonly overload: number;
  /** The control group that is measured instead of the whole host, below the root of its hierarchy, `{host}` its name; null: none, see load/cpu-counters.ts. */
  readonly cgroup: string | null;
}

/** How a service's own load on a host is asked for: a number, 0 idle, 1 full. `{host}` and `{service}` stand for names. */
export type ServiceLoadConfig = (
  | { readonly command: readonly string[]; readonly prometheus: null; readonly query: null }
  | { readonly command: null; readonly prometheus: string; readonly query: string }
) & {
  /** How often it is asked, and how long it may take. */
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
};

/** A number between two bounds, both included. */
const between = (from: number, to: number) =>
  z.custom<number>(
    (x) => typeof x === "number" && x >= from && x <= to,
    expected("valid here", `write a number from ${from} to ${to}`),
  );

/** A path below the root of a hierarchy, without a way out of it. */
function readCgroup(input: unknown): Read<string | null> {
  if (input === undefined || input === null) return { value: null };
  const remedy = "write system.slice/nginx.service, as /proc/PID/cgroup has it";
  if (typeof input !== "string" || !/^[^\0]{1,512}$/.test(input)) return bad(`${show(input)} is not a control group (${remedy})`);
  const steps = input.split("/").filter((step) => step !== "");
  if (steps.length === 0 || steps.some((step) => step === "." || step === ".."))
    return bad(`${show(input)} is not a control group (${remedy})`);
  return { value: steps.join("/") };
}

const LOAD = {
  control: oneOf("on", "off").default("on"),
  intervalSeconds: whole(1, 3600).default(30),
  averageSeconds: whole(1, 600).default(20),
  settleSeconds: whole(0, 86_400).default(60),
  gain: between(0.01, 1).default(0.25),
  step: between(0.001, 1).default(0.1),
  deadBand: between(0.001, 1).default(0.03),
  idle: between(0, 1).default(0.2),
  floor: between(0.001, 1).default(0.1),
  ceiling: between(1, 1000).default(4),
  overload: between(0.1, 1).default(0.95),
  cgroup: read(readCgroup),
};
export const LOAD_KEYS = Object.keys(LOAD);

export const load = object(LOAD, "{ control: on }").prefault({});

/** Reads an absolute URL of http or https. */
function readUrl(input: unknown): Read<string | null> {
  if (input === undefined || input === null) return { value: null };
  const url = typeof input === "string" && URL.canParse(input) ? new URL(input) : null;
  return url !== null && /^https?:$/.test(url.protocol)
    ? { value: input as string }
    : bad(`${show(input)} is not the address of a Prometheus (write http://10.0.1.5:9090)`);
}

const text = (what: string, remedy: string) =>
  z.custom<string>((x) => typeof x === "string" && x.trim() !== "" && !x.includes("\0"), expected(what, remedy));

const SERVICE_LOAD = {
  command: z
    .array(
      text("a word", "write numbers and the like in quotes"),
      expected("a list of words", 'write [/usr/local/bin/busy, "{host}"]'),
    )
    .min(1, 'no command (write [/usr/local/bin/busy, "{host}"])')
    .nullable()
    .default(null),
  prometheus: read(readUrl),
  query: text("a query", "write the text of a PromQL expression").nullable().default(null),
  intervalSeconds: whole(1, 3600).default(10),
  timeoutSeconds: whole(1, 60).default(5),
};
export const SERVICE_LOAD_KEYS = Object.keys(SERVICE_LOAD);

export const serviceLoad = object(SERVICE_LOAD, "{ command: [/usr/local/bin/busy] }")
  .superRefine(({ command, prometheus, query }, context) => {
    const wrong = (path: string[], message: string): void => {
      context.addIssue({ code: "custom", path, message, input: null });
    };
    if (command === null && prometheus === null && query === null)
      wrong([], "asks nothing (write command: [...], or prometheus: and query:)");
    else if (command !== null && (prometheus !== null || query !== null))
      wrong([], "asks two ways (remove command, or prometheus and query)");
    else if (command === null && prometheus === null) wrong(["prometheus"], "is missing (write http://10.0.1.5:9090)");
    else if (command === null && query === null) wrong(["query"], "is missing (write the text of a PromQL expression)");
  })
  .transform((value) => value as ServiceLoadConfig)
  .nullable()
  .default(null);
