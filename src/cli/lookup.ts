/** `hafl lookup`: where a flow goes, step by step. */
import { readlinkSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Config } from "../control/config.ts";
import { replayRules } from "../control/drop-rules.ts";
import { drainTimes } from "../control/generation-history.ts";
import { originDrainTimes, originOf } from "../control/history-file.ts";
import { findRuntimeDir, readInstance } from "../control/instance.ts";
import { readLiveTables } from "../control/live-tables.ts";
import { freshCluster } from "../control/offline.ts";
import type { SocketQuestions } from "../dataplane/flow-memory.ts";
import { socketQuestions } from "../dataplane/socket-questions.ts";
import { native } from "../io/native.ts";
import { SocketLookup } from "../io/socket-lookup.ts";
import { FLAG_NAMES, lengthRange, parseFlags, type Shape } from "../replay/craft.ts";
import { type LookupSource, lookupIn, namesOf } from "../replay/lookup.ts";
import type { LookupResult } from "../replay/lookup-result.ts";
import { plainTables } from "../replay/offline-host.ts";
import { hostClock } from "../shm/host-clock.ts";
import type { RuleSpec } from "../shm/rules.ts";
import { type Flow, parseFlow } from "../steering/flow.ts";
import { loadOrExit } from "./config-file.ts";
import type { CliEnv } from "./env.ts";
import { explain } from "./lookup-text.ts";

export type Lookup = (flow: Flow, shape?: Shape) => LookupResult;

/** What a look-up by a configuration alone has to be told. */
export interface ConfigLookup {
  /** The host asked; undefined: one that is not the flow's first hop itself, where there is such a host. */
  readonly host?: string;
  /** Largest outer packet between hosts, bytes; undefined: unknown. */
  readonly mtu?: number;
  /** Drop rules of the configuration, compiled. */
  readonly rules?: readonly RuleSpec[];
}

/** Prepares look-ups by a configuration alone, as a cluster that has just started with it answers them. */
export function createLookup(config: Config, { host, mtu, rules = [] }: ConfigLookup = {}): Lookup {
  const now = Date.now();
  const cluster = freshCluster(config, now);
  const { key, directorFlows } = originOf(config, 1);
  const unknown = { flows: null, limits: null, syns: null, sockets: null };
  const lookups = new Map<string, Lookup>();
  const asked = (name: string): Lookup => {
    let lookup = lookups.get(name);
    if (lookup === undefined) {
      const spec = cluster.tablesFor(name, mtu);
      const past = { pools: cluster.historyOf(name).pools, key, drainMs: drainTimes(config) };
      lookup = lookupIn({
        tables: plainTables(spec),
        names: namesOf(spec),
        now,
        clock: 0,
        directorFlows,
        rules,
        past,
        ...unknown,
      });
      lookups.set(name, lookup);
    }
    return lookup;
  };
  if (host !== undefined) return asked(host);
  const alive = config.hosts.filter(({ state }) => state !== "down");
  const asking = alive.length > 0 ? alive : config.hosts;
  // Both at one site: another would have another pool.
  const [first, second] = asking.filter(({ site }) => site === asking[0]!.site).map(({ name }) => name);
  return (flow, shape) => {
    const result = asked(first!)(flow, shape);
    return result.host === first && second !== undefined ? asked(second)(flow, shape) : result;
  };
}

/**
 * The sockets of this network namespace, if the process `pid` lives in it; null when it does not, or has ended. The descriptor
 * they are asked by is open until this process ends.
 */
function socketsWith(pid: number | undefined): SocketQuestions | null {
  if (pid === undefined) return null;
  try {
    if (readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync("/proc/self/ns/net")) return null;
    return socketQuestions(new SocketLookup(native().openSockDiag(), 1));
  } catch {
    return null;
  }
}

/** Prepares look-ups in the tables, flows and rules of an agent. Throws a Failure when there is none. */
export function liveLookup(dir: string, clock = hostClock(), now = Date.now()): Lookup {
  const { origin, ...live } = readLiveTables(dir);
  const source: LookupSource = {
    ...live,
    now,
    clock,
    directorFlows: origin?.directorFlows ?? true,
    sockets: socketsWith(readInstance(dir)?.pid),
    past: origin === null ? null : { pools: origin.pools, key: origin.key, drainMs: originDrainTimes(origin) },
  };
  return lookupIn(source);
}

interface Options {
  readonly config?: string;
  readonly host?: string;
  readonly mtu?: number;
  readonly instance?: string;
  readonly runtimeDir?: string;
  readonly flow: string;
  readonly flags?: number;
  readonly payload?: Uint8Array;
  readonly length?: number;
  readonly json?: boolean;
}

