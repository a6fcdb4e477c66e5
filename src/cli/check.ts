/** `hafl check`: is a config right, and what does it say in full. */
import type { Command } from "commander";
import { effectiveConfig, loadConfig } from "../control/config.ts";
import { compileRules } from "../control/drop-rules.ts";
import type { CliEnv } from "./env.ts";

interface Options {
  readonly effective?: true;
  readonly json?: true;
}

/** Checks a config file and prints the outcome. Returns the exit code: 2 when anything is wrong. */
export function check(file: string, options: Options, env: CliEnv): 0 | 2 {
  const result = loadConfig(file);
  const rules = "errors" in result ? null : compileRules(result.config);
  const errors = "errors" in result ? result.errors : rules!.errors.map((line) => `${file}: ${line}`);
  // Whether an expression is right only libpcap can say; this may be another machine than the one that runs the agent.
  const warnings = rules === null || rules.missing === null ? [] : [`${file}: warning: not checked: ${rules.missing}`];
  if (options.json !== true) for (const warning of warnings) env.stderr.write(`${warning}\n`);
  if (options.json === true)
    env.stdout.write(`${JSON.stringify({ ok: errors.length === 0, errors, ...(warnings.length > 0 ? { warnings } : {}) })}\n`);
  else if (errors.length > 0) env.stderr.write(`${errors.join("\n")}\n`);
  else if ("config" in result && options.effective !== true) {
    const { cluster, hosts, services } = result.config;
    env.stdout.write(`${file}: good: cluster ${cluster}, hosts: ${hosts.length}, services: ${services.length}\n`);
  }
  if (options.effective === true && options.json !== true && "config" in result) env.stdout.write(effectiveConfig(result.config));
  return errors.length > 0 ? 2 : 0;
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
    .action((file: string, options: Options) => {
      process.exitCode = check(file, options, env);
    });
}
