/** `hafl down`: puts the host back when an agent died and will not be started again. */
import { existsSync, rmSync } from "node:fs";
import type { Command } from "commander";
import { Failure } from "../control/failure.ts";
import { Claim, findRuntimeDir } from "../control/instance.ts";
import { Network } from "../control/network.ts";
import { snippetPath } from "../routes/routes.ts";
import type { CliEnv } from "./env.ts";

interface Options {
  readonly instance?: string;
  readonly runtimeDir?: string;
}

/** Undoes what the agent of a runtime directory left. Throws a Failure when it is running, or when not all could be undone. */
export function down(options: Options, env: CliEnv): void {
  const dir = findRuntimeDir(options.runtimeDir, options.instance);
  if (!existsSync(dir)) throw new Failure(`${dir}: no such directory (no agent has run there)`);
  const claim = Claim.take(dir);
  try {
    const network = new Network(dir);
    const dirty = network.dirty;
    const problems = network.undo();
    // BIRD has withdrawn the routes when the TUN went; this keeps it from making them again.
    rmSync(snippetPath(dir), { force: true });
    if (problems.length > 0) throw new Failure(problems.map((problem) => `${dir}: not undone: ${problem}`));
    env.stdout.write(dirty ? `${dir}: the host's network is as it was\n` : `${dir}: nothing was left to undo\n`);
  } finally {
    claim.release();
  }
}

export function register(program: Command, env: CliEnv): void {
  program
    .command("down")
    .description("undo what an agent that died has left: rules, routes, addresses, sysctls")
    .option("--instance <name>", "name of the instance (default: the only one there is)")
    .option("--runtime-dir <dir>", "its directory, when it is not /run/hafl/<instance>")
    .action((options: Options) => down(options, env));
}
