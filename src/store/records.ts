/** The values that lie under the keys of a cluster: their shape, and how what is not of it is refused. */
import { z } from "zod";
import { isReservedName } from "../control/names.ts";

/** Of every record: one of another format was written by another version, and is not for us. */
const FORMAT = 1;

/** Bytes that what is wanted, generations and decisions may have, which grow with the number of hosts; and any other record. */
export const MAX_WANTED_BYTES = 1 << 20;
export const MAX_RECORD_BYTES = 1 << 16;
const LARGE: readonly string[] = ["wanted", "generations", "decisions"];

/**
 * Reports and probes are written anew at least so often, ms, also when they say the same: who reads them tells by that, not by the
 * time in them, whether their writer is alive. Clocks of hosts differ.
 */
export const RENEW_MS = 5000;

/**
 * Changes and serials end here: two of them can be added without loss of precision, and a number that a program made up by mistake or
 * malice never blocks the next one.
 */
export const MAX_NUMBER = 2 ** 40;
/**
 * Changes and serials grow by one. A number that is so far above the last one, or so far below it, was made up: a store restored from
 * a backup is never that far behind.
 */
export const FAR = 1_000_000;

const time = z.int().nonnegative();
const counted = z.int().nonnegative().lt(MAX_NUMBER);
const name = z.string().refine((text) => !isReservedName(text), "a name that is reserved");
const member = z.strictObject({ name, weight: z.number().nonnegative(), gone: z.literal(true).optional() });
const generation = z.strictObject({
  id: z.int().positive(),
  time,
  superseded: time.optional(),
  hosts: z.array(member).max(4096),
});
const health = z.strictObject({ healthy: z.boolean(), reason: z.string() });

/** What is wanted of the cluster. */
const wanted = z.strictObject({
  format: z.literal(FORMAT),
  /** Counts the changes from 1; the store's own revisions start anew when it is restored. */
  change: counted.positive(),
  who: z.string(),
  /** ms since the epoch. */
  when: time,
  why: z.string(),
  /** The wanted parts of the config as YAML. */
  config: z.string(),
});

/** Generations of a pool, newest first, as in steering/generations.ts; times by the cluster's clock (conductor/cluster-clock.ts). */
const generations = z.strictObject({
  format: z.literal(FORMAT),
  /** Name of the pool: that of the service, or SERVICE@SITE (control/site.ts). */
  service: name,
  /** Counts the writes from 1, also across conductors. */
  serial: counted.positive(),
  /** The change of the wanted state that it follows. */
  change: counted,
  /** Who wrote it, and why in a few words. */
  by: z.string(),
  why: z.string(),
  generations: z.array(generation).min(1).max(32),
});

/** What the conductor thinks of a host of a pool; of those that are up, and never were anything else, it says nothing. */
const standing = z.strictObject({
  /** It gets new connections, as far as its health goes. */
  up: z.boolean(),
  /** When it last went up or down, by the cluster's clock. */
  since: time,
  /** Since when all that is seen of it says that it should turn; null: it agrees. */
  turned: time.nullable(),
  /** How often it went down, less those that are forgotten. */
  flaps: z.int().nonnegative(),
  /** Why it is down, or about to go down. */
  reason: z.string(),
});

const poolDecisions = z.strictObject({
  hosts: z.record(name, standing),
  /** Since when nothing moves for reasons of health and load, and why; calm: since when that reason is gone. */
  frozen: z.strictObject({ since: time, why: z.string(), calm: time.nullable() }).nullable(),
  /** Changes that may be made at once at time `at`; they grow again with time. */
  budget: z.strictObject({ at: time, left: z.number() }),
  /** By what the weights of hosts are multiplied because of their load; 1 where nothing is said. */
  factors: z.record(name, z.number().positive()),
});

/** What the conductor decided, for the next one to go on from. */
const decisions = z.strictObject({
  format: z.literal(FORMAT),
  /** The cluster's clock when it was written. */
  time,
  /** The last serial that was given to generations. */
  serial: counted,
  by: z.string(),
  /** By name of the pool. */
  pools: z.record(name, poolDecisions),
  /** While the store has less than the hosts have applied: the change that somebody has to be above; null: it is not so. */
  turnedBack: counted.nullable(),
  /** What an operator has to know, one line each. */
  alarms: z.array(z.string()),
});

/** Who conducts. */
const conductor = z.strictObject({ format: z.literal(FORMAT), host: name, pid: z.int(), since: time });

