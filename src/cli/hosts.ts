/** `hafl hosts`: how the hosts of a cluster are, as they and those who probe them say. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { Failure } from "../control/failure.ts";
import { readCurrent } from "../store/wanted.ts";
import { type Cluster, type ClusterOptions, clusterOptions, configNow, withCluster } from "./cluster.ts";
import type { CliEnv } from "./env.ts";
import { overviewText } from "./hosts-text.ts";
import { type ClusterOverview, Findings, overview } from "./hosts-view.ts";
import { interruptible } from "./interruptible.ts";
import { localReports } from "./local-reports.ts";
import { Patience } from "./patience.ts";

interface Options extends ClusterOptions {
  readonly watch?: true;
  readonly json?: true;
}

const WATCH_MS = 1000;
/** Home and erase below. */
const REDRAW = "\x1b[H\x1b[J";

async function look(cluster: Cluster): Promise<ClusterOverview> {
  const { store, keys } = cluster;
  const prefixes = [keys.allHosts, keys.allProbes, keys.allGenerations, keys.decisions, keys.conductor];
  const [current, ...read] = await Promise.all([readCurrent(store, keys), ...prefixes.map((prefix) => store.read(prefix))]);
  const found = new Findings(
    keys,
    read.flatMap(({ entries }) => entries),
  );
  if (current.broken !== null) found.refused.push(current.broken);
  const config = configNow(cluster, current);
  if (config === null) {
    const there = `${cluster.wanted}: there is nothing (put it there with \`hafl apply FILE\`)`;
    throw new Failure(
      current.broken ?? (current.record === null ? there : `${cluster.wanted}: change ${current.record.change} cannot be used`),
    );
  }
  const change = current.record?.change ?? 0;
  return overview(config, change, found, cluster.shared ? null : await localReports(config, change));
}

export function register(program: Command, env: CliEnv): void {
  clusterOptions(program.command("hosts"))
    .description("the hosts of the cluster: state, health with its reasons, what they have applied, flows, load, routes")
    .option("--watch", "print again every second")
    .option("--json", "print JSON, one object a line")
    .action((options: Options) =>
      withCluster(options, async (cluster) => {
        const print = (view: ClusterOverview): void => {
          const home = options.watch === true && env.stdout.isTTY === true ? REDRAW : "";
          env.stdout.write(options.json === true ? `${JSON.stringify(view)}\n` : `${home}${overviewText(view)}`);
        };
        print(await look(cluster));
        if (options.watch !== true) return;
        const patience = new Patience(cluster.store.name, env);
        await interruptible(async (signal) => {
          for (;;) {
            await sleep(WATCH_MS, undefined, { signal });
            const view = await patience.bear(() => look(cluster));
            if (view !== null) print(view);
          }
        });
      }),
    );
}
