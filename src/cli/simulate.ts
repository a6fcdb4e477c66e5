/** `hafl simulate`: the controller and the tables of real clusters over a modelled one. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { loadSettings } from "../conductor/load-factors.ts";
import type { Config } from "../control/config.ts";
import { load } from "../control/config-load.ts";
import { Failure } from "../control/failure.ts";
import type { ModelHost } from "../simulate/cluster.ts";
import { planOf, SCENARIOS, type Scenario } from "../simulate/plan.ts";
import { plots } from "../simulate/plot.ts";
import { Random } from "../simulate/random.ts";
import { cutByChains, simulationText } from "../simulate/report.ts";
import { type Course, kindsOf, POLICIES, run, summaryOf } from "../simulate/simulate.ts";
import { keysOf } from "../steering/flow-hash.ts";
import { isPrime } from "../steering/maglev.ts";
import { loadOrExit } from "./config-file.ts";
import type { CliEnv } from "./env.ts";
import { whole } from "./numbers.ts";

interface Options {
  readonly hosts?: number;
  readonly capacities: readonly number[];
  readonly flows: number;
  readonly lifetime: number;
  readonly skew: number;
  readonly use: number;
  readonly noise: number;
  readonly delay: number;
  readonly steps: number;
  readonly failures: number;
  readonly batch?: number;
  readonly buckets?: number;
  readonly seed: number;
  readonly config?: string;
  readonly service?: string;
  readonly svg?: string;
  readonly json?: boolean;
}

/** Steps of the controller before the first event of a plan, and after the last. */
const LEAD_STEPS = 20;

const numberOption = (least: number, most: number) => (text: string) => {
  const n = Number(text);
  if (text.trim() === "" || !(n >= least && n <= most)) throw new InvalidArgumentError(`a number from ${least} to ${most}`);
  return n;
};

const capacities = (text: string): number[] => text.split(",").map(numberOption(0.01, 1000));

/** A prime of at least 65537, and of 100 buckets for each host. */
function enoughBuckets(hosts: number): number {
  let size = Math.max(65_537, 100 * hosts);
  while (!isPrime(size)) size++;
  return size;
}

/** The hosts of a config's pool with their weights, or as many as are asked for. */
function hostsOf(options: Options, config: Config | null): ModelHost[] {
  const service = options.service === undefined ? config?.services[0] : config?.services.find((s) => s.name === options.service);
  if (config !== null && service === undefined)
    throw new Failure(`hafl: --service: no service is named "${options.service}" in the config (see its \`services\`)`, 2);
  const members =
    service?.pool.filter(({ weight }) => weight > 0).map(({ host, weight }) => ({ name: host, weight })) ??
    Array.from({ length: options.hosts ?? options.capacities.length }, (_, i) => ({ name: `h${i + 1}`, weight: 1 }));
  if (members.length < 2) throw new Failure("hafl: a simulation needs two hosts with weights above 0 at least", 2);
  return members.map((host, i) => ({ ...host, capacity: options.capacities[i % options.capacities.length]! }));
}

/** What the options ask for. */
function courseOf(scenario: Scenario, options: Options, config: Config | null): Course {
  if (config !== null && (options.hosts !== undefined || options.buckets !== undefined))
    throw new Failure("hafl: --config says which hosts and buckets there are (remove --hosts and --buckets)", 2);
  const hosts = hostsOf(options, config);
  const settings = config?.load ?? load.parse({});
  const buckets = config?.table.size ?? options.buckets ?? enoughBuckets(hosts.length);
  if (!isPrime(buckets) || buckets < hosts.length)
    throw new Failure(
      `hafl: --buckets: ${buckets} is not a prime of at least the number of hosts (leave it out, or write 65537)`,
      2,
    );
  const interval = settings.intervalSeconds;
  const drainSeconds = config?.table.drainSeconds ?? 300;
  const batch = options.batch ?? Math.max(1, Math.round(hosts.length / 50));
  const lead = LEAD_STEPS * interval;
  const plan = planOf(
    scenario,
    { hosts: hosts.length, lead, failures: options.failures, batch, drainSeconds },
    new Random(options.seed),
  );
  const last = plan.at(-1);
  return {
    model: {
      hosts,
      seed: options.seed,
      key: config === null ? [options.seed, ~options.seed] : keysOf(config.seed).table,
      buckets,
      drainSeconds,
      flows: options.flows,
      lifetime: options.lifetime,
      skew: options.skew,
      noise: options.noise,
      delay: options.delay,
      use: options.use,
      load: loadSettings(settings),
    },
    plan,
    interval,
    seconds: Math.max(options.steps * interval, last === undefined ? 0 : last.time + lead),
  };
}