/** What a host says of itself. */
const hostReport = z.strictObject({
  format: z.literal(FORMAT),
  host: name,
  when: time,
  version: z.string(),
  /** Change of the wanted state that it has applied, generation of its tables, and for how long its store has been out of reach, s. */
  change: counted,
  generation: z.int().nonnegative(),
  ageSeconds: z.number().nonnegative(),
  /** Serial of the generations it has applied, by name of the pool. */
  serials: z.record(name, counted),
  /** What it refused of the store's content, and why; null: nothing. */
  refused: z.string().nullable(),
  /** What is wrong with the host itself, by who found it. */
  problems: z.record(name, z.string()),
  services: z.record(name, health),
  /** 0..1 each; use of the CPUs and share of time in which work waited for one; by service what its own measure says, 1: full. null: not known yet, which is not idle. */
  load: z
    .strictObject({
      cpu: z.number(),
      pressure: z.number(),
      services: z.record(name, z.number()),
    })
    .nullable(),
  /** Flows that the host owns and has seen packets of lately. */
  flows: z.int().nonnegative(),
  /** Routes that it announces. */
  announced: z.array(z.string()),
});

/**
 * How a check or a probe ended.
 *
 *     answered      as it should
 *     refused       nothing listens on the port of the VIP
 *     wrong         the service answered, with something else than what is wanted
 *     slow          the service took the connection, and did not answer in time
 *     broken        the connection was taken, and broken off
 *     rejected      an ICMP message came instead: a firewall does not want it
 *     no-vip        the VIP is none of this host's addresses
 *     gue-refused   nothing listens on the GUE port of the host
 *     silent        nothing came back through the tunnel; outside of it the host answers
 *     unreachable   nothing came back, and the host answers nothing else either
 */
export const OUTCOMES = [
  "answered",
  "refused",
  "wrong",
  "slow",
  "broken",
  "rejected",
  "no-vip",
  "gue-refused",
  "silent",
  "unreachable",
] as const;
export type Outcome = (typeof OUTCOMES)[number];

const probed = z.strictObject({ healthy: z.boolean(), reason: z.string(), outcome: z.enum(OUTCOMES).optional() });

/** What a host found when it probed the services of others through the tunnel: by host, by service. */
const probes = z.strictObject({
  format: z.literal(FORMAT),
  host: name,
  when: time,
  hosts: z.record(name, z.record(name, probed)),
});

export const RECORDS = { wanted, generations, decisions, conductor, hostReport, probes } as const;
export type RecordName = keyof typeof RECORDS;
export type RecordOf<N extends RecordName> = z.output<(typeof RECORDS)[N]>;

export type WantedRecord = RecordOf<"wanted">;
export type GenerationsRecord = RecordOf<"generations">;
export type DecisionsRecord = RecordOf<"decisions">;
export type PoolDecisions = z.output<typeof poolDecisions>;
export type Standing = z.output<typeof standing>;
export type ConductorRecord = RecordOf<"conductor">;
export type HostReport = RecordOf<"hostReport">;
export type ProbesRecord = RecordOf<"probes">;
/** What one prober found of a service on a host. */
export type Probed = z.output<typeof probed>;

/** Reads a value: the record, or one line that says what is wrong with what lies under `key`. Never throws. */
export function readRecord<N extends RecordName>(
  name: N,
  key: string,
  value: string,
): { readonly record: RecordOf<N> } | { readonly error: string } {
  const wrong = (text: string): { error: string } => ({ error: `${key}: ${text}` });
  const most = LARGE.includes(name) ? MAX_WANTED_BYTES : MAX_RECORD_BYTES;
  const bytes = Buffer.byteLength(value);
  if (bytes > most) return wrong(`${bytes} bytes, more than the ${most} that are possible`);
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch (error) {
    return wrong(`not JSON: ${(error as Error).message}`);
  }
  const { format } = (json ?? {}) as { format?: unknown };
  if (format !== FORMAT)
    return wrong(`format ${JSON.stringify(format) ?? "missing"}, this version of hafl reads format ${FORMAT}`);
  const result = RECORDS[name].safeParse(json);
  if (result.success) return { record: result.data as RecordOf<N> };
  const { path, message } = result.error.issues[0]!;
  return wrong(`${path.join(".") || "the record"}: ${message}`);
}

/** A record as it is written. */
export const writeRecord = <N extends RecordName>(_name: N, record: Omit<RecordOf<N>, "format">): string =>
  JSON.stringify({ format: FORMAT, ...record });
