/** Reading the configuration a command names. */
import type { Command } from "commander";
import { type Config, loadConfig } from "../control/config.ts";

/** The configuration in a file; prints every error and ends the command with exit code 2 when there is one. */
export function loadOrExit(file: string, command: Command): Config {
  const result = loadConfig(file);
  if ("config" in result) return result.config;
  return command.error(result.errors.join("\n"), { exitCode: 2 });
}
