/** `hafl lab`: a network-namespace lab with clients, a router and hosts. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { Failure } from "../control/failure.ts";
import { runAnycast } from "../lab/anycast.ts";
import { anycastSpec } from "../lab/anycast-topology.ts";
import { bgpSpec, runBgpScenario } from "../lab/bgp-scenario.ts";
import { type ChurnReport, runChurn, unbroken } from "../lab/churn.ts";
import { renderChurn } from "../lab/churn-report.ts";
import { runCluster } from "../lab/cluster/cluster.ts";
import { clusterSpec } from "../lab/cluster/cluster-config.ts";
import { allWell, DEMO_REQUESTS, renderReport, runDemo } from "../lab/demo.ts";
import { type LabStatus, labDown, labStatus, labUp, type Progress } from "../lab/lab.ts";
import { ended, spawnIn } from "../lab/namespace.ts";
import { labNames, namespacesOf } from "../lab/state.ts";
import { textTable } from "../lab/text-table.ts";
import { isLabName, type LabSpec, namespaceOf, parseNamespace, VIP } from "../lab/topology.ts";
import { groupsObstacle } from "../lab/uneven/cpu-groups.ts";
import { runUneven } from "../lab/uneven/uneven.ts";
import { unevenSpec } from "../lab/uneven/uneven-config.ts";
import { unprivilegedObstacle } from "../lab/unprivileged.ts";
import { renderVerdicts, type Verdict } from "../lab/verdicts.ts";
import type { CliEnv } from "./env.ts";
import { interruptible } from "./interruptible.ts";
import { createLookup } from "./lookup.ts";
import { whole } from "./numbers.ts";
import { readAgentCounts } from "./stats.ts";

const DEFAULT_NAME = "lab";

interface UpOptions {
  readonly name: string;
  readonly hosts: number;
  readonly clients: number;
  readonly io: "af-packet" | "tun";
  readonly workers: number;
  readonly weights: readonly number[] | undefined;
  readonly dips: "4" | "6" | "both";
  readonly unprivileged?: true;
  readonly bgp?: true;
  readonly json?: true;
}

interface ChurnOptions extends UpOptions {
  readonly seconds: number;
  readonly connections: number;
  readonly every: number;
  readonly drain: number;
  readonly flowTable: "on" | "off" | "both";
}

function labName(text: string): string {
  if (!isLabName(text)) throw new InvalidArgumentError("a lab's name is 1 to 32 of a-z, 0-9 and -");
  return text;
}

function numberList(text: string): number[] {
  if (!/^\d+(,\d+)*$/.test(text)) throw new InvalidArgumentError("numbers look like 1,4");
  return text.split(",").map(Number);
}

function weightList(text: string): number[] {
  const weights = text.split(",").map(Number);
  if (!/^\d+(,\d+)*$/.test(text) || weights.every((w) => w === 0) || weights.some((w) => w > 65535))
    throw new InvalidArgumentError("weights look like 3,1,1,1");
  return weights;
}

/** The options that shape a lab. */
function shaped(command: Command): Command {
  return command
    .option("--hosts <n>", "hosts (default: as many as there are weights, else 4)", whole(1, 64))
    .option("--clients <n>", "clients", whole(1, 64), 2)
    .addOption(new Option("--io <mode>", "how agents take packets").choices(["af-packet", "tun"]).default("af-packet"))
    .option("--workers <n>", "data-plane threads of each agent", whole(1, 64), 2)
    .option("--weights <list>", "a weight for each host, like 3,1,1,1 (default: all 1)", weightList)
    .addOption(new Option("--dips <family>", "hosts' own addresses").choices(["4", "6", "both"]).default("both"))
    .option("--unprivileged", "agents run as an ordinary user with CAP_NET_ADMIN and CAP_NET_RAW only")
    .option("--bgp", "BIRD on the router and on each host in place of fixed routes");
}

/** The lab that the options describe. Throws when they contradict each other. */
function specOf(name: string, options: UpOptions): LabSpec {
  const hosts = options.hosts ?? options.weights?.length ?? 4;
  const weights = options.weights ?? Array.from({ length: hosts }, () => 1);
  if (weights.length !== hosts) throw new Failure(`hafl lab: --weights: ${weights.length} weights for ${hosts} hosts`, 2);
  const { clients, io, workers, dips, unprivileged, bgp } = options;
  const obstacle = unprivileged ? unprivilegedObstacle() : null;
  if (obstacle !== null) throw new Failure(`hafl lab: --unprivileged: ${obstacle}`);
  return { name, hosts, clients, io, workers, weights, dips, unprivileged, bgp };
}

