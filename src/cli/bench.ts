/** `hafl bench`: what things cost on this machine. */
import { type Command, InvalidArgumentError } from "commander";
import type { Measurement } from "../bench/measure.ts";
import { type Config, parseConfig } from "../control/config.ts";
import { registerLab } from "./bench-lab.ts";
import { registerParts } from "./bench-parts.ts";
import { registerStore } from "./bench-store.ts";
import type { CliEnv } from "./env.ts";
import { pipeline } from "./pipeline.ts";

interface Options {
  readonly flows: number;
  readonly rounds: number;
  readonly json?: boolean;
}

/** Eight hosts that serve, and one that only forwards. */
const CONFIG = `
cluster: bench
seed: 0123456789abcdef0123456789abcdef
hosts:
${Array.from({ length: 8 }, (_, i) => `  - { name: s${i + 1}, dip: 10.0.1.${i + 11} }`).join("\n")}
  - { name: director, dip: 10.0.1.99 }
services:
  - name: web
    vips: [192.0.2.10, "2001:db8::10"]
    ports: { tcp: [80, 443], udp: [443] }
    pool: [s1, s2, s3, s4, s5, s6, s7, s8]
`;

/** The configuration that is measured. */
export function benchConfig(): Config {
  const result = parseConfig(CONFIG, "built-in");
  if ("errors" in result) throw new Error(result.errors.join("\n"));
  return result.config;
}

const counted = (most: number) => (text: string) => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new InvalidArgumentError(`Not a whole number from 1 to ${most}.`);
  return value;
};

function table(result: Readonly<Record<string, Measurement>>): string {
  const rows = Object.entries(result).map(([name, { median, unit, rounds }]) => [
    name,
    `${median.toFixed(1)} ${unit}`,
    `${Math.min(...rounds).toFixed(1)} - ${Math.max(...rounds).toFixed(1)}`,
  ]);
  const lines = [["stage", "median", "rounds"], ...rows].map(([a, b, c]) => `${a!.padEnd(14)}${b!.padStart(10)}  ${c}`);
  return `${lines.join("\n")}\n`;
}

export function register(program: Command, env: CliEnv): void {
  const bench = program.command("bench").description("measure what things cost on this machine");
  bench
    .command("hot-path")
    .description(
      "nanoseconds per 64-byte TCP packet: each stage with all before it; a SYN that begins a flow; and the whole path of a worker",
    )
    .option("--flows <n>", "flows the packets are of", counted(1_000_000), 10_000)
    .option("--rounds <n>", "rounds to take the median of", counted(10_000), 25)
    .option("--json", "print JSON: {name: {median, unit, rounds}}")
    .action(async (options: Options) => {
      const { benchHotPath } = await pipeline<typeof import("../bench/hot-path.ts")>("bench/hot-path.ts");
      const progress = env.stderr.isTTY === true;
      const onRound = (round: number): void => {
        if (progress) env.stderr.write(`\rround ${round} of ${options.rounds}`);
      };
      const result = benchHotPath(benchConfig(), options.flows, options.rounds, onRound);
      if (progress) env.stderr.write("\r\x1b[K");
      env.stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : table(result));
    });
  registerParts(bench, env, benchConfig);
  registerLab(bench, env);
  registerStore(bench, env);
}
