/** The benchmark's own programs: native/bench/NAME.c, compiled when first needed and again when a source is newer. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure } from "../control/failure.ts";

const SOURCES = fileURLToPath(new URL("../../../native/bench/", import.meta.url));
/** What the benchmark makes and fetches for itself lies here, out of git's sight. */
export const WORKSHOP = fileURLToPath(new URL("../../bench/", import.meta.url));

const FLAGS = ["-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"];

export type ProgramName = "generate" | "sink" | "floor" | "echo";

/** Path of a program, compiled if it must be. Throws a Failure with what the compiler says. */
export function benchProgram(name: ProgramName): string {
  const source = join(SOURCES, `${name}.c`);
  const program = join(WORKSHOP, name);
  const changed = Math.max(statSync(source).mtimeMs, statSync(join(SOURCES, "bench.h")).mtimeMs);
  if (existsSync(program) && statSync(program).mtimeMs > changed) return program;
  mkdirSync(WORKSHOP, { recursive: true });
  // Two benchmarks may begin at once: neither runs a program that is half written.
  const fresh = `${program}.${process.pid}`;
  const result = spawnSync("gcc", [...FLAGS, "-o", fresh, source], { encoding: "utf8" });
  if (result.error !== undefined) throw new Failure("hafl bench: no C compiler (apt-get install gcc libc6-dev)");
  if (result.status !== 0) throw new Failure(`hafl bench: ${source}: ${result.stderr.trim().split("\n").at(-1)}`);
  renameSync(fresh, program);
  return program;
}
