/** `hafl lookup`: where a flow goes. */
import type { Command } from "commander";
import type { Config } from "../control/config.ts";
import { configTables } from "../control/offline.ts";
import { type LookupResult, lookupIn } from "../replay/lookup.ts";
import { type Flow, formatFlow, parseFlow } from "../steering/flow.ts";
import { loadOrExit } from "./config-file.ts";
import type { CliEnv } from "./env.ts";

/** Prepares look-ups by a configuration alone, as a cluster that has just started with it answers them. */
export function createLookup(config: Config): (flow: Flow) => LookupResult {
  const anyHost = config.hosts[0]!.name;
  return lookupIn(configTables(config, anyHost));
}

function explain(flow: Flow, result: LookupResult): string {
  const lines = [
    ["flow", formatFlow(flow)],
    ["service", result.service ?? "-"],
    ...(result.slice === null ? [] : [["slice", `${result.slice.number} of ${result.slice.ip}`]]),
    ["bucket", result.bucket === null ? "-" : String(result.bucket)],
    ["chain", result.chain.join(" > ") || "-"],
    ["host", result.host ?? "-"],
    ["source", result.sourcePort === null ? "-" : `UDP port ${result.sourcePort} between hosts`],
    ["verdict", `${result.verdict} (${result.why})`],
  ];
  return lines.map(([name, value]) => `${name!.padEnd(8)} ${value}\n`).join("");
}

export function register(program: Command, env: CliEnv): void {
  program
    .command("lookup")
    .description("say which service, bucket, chain and host a flow has, and why")
    .requiredOption("--config <file>", "the cluster's configuration")
    .requiredOption("--flow <flow>", "such as 'tcp 198.51.100.7:1234 > 192.0.2.10:80'; IPv6 in brackets")
    .option("--json", "print JSON")
    .action((options: { config: string; flow: string; json?: boolean }, command: Command) => {
      const flow = parseFlow(options.flow);
      if (typeof flow === "string") return command.error(`error: --flow: ${flow}`, { exitCode: 2 });
      const result = createLookup(loadOrExit(options.config, command))(flow);
      env.stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : explain(flow, result));
    });
}
