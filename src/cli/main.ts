#!/usr/bin/env -S node --max-semi-space-size=1
/** The command line: which commands there are, and how they end. 0: done; 1: failed; 2: wrong usage or config. */
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import { Failure } from "../control/failure.ts";
import { VERSION } from "../control/version.ts";
import * as apply from "./apply.ts";
import * as bench from "./bench.ts";
import * as capture from "./capture.ts";
import * as check from "./check.ts";
import * as conductor from "./conductor.ts";
import * as down from "./down.ts";
import * as drain from "./drain.ts";
import type { CliEnv } from "./env.ts";
import * as history from "./history.ts";
import * as hosts from "./hosts.ts";
import * as installService from "./install-service.ts";
import * as lab from "./lab.ts";
import * as lookup from "./lookup.ts";
import * as mtu from "./mtu.ts";
import * as replay from "./replay.ts";
import * as run from "./run.ts";
import * as simulate from "./simulate.ts";
import * as stats from "./stats.ts";

/** In the order in which `hafl help` lists them. */
const COMMANDS = [
  check,
  run,
  conductor,
  apply,
  history,
  drain,
  hosts,
  stats,
  capture,
  down,
  replay,
  lookup,
  mtu,
  simulate,
  installService,
  bench,
  lab,
];

/** Commander's message as one line of ours. What a command reports by itself has lines of its own. */
function usageError(text: string): string {
  if (!text.startsWith("error: ")) return text.trim();
  const line = text.slice("error: ".length).trim().replaceAll("\n", " ");
  return `hafl: ${line} (see hafl --help)`;
}

function createProgram(env: CliEnv): Command {
  const program = new Command("hafl")
    .description("Haflinger: a layer-4 load balancer in user space")
    .version(VERSION, "--version", "print the version")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => env.stdout.write(text),
      writeErr: (text) => env.stderr.write(text),
      outputError: (text, write) => write(`${usageError(text)}\n`),
    });
  for (const { register } of COMMANDS) register(program, env);
  return program;
}

/**
 * Runs a command line without program name. Returns the exit code, or what the command itself has set as the process's.
 * Errors are printed as one line each; nothing is thrown.
 */
export async function main(args: readonly string[], env: CliEnv): Promise<number> {
  const program = createProgram(env);
  if (args.length === 0) {
    program.outputHelp();
    return 0;
  }
  try {
    await program.parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // Commander has printed its own; where it does not say otherwise it is the usage that was wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : error.code === "commander.error" ? error.exitCode : 2;
    if (error instanceof Failure) {
      env.stderr.write(`${error.lines.join("\n")}\n`);
      return error.exitCode;
    }
    env.stderr.write(`hafl: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  // A reader that has seen enough (`hafl stats | head`) is no failure.
  process.stdout.on("error", () => process.exit(0));
  process.exitCode = await main(process.argv.slice(2), process);
}