/** The look-up that the options ask for, and what it is by, for people. */
async function lookupBy(options: Options, command: Command): Promise<{ lookup: Lookup; by: string }> {
  const live = options.instance !== undefined || options.runtimeDir !== undefined;
  const usage = (line: string): never => command.error(`error: ${line}`, { exitCode: 2 });
  const { config: file, host, mtu } = options;
  if (live === (file !== undefined)) return usage("name either --config or a running agent with --instance or --runtime-dir");
  if (file === undefined) {
    if (host !== undefined || mtu !== undefined) return usage("--host and --mtu go with --config (an agent has its own)");
    const dir = findRuntimeDir(options.runtimeDir, options.instance);
    return { lookup: liveLookup(dir), by: `by what its agent has in ${dir}` };
  }
  const config = await loadOrExit(file, command);
  if (host !== undefined && !config.hosts.some(({ name }) => name === host)) {
    const known = config.hosts.map(({ name }) => name).join(", ");
    return command.error(`${file}: hosts: no host '${host}' for --host (there are ${known})`, { exitCode: 2 });
  }
  const rules = replayRules(config, file);
  const told = { rules, ...(host === undefined ? {} : { host }), ...(mtu === undefined ? {} : { mtu }) };
  return { lookup: createLookup(config, told), by: `in a cluster that starts now with ${file}` };
}

function shapeOf(options: Options, flow: Flow, command: Command): Shape {
  const { flags, payload, length } = options;
  const usage = (line: string): never => command.error(`error: ${line}`, { exitCode: 2 });
  if (flags !== undefined && flow.protocol !== "tcp") return usage(`--flags: a ${flow.protocol} packet has none`);
  const shape = { ...(flags === undefined ? {} : { flags }), ...(payload === undefined ? {} : { payload }) };
  const [least, most] = lengthRange(flow, shape);
  if (least > most) return usage(`--payload: longer than a packet can be (${most} bytes with its headers)`);
  if (length === undefined) return shape;
  if (length < least || length > most) return usage(`--length: ${length} is not from ${least} to ${most}`);
  return { ...shape, length };
}

function readFlags(text: string): number {
  const flags = parseFlags(text);
  if (flags === null) throw new InvalidArgumentError(`write one or more of ${FLAG_NAMES.join(", ")}, such as syn,ack`);
  return flags;
}

function readHex(text: string): Uint8Array {
  const digits = text.replace(/^0x/, "");
  if (!/^([0-9a-f]{2})+$/i.test(digits)) throw new InvalidArgumentError("write bytes as hex digits, such as 40010203");
  return new Uint8Array(Buffer.from(digits, "hex"));
}

const readBytes =
  (least: number, most: number) =>
  (text: string): number => {
    const bytes = Number(text);
    if (Number.isInteger(bytes) && bytes >= least && bytes <= most) return bytes;
    throw new InvalidArgumentError(`write a number from ${least} to ${most}`);
  };

export function register(program: Command, env: CliEnv): void {
  program
    .command("lookup")
    .description("say which rule, service, bucket, chain and host a flow meets, and why")
    .option("--config <file>", "by the cluster's configuration alone, as if the cluster started with it now")
    .option("--host <name>", "with --config: the host asked (default: one that is not the flow's first hop itself)")
    .addOption(new Option("--mtu <bytes>", "with --config: MTU of the paths between hosts").argParser(readBytes(576, 65_535)))
    .option("--instance <name>", "by the tables, flows and rules of a running agent")
    .option("--runtime-dir <dir>", "its directory, when it is not /run/hafl/<instance>")
    .requiredOption("--flow <flow>", "such as 'tcp 198.51.100.7:1234 > 192.0.2.10:80'; IPv6 in brackets")
    .addOption(new Option("--flags <names>", "of its TCP packet, such as syn (default: ack)").argParser(readFlags))
    .addOption(new Option("--payload <hex>", "of its packet, as a drop rule or QUIC reads it (default: none)").argParser(readHex))
    .addOption(new Option("--length <bytes>", "of its packet, from the IP header on").argParser(readBytes(1, 65_535)))
    .option("--json", "print JSON")
    .action(async (options: Options, command: Command) => {
      const flow = parseFlow(options.flow);
      if (typeof flow === "string") return command.error(`error: --flow: ${flow}`, { exitCode: 2 });
      const shape = shapeOf(options, flow, command);
      const { lookup, by } = await lookupBy(options, command);
      const result = lookup(flow, shape);
      env.stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : explain(flow, result, by));
    });
}