function needRoot(): void {
  if (process.getuid?.() !== 0) throw new Failure("hafl lab: network namespaces need root: run it with sudo");
}

function renderStatus(s: LabStatus): string {
  const of = (node: string): string =>
    s.processes
      .filter((p) => p.node === node)
      .map((p) => `${p.role} ${p.alive ? p.pid : "ENDED"}`)
      .join(", ");
  const shape =
    s.spec === null ? "" : `: ${s.spec.hosts} hosts, ${s.spec.clients} clients, ${s.spec.io}, ${s.spec.workers} workers each`;
  const rows = s.nodes.map(({ node, namespace }) => [node, namespace, of(node)]);
  return `lab ${s.name}${shape}${s.whole ? "" : " (NOT WHOLE)"}\n${textTable(["node", "namespace", "processes"], rows)}`;
}

function showStatus(env: CliEnv, name: string | undefined, json: boolean): void {
  const all = (name === undefined ? labNames() : [name]).map(labStatus).filter((s) => s !== null);
  if (json) env.stdout.write(`${JSON.stringify(all)}\n`);
  else if (all.length > 0) env.stdout.write(all.map(renderStatus).join("\n"));
  else if (name === undefined) env.stdout.write("no lab is up\n");
  if (all.length === 0 && name !== undefined) throw new Failure(`hafl lab: no lab named ${name} (hafl lab up --name ${name})`);
}

async function execIn(lab: string, node: string, command: readonly string[]): Promise<void> {
  needRoot();
  const name = namespacesOf(lab).find((ns) => ns === namespaceOf(lab, node) || ns === node);
  if (name === undefined) throw new Failure(`hafl lab: lab ${lab} has no node ${node} (see: hafl lab status --name ${lab})`);
  // The command gets the terminal's signals itself; we wait for what it makes of them.
  for (const signal of ["SIGINT", "SIGQUIT"] as const) process.on(signal, () => {});
  process.exitCode = await ended(spawnIn(lab, parseNamespace(name)!.node, command, { stdio: "inherit" }));
}

