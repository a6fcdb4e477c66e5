/** `hafl replay`: a capture through the pipeline of one host. */
import { readFileSync, writeFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { replayRules } from "../control/drop-rules.ts";
import { configTables } from "../control/offline.ts";
import { readCapture, writeCapture } from "../io/pcap.ts";
import { type Difference, diffOutputs } from "../replay/diff.ts";
import type { Role } from "../replay/offline-host.ts";
import type { ReplayResult } from "../replay/replay.ts";
import { loadOrExit } from "./config-file.ts";
import type { CliEnv } from "./env.ts";
import { pipeline } from "./pipeline.ts";

interface Options {
  readonly config: string;
  readonly host: string;
  readonly in: string;
  readonly out?: string;
  readonly role: Role;
  readonly diff?: string;
  readonly json?: boolean;
}

const differences = (list: readonly Difference[]): string =>
  list.map((d) => `  ${d.verdict}: packet ${d.packet}: ${d.what}${d.count > 1 ? ` (${d.count} such packets)` : ""}\n`).join("");

function report(result: ReplayResult): string {
  const rows = Object.entries(result.verdicts).map(([name, count]) => `  ${name.padEnd(16)} ${count}\n`);
  const rules = Object.entries(result.rules).map(([name, { packets }]) => `  rule ${name.padEnd(11)} ${packets}\n`);
  return `${result.packets} packets, ${result.out.length} leave, ${result.nsPerPacket} ns each\n${rows.join("")}${rules.join("")}`;
}

function compare(result: ReplayResult, file: string, command: Command): Difference[] {
  try {
    return diffOutputs(
      result.out,
      Array.from(readCapture(readFileSync(file)), (packet) => packet.bytes),
    );
  } catch (error) {
    return command.error(`error: --diff ${file}: ${(error as Error).message}`, { exitCode: 1 });
  }
}

export function register(program: Command, env: CliEnv): void {
  program
    .command("replay")
    .description("run a capture (pcap or pcapng) through a host's pipeline")
    .requiredOption("--config <file>", "the cluster's configuration")
    .requiredOption("--host <name>", "the host to be")
    .requiredOption("--in <pcap>", "packets that come in: Ethernet, raw IP or Linux cooked")
    .option("--out <pcap>", "write the packets that leave, raw IP, in order")
    .addOption(
      new Option("--role <role>", "packets come from the router, or in GUE").choices(["director", "target"]).default("director"),
    )
    .option("--diff <pcap>", "compare what leaves with an earlier output; exit code 1 when they differ")
    .option("--json", "print JSON: packets, verdicts, nsPerPacket")
    .action(async (options: Options, command: Command) => {
      const config = await loadOrExit(options.config, command);
      if (!config.hosts.some((host) => host.name === options.host)) {
        const known = config.hosts.map((host) => host.name).join(", ");
        command.error(`${options.config}: hosts: no host '${options.host}' for --host (there are ${known})`, { exitCode: 2 });
      }
      const drop = replayRules(config, options.config);
      let result: ReplayResult;
      const { replay } = await pipeline<typeof import("../replay/replay.ts")>("replay/replay.ts");
      try {
        const captured = readCapture(readFileSync(options.in));
        result = replay(configTables(config, options.host), options.role, captured, undefined, drop);
      } catch (error) {
        return command.error(`error: --in ${options.in}: ${(error as Error).message}`, { exitCode: 1 });
      }
      if (options.out !== undefined) writeFileSync(options.out, writeCapture(result.out));
      const diff = options.diff === undefined ? [] : compare(result, options.diff, command);
      const { packets, verdicts, nsPerPacket, rules } = result;
      const more = { ...(drop.length > 0 ? { rules } : {}), ...(options.diff === undefined ? {} : { diff }) };
      if (options.json === true) env.stdout.write(`${JSON.stringify({ packets, verdicts, nsPerPacket, ...more })}\n`);
      else
        env.stdout.write(
          report(result) +
            (options.diff === undefined
              ? ""
              : `against ${options.diff}: ${diff.length === 0 ? "equal\n" : `\n${differences(diff)}`}`),
        );
      if (diff.length > 0) process.exitCode = 1;
    });
}
