/** `hafl check`: is a config right, and what does it say in full. */
import type { Command } from "commander";
import { effectiveConfig } from "../control/config.ts";
import { compileRules } from "../control/drop-rules.ts";
import { loadWhole } from "./config-file.ts";
import type { CliEnv } from "./env.ts";

interface Options {
  readonly effective?: true;
  readonly json?: true;
}

/**
 * Checks a config file and prints the outcome; of one that names a store, together with what is wanted there. Returns the exit code: 2
 * when anything is wrong, 1 when all of it is asked for and cannot be had.
 */
export async function check(file: string, options: Options, env: CliEnv): Promise<0 | 1 | 2> {
  const result = await loadWhole(file);
  const config = "config" in result ? result.config : null;
  const rules = config === null ? null : compileRules(config);
  // The file may be good while its store is away, or has nothing yet.
  const half = "errors" in result && result.exitCode === 1 && options.effective !== true;
  const wrong = "errors" in result ? result.errors : rules!.errors.map((line) => `${result.from ?? file}: ${line}`);
  const errors = half ? [] : wrong;
  // Whether an expression is right only libpcap can say; this may be another machine than the one that runs the agent.
  const unsaid = rules === null || rules.missing === null ? [] : [rules.missing];
  const warnings = [...(half ? wrong : []), ...unsaid].map((line) => `${file}: warning: not checked: ${line}`);
  if (options.json !== true) for (const warning of warnings) env.stderr.write(`${warning}\n`);
  if (options.json === true)
    env.stdout.write(`${JSON.stringify({ ok: errors.length === 0, errors, ...(warnings.length > 0 ? { warnings } : {}) })}\n`);
  else if (errors.length > 0) env.stderr.write(`${errors.join("\n")}\n`);
  else if (config === null) env.stdout.write(`${file}: good, as far as it goes: this host's own parts\n`);
  else if (options.effective !== true) {
    const { cluster, hosts, services } = config;
    const where = result.from === null ? "" : `, with ${result.from}`;
    env.stdout.write(`${file}: good: cluster ${cluster}, hosts: ${hosts.length}, services: ${services.length}${where}\n`);
  }
  if (options.effective === true && options.json !== true && config !== null) env.stdout.write(effectiveConfig(config));
  if (errors.length === 0) return 0;
  return "errors" in result ? result.exitCode : 2;
}

const EXAMPLE = `
A config that is enough:

  cluster: lab
  seed: 0123456789abcdef0123456789abcdef    # openssl rand -hex 16
  hosts:
    - { name: s1, dip: 10.0.1.11 }
    - { name: s2, dip: 10.0.1.12 }
  services:
    - name: web
      vips: [192.0.2.10, "2001:db8::10"]
      ports: { tcp: [80, 443] }
  io: { uplink: eth0 }
`;

export function register(program: Command, env: CliEnv): void {
  program
    .command("check")
    .description("check a config file; prints every error with its place")
    .argument("<config>", "the cluster's config file")
    .option("--effective", "print the config with every default filled in, the seed included")
    .option("--json", "print {ok, errors} as JSON")
    .addHelpText("after", EXAMPLE)
    .action(async (file: string, options: Options) => {
      process.exitCode = await check(file, options, env);
    });
}