/** Adds `hafl lab` to the command table. */
export function register(program: Command, env: CliEnv): void {
  const progress: Progress = (line) => void env.stderr.write(`${line}\n`);
  const verdict = (list: readonly Verdict[], { json }: { json?: true }): void => {
    env.stdout.write(json ? `${JSON.stringify(list)}\n` : renderVerdicts(list));
    if (!list.every(({ ok }) => ok)) process.exitCode = 1;
  };
  // Options behind a command's name are the command's: `hafl lab exec c1 curl --version` asks curl.
  program.enablePositionalOptions();
  const lab = program
    .command("lab")
    .enablePositionalOptions()
    .description("raise, use and take down labs of network namespaces (root)");

  shaped(lab.command("up").description("raise a lab and leave it running"))
    .option("--name <name>", "the lab's name", labName, DEFAULT_NAME)
    .option("--json", "print the lab's state as JSON")
    .action(async (options: UpOptions) => {
      needRoot();
      const spec = specOf(options.name, options);
      await interruptible(async (signal) => {
        await labUp(spec, progress, signal);
        showStatus(env, spec.name, options.json === true);
        progress(`try: hafl lab exec --name ${spec.name} c1 curl -s http://${VIP[4]}/ 'http://[${VIP[6]}]/'`);
      });
    });

  lab
    .command("down")
    .description("take a lab down; nothing of it stays")
    .option("--name <name>", "the lab's name", labName, DEFAULT_NAME)
    .option("--all", "every lab there is")
    .action(async (options: { name: string; all?: true }) => {
      needRoot();
      for (const name of options.all ? labNames() : [options.name]) await labDown(name);
    });

  lab
    .command("status")
    .description("nodes and processes of one lab, or of all")
    .option("--name <name>", "the lab's name", labName)
    .option("--json", "print JSON")
    .action((options: { name?: string; json?: true }) => showStatus(env, options.name, options.json === true));

  lab
    .command("exec")
    .description("run a command on a node (c1, r, s1, ...)")
    .option("--name <name>", "the lab's name", labName, DEFAULT_NAME)
    .argument("<node>")
    .argument("<command...>")
    .passThroughOptions()
    .action((node: string, command: string[], options: { name: string }) => execIn(options.name, node, command));

  shaped(lab.command("demo").description("a lab of its own: real requests, a table of who did what, then down"))
    .option("--requests <n>", "HTTP requests, and as many UDP echoes", whole(1, 20_000), DEMO_REQUESTS)
    .option("--json", "print the report as JSON")
    .action(async (options: UpOptions & { requests: number }) => {
      needRoot();
      const spec = specOf(`demo-${process.pid}`, options);
      await interruptible(async (signal) => {
        const oracle = { createLookup, readCounts: readAgentCounts };
        const report = await runDemo(spec, oracle, options.requests, progress, signal);
        env.stdout.write(options.json ? `${JSON.stringify(report)}\n` : renderReport(report));
        if (!allWell(report)) process.exitCode = 1;
      });
    });

  lab
    .command("bgp")
    .description("a lab of its own, with BIRD: routes come and go with the fitness of hosts, then down")
    .option("--json", "print the verdicts as JSON")
    .action(async (options: { json?: true }) => {
      needRoot();
      await interruptible(async (signal) =>
        verdict(await runBgpScenario(bgpSpec(`bgp-${process.pid}`), progress, signal), options),
      );
    });

  lab
    .command("anycast")
    .description("a lab of its own: two data centres announce the same VIPs and egress IPs, one is lost, then down")
    .option("--json", "print the verdicts as JSON")
    .action(async (options: { json?: true }) => {
      needRoot();
      await interruptible(async (signal) =>
        verdict(await runAnycast(anycastSpec(`anycast-${process.pid}`), progress, signal), options),
      );
    });

  lab
    .command("cluster")
    .description("a lab of its own, with etcd, conductors and BIRD: what can happen to a cluster happens under load, then down")
    .option("--only <list>", "numbers of the things that are to happen, like 1,4 (default: all, in order)", numberList)
    .option("--json", "print the verdicts as JSON")
    .action(async (options: { only?: number[]; json?: true }) => {
      needRoot();
      await interruptible(async (signal) =>
        verdict(await runCluster(clusterSpec(`cluster-${process.pid}`), options.only ?? null, progress, signal), options),
      );
    });

  lab
    .command("load")
    .description(
      "a lab of its own, with hosts that are 1, 1, 2, 2 and 4 times as strong: weights follow load until use is even, then down",
    )
    .option("--steps <n>", "steps of the controller, of 5 s each", whole(1, 10_000), 24)
    .option("--json", "print use, weights and verdicts of all steps as JSON")
    .action(async (options: { steps: number; json?: true }) => {
      needRoot();
      const obstacle = groupsObstacle();
      if (obstacle !== null) throw new Failure(`hafl lab load: ${obstacle}`);
      await interruptible(async (signal) => {
        const run = await runUneven(unevenSpec(`load-${process.pid}`), options.steps, progress, signal);
        env.stdout.write(options.json ? `${JSON.stringify(run)}\n` : renderVerdicts(run.verdicts));
        if (!run.verdicts.every(({ ok }) => ok)) process.exitCode = 1;
      });
    });

  shaped(lab.command("churn").description("a lab of its own: sessions that must live on while hosts come and go, then down"))
    .option("--seconds <n>", "how long each run lasts", whole(5, 86_400), 120)
    .option("--connections <n>", "TCP connections, and as many UDP sessions", whole(1, 5_000), 300)
    .option("--every <n>", "seconds between changes", whole(1, 3_600), 5)
    .option("--drain <n>", "drain time of the cluster in seconds", whole(1, 3_600), 12)
    .addOption(new Option("--flow-table <mode>", "directors' flow tables").choices(["on", "off", "both"]).default("both"))
    .option("--json", "print the reports as JSON")
    .action(async (options: ChurnOptions) => {
      needRoot();
      const spec = specOf(`churn-${process.pid}`, options);
      const { seconds, connections, every: everySeconds, drain: drainSeconds } = options;
      const modes = options.flowTable === "both" ? [true, false] : [options.flowTable === "on"];
      await interruptible(async (signal) => {
        const reports: ChurnReport[] = [];
        for (const flowTable of modes) {
          progress(`flow tables ${flowTable ? "on" : "off"}`);
          const what = { seconds, connections, everySeconds, drainSeconds, flowTable };
          reports.push(await runChurn(spec, what, progress, signal));
          if (!options.json) env.stdout.write(renderChurn(reports.at(-1)!));
        }
        if (options.json) env.stdout.write(`${JSON.stringify(reports)}\n`);
        if (!reports.every(unbroken)) process.exitCode = 1;
      });
    });
}