async function simulate(scenario: Scenario, options: Options, env: CliEnv, command: Command): Promise<void> {
  const config = options.config === undefined ? null : await loadOrExit(options.config, command);
  const course = courseOf(scenario, options, config);
  const runs = POLICIES.map((policy) => {
    let shown = -1;
    return run(course, policy, (part) => {
      const percent = Math.floor(part * 100);
      if (env.stderr.isTTY === true && percent > shown) env.stderr.write(`\r${policy.name}: ${percent} % `);
      shown = percent;
    });
  });
  if (env.stderr.isTTY === true) env.stderr.write("\r\x1b[K");
  if (options.svg !== undefined) writePlots(options.svg, plots(scenario, course, runs));
  if (options.json === true) {
    const { hosts, ...model } = course.model;
    const figures = runs.map((one) => ({ ...summaryOf(one), kinds: kindsOf(one), ...one }));
    const cut = cutByChains(runs.map(summaryOf));
    const head = { scenario, hosts: hosts.length, ...model, interval: course.interval, cut };
    env.stdout.write(`${JSON.stringify({ ...head, runs: figures })}\n`);
  } else env.stdout.write(simulationText(scenario, course, runs));
}

function writePlots(folder: string, pictures: Readonly<Record<string, string>>): void {
  try {
    mkdirSync(folder, { recursive: true });
    for (const [name, svg] of Object.entries(pictures)) writeFileSync(join(folder, name), svg);
  } catch (error) {
    throw new Failure(`hafl: --svg: ${(error as Error).message} (name a folder that can be written)`);
  }
}

const HELP = `
Scenarios: uneven (hosts differ, nothing else happens), failures (hosts die one after the other), upgrade (all hosts, batch by batch).

Each is run three times: as Haflinger steers (weights follow load, chains keep connections), with Maglev alone instead of chains,
and with equal weights. Flows are counted by bucket and owner; their numbers are drawn exactly, flow by flow is not needed.
`;

export function register(program: Command, env: CliEnv): void {
  program
    .command("simulate")
    .description("weights that follow load, failures and upgrades over a modelled cluster")
    .addArgument(
      program
        .createArgument("[scenario]", "what happens")
        .choices([...SCENARIOS])
        .default("uneven"),
    )
    .option("--hosts <n>", "hosts (default: as many as --capacities names)", whole(2, 4096))
    .option("--capacities <list>", "what hosts can do, in turn", capacities, [1, 1, 2, 2, 4])
    .option("--flows <n>", "flows at a time", whole(1, 100_000_000), 1_000_000)
    .option("--lifetime <seconds>", "mean lifetime of a flow", numberOption(0.1, 1e6), 30)
    .option("--skew <s>", "how uneven buckets are: deviation of the logarithm of their traffic", numberOption(0, 3), 0.2)
    .option("--use <share>", "mean use of the hosts when it is even", numberOption(0.01, 1), 0.5)
    .option("--noise <share>", "deviation of what is measured of a host's use", numberOption(0, 1), 0.01)
    .option("--delay <steps>", "by how many steps measurements are late", whole(0, 100), 1)
    .option("--steps <n>", "steps of the controller, at least", whole(1, 100_000), 60)
    .option("--failures <n>", "of failures: how many", whole(1, 1000), 10)
    .option("--batch <n>", "of upgrade: hosts at a time (default: 2 %)", whole(1, 4096))
    .option("--buckets <n>", "buckets of the table (default: 65537, or 100 for each host)", whole(2, 1_000_003))
    .option("--seed <n>", "another seed gives another run", whole(0, 2 ** 31 - 1), 1)
    .option("--config <file>", "take hosts, weights, table and load settings from a cluster's configuration")
    .addOption(new Option("--service <name>", "with --config: whose pool (default: the first service's)"))
    .option("--svg <folder>", "write plots there")
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action((scenario: Scenario, options: Options, command: Command) => simulate(scenario, options, env, command));
}
