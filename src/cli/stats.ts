/** `hafl stats`: the counters of a running agent. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { findRuntimeDir } from "../control/instance.ts";
import { readStatus, type Status } from "../control/status.ts";
import { textTable } from "../lab/text-table.ts";
import type { CliEnv } from "./env.ts";

interface Options {
  readonly instance?: string;
  readonly runtimeDir?: string;
  readonly watch?: true;
  readonly json?: true;
}

const WATCH_MS = 1000;
/** Home and erase below: the table is drawn over the one before, without flicker. */
const REDRAW = "\x1b[H\x1b[J";

/** The counts that tell what became of the packets on one host. */
export function readAgentCounts(runtimeDir: string): {
  fromRouter: number;
  forwarded: number;
  unwrapped: number;
  delivered: number;
} {
  const { verdicts, workers } = readStatus(runtimeDir);
  const sum = (name: "uplinkPackets" | "guePackets"): number => workers.reduce((total, worker) => total + worker[name], 0);
  return {
    fromRouter: sum("uplinkPackets"),
    forwarded: verdicts.forwarded ?? 0,
    unwrapped: sum("guePackets"),
    delivered: verdicts.delivered ?? 0,
  };
}

/** Counts with, when there is an earlier reading, what came per second since. */
function counts(now: Record<string, number>, before: Record<string, number> | undefined, seconds: number): (string | number)[][] {
  return Object.entries(now)
    .filter(([, count]) => count > 0)
    .map(([name, count]) =>
      before === undefined ? [name, count] : [name, count, Math.round((count - (before[name] ?? 0)) / seconds)],
    );
}

const sections = <K extends string>(rows: Readonly<Record<string, Record<K, number>>>): (string | number)[][] =>
  Object.entries(rows).map(([name, row]) => [name, ...Object.values<number>(row as Record<string, number>)]);

/** Use of this host's slices; a dash where the reader may not look. */
function egressTables({ egress }: Status): string[] {
  const rows = Object.entries(egress).flatMap(([ip, { slices }]) =>
    Object.entries(slices).map(([slice, use]) => {
      const span = use === null ? "-" : `${use.from}-${use.to}`;
      return [ip, slice, span, use?.connections ?? "-", use?.ports ?? "-"];
    }),
  );
  if (rows.length === 0) return [];
  const counts = Object.entries(egress).map(([ip, { exhausted, strayed }]) => [ip, exhausted ?? "-", strayed ?? "-"]);
  return [
    textTable(["egress IP", "slice", "ports", "connections", "ports in use"], rows),
    textTable(["egress IP", "connections refused, no port free", "packets held back, port not ours"], counts),
  ];
}

/** Packets that one call to the kernel carried on average: trains to peers, and what was put together for the kernel. */
function perCall({ verdicts, workers }: Status): (string | number)[][] {
  const sum = (name: "gueSends" | "kernelWrites"): number => workers.reduce((total, worker) => total + worker[name], 0);
  const sent = (verdicts.forwarded ?? 0) + (verdicts.next_hop ?? 0);
  const rows: [string, number, number][] = [
    ["send to a host", sent, sum("gueSends")],
    ["write to the kernel", verdicts.delivered ?? 0, sum("kernelWrites")],
  ];
  return rows.filter(([, , calls]) => calls > 0).map(([name, packets, calls]) => [name, (packets / calls).toFixed(2)]);
}

/** A status as text. `before` is the reading `seconds` earlier, for rates. */
export function renderStats(now: Status, before?: Status, seconds = 1): string {
  const state = now.running ? `running, pid ${now.pid}` : `not running: pid ${now.pid} died (see \`hafl down\`)`;
  const columns = (title: string): string[] => (before === undefined ? [title, "packets"] : [title, "packets", "per second"]);
  const total: Record<string, number> = {};
  for (const worker of now.workers) for (const [name, n] of Object.entries(worker)) total[name] = (total[name] ?? 0) + n;
  const used = Object.keys(total).filter((name) => total[name]! > 0);
  const workers = now.workers.map((worker) => worker as Readonly<Record<string, number>>);
  return [
    `instance ${now.instance}, host ${now.host}, cluster ${now.cluster}, generation ${now.generation}, ${state}\n`,
    textTable(columns("verdict"), counts(now.verdicts, before?.verdicts, seconds)),
    textTable(["host", "sent", "bytes", "received", "bytes"], sections(now.perHost)),
    textTable(["service", "packets", "bytes"], sections(now.perService)),
    ...egressTables(now),
    ...(Object.keys(now.rules).length === 0
      ? []
      : [
          textTable(
            ["drop rule", "dropped", "bytes", "in the kernel", "about bytes", "passed its limit"],
            Object.entries(now.rules).map(([name, rule]) => [
              name,
              rule.packets,
              rule.bytes + rule.inKernelBytes,
              rule.inKernel,
              rule.inKernelBytes,
              rule.passedPackets,
            ]),
          ),
        ]),
    textTable(["in each", "packets"], perCall(now)),
    textTable(
      ["counter", ...workers.map((_, i) => `worker ${i}`)],
      used.map((name) => [name, ...workers.map((worker) => worker[name]!)]),
    ),
  ].join("\n");
}

async function watch(dir: string, json: boolean, env: CliEnv): Promise<void> {
  let before: Status | undefined;
  for (;;) {
    const now = readStatus(dir);
    const text = json
      ? `${JSON.stringify(now)}\n`
      : `${env.stdout.isTTY === true ? REDRAW : ""}${renderStats(now, before, WATCH_MS / 1000)}`;
    env.stdout.write(text);
    before = now;
    await sleep(WATCH_MS);
  }
}

export function register(program: Command, env: CliEnv): void {
  program
    .command("stats")
    .description("print the counters of a running agent, from shared memory")
    .option("--instance <name>", "name of the instance (default: the only one there is)")
    .option("--runtime-dir <dir>", "its directory, when it is not /run/hafl/<instance>")
    .option("--watch", "print again every second, with rates")
    .option("--json", "print JSON, one object a line")
    .action(async (options: Options) => {
      const dir = findRuntimeDir(options.runtimeDir, options.instance);
      const json = options.json === true;
      if (options.watch === true) return watch(dir, json, env);
      const status = readStatus(dir);
      env.stdout.write(json ? `${JSON.stringify(status)}\n` : renderStats(status));
    });
}
