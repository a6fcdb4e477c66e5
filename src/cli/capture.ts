/** `hafl capture`: the samples that a running agent takes for its drop rules, as pcapng. */
import { closeSync, openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { Failure } from "../control/failure.ts";
import { findRuntimeDir } from "../control/instance.ts";
import { readStatus } from "../control/status.ts";
import { native } from "../io/native.ts";
import { pcapngPacket, pcapngStart } from "../io/pcapng.ts";
import { readRules, samplesPath } from "../io/rule-files.ts";
import { isRegion } from "../shm/region.ts";
import { SAMPLE_BYTES, SAMPLES_LAYOUT, type Sample, SampleRing, samplesBytes } from "../shm/sample-ring.ts";
import { VERDICT_NAMES } from "../shm/verdict.ts";
import type { CliEnv } from "./env.ts";

interface Options {
  readonly instance?: string;
  readonly runtimeDir?: string;
  readonly out?: string;
  readonly count?: number;
}

/** How often the rings are looked at, ms. */
const POLL_MS = 100;

/** Reads what is new in the rings of all workers, in order of time. */
class Samples {
  readonly #rings: readonly SampleRing[];
  readonly #seen: number[];
  /** Samples that were overwritten before they could be read. */
  lost = 0;

  constructor(dir: string, workers: number) {
    const buffer = native().mapFile(samplesPath(dir), samplesBytes(workers), false);
    if (!isRegion(buffer, SAMPLES_LAYOUT)) throw new Failure(`${dir}: written by another version of hafl`);
    this.#rings = Array.from({ length: workers }, (_, worker) => new SampleRing(buffer, worker));
    // What the rings still hold from before is not lost.
    this.#seen = this.#rings.map((ring) => ring.oldest);
  }

  next(): Sample[] {
    const found = this.#rings.flatMap((ring, i) => {
      const taken = ring.taken;
      const samples = ring.read(this.#seen[i]!);
      this.lost += ((taken - this.#seen[i]!) >>> 0) - samples.length;
      this.#seen[i] = taken;
      return samples;
    });
    return found.sort((a, b) => a.time - b.time);
  }
}

/** The verdict, and the rule it was sampled for. */
function commentOf(sample: Sample, dir: string): string {
  const rule = readRules(dir).slots[sample.rule];
  const verdict = VERDICT_NAMES[sample.verdict] ?? "unknown";
  return rule === undefined ? verdict : `${verdict} (rule ${rule})`;
}

async function capture(dir: string, options: Options, env: CliEnv, signal: AbortSignal): Promise<void> {
  const { workers, instance } = readStatus(dir);
  if (!readRules(dir).rules.some((rule) => rule.sample !== null))
    env.stderr.write(`${dir}: no drop rule of the agent takes samples (give one \`sample: 1000\`), waiting for one that does\n`);
  const file = options.out === undefined ? null : openSync(options.out, "w");
  const write = (bytes: Uint8Array): void => {
    if (file === null) env.stdout.write(bytes);
    else writeSync(file, bytes);
  };
  let left = options.count ?? Number.POSITIVE_INFINITY;
  try {
    const samples = new Samples(dir, workers.length);
    write(pcapngStart(instance, SAMPLE_BYTES));
    while (left > 0 && !signal.aborted) {
      for (const sample of samples.next()) {
        if (left-- <= 0) break;
        write(pcapngPacket(sample.bytes, sample.length, sample.time, commentOf(sample, dir)));
      }
      if (left > 0) await sleep(POLL_MS, undefined, { signal }).catch(() => {});
    }
    if (samples.lost > 0) env.stderr.write(`${samples.lost} samples came faster than they could be written\n`);
  } finally {
    if (file !== null) closeSync(file);
  }
}

/** A number of packets, as commander hands it over. */
function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new Failure(`--count ${text}: not a number of packets`, 2);
  return count;
}

export function register(program: Command, env: CliEnv): void {
  program
    .command("capture")
    .description("write packets that drop rules took samples of, as pcapng with the verdict as comment, until interrupted")
    .option("--instance <name>", "name of the instance (default: the only one there is)")
    .option("--runtime-dir <dir>", "its directory, when it is not /run/hafl/<instance>")
    .option("--out <file>", "write to a file (default: standard output, for `| tshark -r -`)")
    .option("--count <n>", "end after so many packets", parseCount)
    .action(async (options: Options) => {
      if (options.out === undefined && env.stdout.isTTY === true)
        throw new Failure("capture: a terminal is no place for packets (give --out FILE, or pipe to `tshark -r -`)", 2);
      const dir = findRuntimeDir(options.runtimeDir, options.instance);
      const stop = new AbortController();
      const end = (): void => stop.abort();
      process.once("SIGINT", end);
      process.once("SIGTERM", end);
      try {
        await capture(dir, options, env, stop.signal);
      } finally {
        process.off("SIGINT", end);
        process.off("SIGTERM", end);
      }
    });
}
