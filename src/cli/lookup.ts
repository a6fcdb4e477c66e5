/** `hafl lookup`: where a flow goes. */
import type { Command } from "commander";
import type { Config } from "../control/config.ts";
import { findRuntimeDir } from "../control/instance.ts";
import { readLiveTables } from "../control/live-tables.ts";
import { configTables } from "../control/offline.ts";
import { type LookupResult, lookupIn, lookupWith } from "../replay/lookup.ts";
import { type Flow, formatFlow, parseFlow } from "../steering/flow.ts";
import { loadOrExit } from "./config-file.ts";
import type { CliEnv } from "./env.ts";

/** Prepares look-ups by a configuration alone, as a cluster that has just started with it answers them. */
export function createLookup(config: Config): (flow: Flow) => LookupResult {
  const anyHost = config.hosts[0]!.name;
  return lookupIn(configTables(config, anyHost));
}

/** Prepares look-ups in the tables and flows of a running agent. Throws a Failure when there is none. */
function liveLookup(runtimeDir: string | undefined, instance: string | undefined): (flow: Flow) => LookupResult {
  const { tables, names, flows } = readLiveTables(findRuntimeDir(runtimeDir, instance));
  return lookupWith(tables, names, { flows, now: Math.trunc(Date.now() / 1000) });
}

function describeEntry(entry: NonNullable<LookupResult["entry"]>): string {
  return `${entry.host}, ${entry.certain ? "certain" : "a guess"}, last packet ${entry.idleSeconds} s ago`;
}

function explain(flow: Flow, result: LookupResult): string {
  const lines = [
    ["flow", formatFlow(flow)],
    ["service", result.service ?? "-"],
    ...(result.slice === null ? [] : [["slice", `${result.slice.number} of ${result.slice.ip}`]]),
    ["bucket", result.bucket === null ? "-" : String(result.bucket)],
    ["chain", result.chain.join(" > ") || "-"],
    ...(result.entry === null ? [] : [["entry", describeEntry(result.entry)]]),
    ["host", result.host ?? "-"],
    ["path MTU", result.pathMtu === null ? "-" : `${result.pathMtu} bytes`],
    ["source", result.sourcePort === null ? "-" : `UDP port ${result.sourcePort} between hosts`],
    ["verdict", `${result.verdict} (${result.why})`],
  ];
  return lines.map(([name, value]) => `${name!.padEnd(9)} ${value}\n`).join("");
}

interface Options {
  readonly config?: string;
  readonly instance?: string;
  readonly runtimeDir?: string;
  readonly flow: string;
  readonly json?: boolean;
}

function lookupBy(options: Options, command: Command): (flow: Flow) => LookupResult {
  const live = options.instance !== undefined || options.runtimeDir !== undefined;
  if (live === (options.config !== undefined))
    command.error("error: name either --config or a running agent with --instance or --runtime-dir", { exitCode: 2 });
  return options.config === undefined
    ? liveLookup(options.runtimeDir, options.instance)
    : createLookup(loadOrExit(options.config, command));
}

export function register(program: Command, env: CliEnv): void {
  program
    .command("lookup")
    .description("say which service, bucket, chain and host a flow has, and why")
    .option("--config <file>", "by the cluster's configuration alone")
    .option("--instance <name>", "by the tables and flows of a running agent")
    .option("--runtime-dir <dir>", "its directory, when it is not /run/hafl/<instance>")
    .requiredOption("--flow <flow>", "such as 'tcp 198.51.100.7:1234 > 192.0.2.10:80'; IPv6 in brackets")
    .option("--json", "print JSON")
    .action((options: Options, command: Command) => {
      const flow = parseFlow(options.flow);
      if (typeof flow === "string") return command.error(`error: --flow: ${flow}`, { exitCode: 2 });
      const result = lookupBy(options, command)(flow);
      env.stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : explain(flow, result));
    });
}
