/** Applies changes on a node of a lab, and sees when each agent's tables have them. Prints the times of each as a line of JSON. */
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { parse, stringify } from "yaml";
import { main } from "../cli/main.ts";
import { readHistory, readTablesOrigin } from "../control/history-file.ts";
import { controlPath } from "../io/runtime-files.ts";
import { controlWords, currentGeneration } from "../shm/control-block.ts";
import { hostClock } from "../shm/host-clock.ts";

export interface ApplyOrder {
  readonly config: string;
  /** The config that is wanted, as YAML. */
  readonly wanted: string;
  /** Runtime directories of all agents. */
  readonly dirs: readonly string[];
  /** Directory for its own files. */
  readonly dir: string;
  readonly pool: string;
  readonly changes: number;
}

/** Since `hafl apply` began, ms. */
export interface Applied {
  /** Until it was done. */
  readonly written: number;
  /** Until the tables of each host were others. */
  readonly swapped: readonly number[];
}

const PATIENCE_MS = 30_000;
const LOOK_MS = 2;
/** Changes before those that count: agents and conductor have just started, and their code is compiled while it runs. */
const WARM_UP = 5;
/** So that changes do not keep step with anybody's timer. */
const PAUSE_MS = 250;

const { config, wanted, dirs, dir, pool, changes } = JSON.parse(readFileSync(0, "utf8")) as ApplyOrder;
const file = join(dir, "bench-wanted.yaml");

const words = (at: string): Int32Array => {
  const bytes = readFileSync(controlPath(at));
  return controlWords(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer);
};

/** By directory, the generation of tables that was looked into last. */
const known = new Map<string, number>();

/** The weight of the host in the tables that are current in a directory; undefined too where they are those of the last look. */
function weightIn(at: string, host: string): number | undefined {
  const generation = currentGeneration(words(at));
  if (known.get(at) === generation) return undefined;
  const origin = readTablesOrigin(at);
  // It is written a moment before its tables become current.
  if (origin === null || origin.generation > generation) return undefined;
  known.set(at, generation);
  return readHistory(at).pools[pool]?.[0]?.hosts.find(({ name }) => name === host)?.weight;
}

async function apply(): Promise<void> {
  const said: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      said.push(chunk.toString());
      done();
    },
  });
  const code = await main(["apply", file, "--config", config, "-m", "bench", "--quiet"], { stdout: sink, stderr: sink });
  if (code !== 0) throw new Error(`hafl apply ended with ${code}: ${said.join("")}`);
}

/** What the agents have, in a line. */
const state = (): string =>
  dirs
    .map(
      (at) =>
        `${basename(at)} has ${readHistory(at)
          .pools[pool]?.[0]?.hosts.map(({ name, weight }) => `${name} ${weight}`)
          .join(", ")}`,
    )
    .join("; ");

/** When each of the agents has the weight, by the shared clock. */
async function swaps(host: string, weight: number): Promise<number[]> {
  const at = new Array<number>(dirs.length).fill(0);
  for (const until = hostClock() + PATIENCE_MS; at.includes(0); await sleep(LOOK_MS)) {
    dirs.forEach((one, i) => {
      if (at[i] === 0 && weightIn(one, host) === weight) at[i] = hostClock();
    });
    if (hostClock() > until)
      throw new Error(`a weight of ${weight} for ${host} is not in all tables within ${PATIENCE_MS / 1000} s: ${state()}`);
  }
  return at;
}

for (let round = -WARM_UP; round < changes; round++) {
  const document = parse(wanted) as { hosts: { name: string; weight: number }[] };
  const host = document.hosts[(round + WARM_UP) % document.hosts.length]!;
  host.weight = 11 + ((round + WARM_UP) % 7);
  writeFileSync(file, stringify(document, { lineWidth: 0, aliasDuplicateObjects: false }));
  const begun = hostClock();
  const swapped = swaps(host.name, host.weight);
  await apply();
  const written = hostClock() - begun;
  const applied: Applied = { written, swapped: (await swapped).map((at) => at - begun) };
  if (round >= 0) process.stdout.write(`${JSON.stringify(applied)}\n`);
  await sleep(Math.random() * PAUSE_MS);
}
process.exitCode = 0;
