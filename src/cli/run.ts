/** `hafl run`: the agent. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { dryRun } from "../control/agent-place.ts";
import { type Endpoint, readEndpoint } from "../control/config-metrics.ts";
import { runAgent } from "../control/run-agent.ts";
import { supervisionOf } from "../control/service-manager.ts";
import { attendantsOf } from "./attendants.ts";
import { openSource } from "./config-source.ts";
import type { CliEnv } from "./env.ts";
import { createLogger } from "./logger.ts";

interface Options {
  readonly config: string;
  readonly host?: string;
  readonly uplink?: string;
  readonly instance?: string;
  readonly runtimeDir?: string;
  readonly stateDir?: string;
  readonly bird?: string;
  readonly metrics?: Endpoint | "off";
  readonly dryRun?: true;
  readonly takeover?: true;
}

/** Reads the value of --metrics. */
function metricsPlace(text: string): Endpoint | "off" {
  const read = text === "off" ? { value: "off" as const } : readEndpoint(text);
  if ("problems" in read) throw new InvalidArgumentError(read.problems[0]!.text);
  return read.value;
}

export function register(program: Command, env: CliEnv): void {
  program
    .command("run")
    .description("run the agent of this host until SIGINT or SIGTERM; SIGHUP and changes of the file load it again")
    .requiredOption("--config <file>", "the cluster's config file")
    .option("--host <name>", "which host of the config this is (default: the one whose DIP this machine has)")
    .option("--uplink <device>", "device that VIP packets come from, in place of io.uplink")
    .option("--instance <name>", "name of the instance (default: the host's)")
    .option("--runtime-dir <dir>", "directory for its files (default: /run/hafl/<instance>)")
    .option(
      "--state-dir <dir>",
      "directory for the last good state of a store (default: /var/lib/hafl/<cluster>, or --runtime-dir)",
    )
    .option("--bird <socket>", "BIRD's control socket, in place of bgp.socket")
    .option("--metrics <where>", "address and port to serve metrics at, or off, in place of the config's", metricsPlace)
    .option("--dry-run", "print the commands that would set up the network, and change nothing")
    .addOption(
      new Option(
        "--takeover",
        "take the place of the agent that runs here, with its sockets, flows and counters; it ends, and no packet is lost",
      ).conflicts("dryRun"),
    )
    .action(async ({ dryRun: dry, takeover, bird, metrics, ...where }: Options) => {
      const { config, host, uplink, instance, runtimeDir } = where;
      const log = createLogger(env);
      const { source, following, close } = await openSource(config, where, log);
      const options = { config, source, host, uplink, instance, runtimeDir };
      try {
        if (dry === true) {
          env.stdout.write(`${dryRun(options).join("\n")}\n`);
          return;
        }
        const supervision = supervisionOf(process.env, process.pid);
        const beside = attendantsOf({ config, bird, metrics, following, supervision });
        process.exitCode = await runAgent(options, takeover === true, log, beside);
      } finally {
        await close();
      }
    });
}
